"""CycleGAN with a semantic loss: what a place shows before a translation it shall show after it.

After the third study that bokehflow follows, which turned paintings into portraits and back: a CycleGAN for any two
collections, held by a loss between the segmentations of input and output; relatives are CyCADA (Hoffman et al., ICML 2018)
and GcGAN. A frozen parser S sees input and output. The loss is the divergence KL(S(x) ‖ S(G(x))), each place weighed by
how sure S is of the input: what S makes of a collection that it does not know should count little.

Deviations from the study: its loss compared hard labels, which give the generator no gradient on the output's side; here
both sides are soft. Its parser knew ADE20K's classes; here it is any of `parsers`. With weight 0 nothing is parsed, and
the model is CycleGAN to the bit.
"""

from torch import Tensor

from pipeline.models.cyclegan import CycleGAN, Translations
from pipeline.models.directions import for_each
from pipeline.models.images import Images
from pipeline.models.losses import Scalar, semantic_loss
from pipeline.models.translator import Batch


class Semantic(CycleGAN):
    """Adds the semantic terms to what the generators are asked for."""

    @property
    def weights(self) -> dict[str, float]:
        return {**super().weights, **dict.fromkeys(("semantic_a", "semantic_b"), self.config.semantic_weight)}

    def generator_terms(self, batch: Batch, made: Translations) -> dict[str, Tensor]:
        """CycleGAN's, with `semantic_a` (real_a against its translation) and `semantic_b`."""
        terms = super().generator_terms(batch, made)
        if self.config.semantic_weight == 0:
            return terms
        of_a, of_b = for_each(self.kept, (batch.real_a, made.generated_b), (batch.real_b, made.generated_a))
        return {**terms, "semantic_a": of_a, "semantic_b": of_b}

    def kept(self, real: Images, generated: Images) -> Scalar:
        """The divergence of what the parser sees in a translation from what it saw in its input."""
        if self.parser is None:
            raise ValueError("a semantic weight needs a parser")
        target = self.parser(real).detach()
        return semantic_loss(self.parser(generated), target)
