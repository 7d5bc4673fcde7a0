"""The image-translation models, one file per model.

`MODELS` is the written-out list. Nothing here imports torch before a model is asked for, so that code which
only needs the names (configuration, asset definitions) stays light.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.models.translator import Translator


def _cyclegan() -> "type[Translator[Any]]":
    from pipeline.models.cyclegan import CycleGAN

    return CycleGAN


def _mask_loss() -> "type[Translator[Any]]":
    from pipeline.models.mask_loss import MaskLoss

    return MaskLoss


def _mask_overlay() -> "type[Translator[Any]]":
    from pipeline.models.mask_overlay import MaskOverlay

    return MaskOverlay


def _mask_loss_overlay() -> "type[Translator[Any]]":
    from pipeline.models.mask_loss_overlay import MaskLossOverlay

    return MaskLossOverlay


def _one_sided() -> "type[Translator[Any]]":
    from pipeline.models.one_sided import OneSided

    return OneSided


def _semantic() -> "type[Translator[Any]]":
    from pipeline.models.semantic import Semantic

    return Semantic


def _depth() -> "type[Translator[Any]]":
    from pipeline.models.depth import Depth

    return Depth


def _pix2pix() -> "type[Translator[Any]]":
    from pipeline.models.pix2pix import Pix2pix

    return Pix2pix


def _defocus() -> "type[Translator[Any]]":
    from pipeline.models.defocus import Defocus

    return Defocus


def _refocus() -> "type[Translator[Any]]":
    from pipeline.models.refocus import Refocus

    return Refocus


MODELS: "dict[str, Callable[[], type[Translator[Any]]]]" = {
    "cyclegan": _cyclegan,
    "mask_loss": _mask_loss,
    "mask_overlay": _mask_overlay,
    "mask_loss_overlay": _mask_loss_overlay,
    "one_sided": _one_sided,
    "semantic": _semantic,
    "depth": _depth,
    "refocus": _refocus,
    "pix2pix": _pix2pix,
    "defocus": _defocus,
}
"""Model name, as recipes write it, to a function that imports its class."""

MODELS_WITH_MASK_LOSS = frozenset({"mask_loss", "mask_loss_overlay", "one_sided"})
"""Those that may need VGG's features."""


MODELS_THAT_NEED_MASKS = frozenset({"mask_loss", "mask_overlay", "mask_loss_overlay", "one_sided", "defocus"})
"""Those that hold or lay over what the masks show, or are told by it what should be sharp."""


OWN_OUTPUTS = {"depth": "disparity", "refocus": "disparity", "pix2pix": "disparity_picture", "defocus": "refocused"}
"""The setting `output` of the models that put out what no other does."""

MODELS_OF_DEPTH = frozenset({"depth", "refocus", "pix2pix"})
"""Those that predict depth instead of translating pictures."""

MODELS_OF_ONE_DOMAIN = MODELS_OF_DEPTH | {"defocus"}
"""Those that learn from pictures of domain A alone, with their depth."""


def layer_learnt_from(model: str) -> str | None:
    """The optional layer that a model learns from, of domain A alone and of no picture without it; None: of all pictures."""
    return "depth" if model in MODELS_OF_ONE_DOMAIN else None


def model_class(name: str) -> "type[Translator[Any]]":
    """Import and return the class of model `name`; ConfigError names the models there are."""
    if name not in MODELS:
        raise ConfigError(f"There is no model {name!r}; the models are: {', '.join(sorted(MODELS))}.")
    return MODELS[name]()
