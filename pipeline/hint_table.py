"""The hints: what is measured of a picture for those who decide. Their names, ranges and meanings stand here, once.

Tables, batches, rules, the review page and docs/curation.md take them from here; how they are measured stands in
`pipeline.curation.hints`.
"""

from dataclasses import dataclass
from typing import Literal

Scale = Literal["share", "score", "count", "yes_no", "words"]
"""`share` of a whole and `score` run from 0 to 1; `count` has no upper end; `yes_no` is 1 or 0; `words` is text."""

SUGGESTED = "suggested"
"""The curator in whose name suggestions are accepted with nobody looking."""


@dataclass(frozen=True)
class Hint:
    """`label` is its name on the review page; `may_be_unknown` where it is null for some pictures."""

    label: str
    scale: Scale
    meaning: str
    may_be_unknown: bool = False

    @property
    def range(self) -> str:
        """For people."""
        return {"share": "0–1", "score": "0–1", "count": "0, 1, …", "yes_no": "0, 1", "words": "words"}[self.scale]

    @property
    def is_bounded(self) -> bool:
        """Whether it lies in [0, 1]."""
        return self.scale in ("share", "score", "yes_no")


HINTS = {
    "person_share": Hint("Person covers", "share", "share of the frame that people cover; below 0.01 nobody is there"),
    "people": Hint("People", "count", "separate people; who touch count as one"),
    "cut_off": Hint("Cut off", "share", "share of the top, left and right edge that people cover"),
    "subject_sharpness": Hint(
        "Subject sharp",
        "score",
        "narrowness of the narrowest edges within the people: 0 blurred, 0.5 clean steps, towards 1 fine texture; below "
        "0.42 nobody is in focus, or nobody there; empty: nobody found",
        may_be_unknown=True,
    ),
    "background_sharpness": Hint(
        "Background sharp", "score", "likewise outside; 0 also where there is nothing to see", may_be_unknown=True
    ),
    "shallowness": Hint(
        "Shallow look", "score", "chance that the depth of field is shallow, by its looks; at 0.5 it may as well be deep"
    ),
    "colourfulness": Hint(
        "Colourful", "score", "how far colours leave a single tint; below 0.02 the picture is monochrome, sepia included"
    ),
    "drawn": Hint(
        "Drawn", "score", "share of perfectly flat, not overexposed pixels; above 0.5 a drawing or a screenshot"
    ),
    "edited": Hint(
        "Edited",
        "yes_no",
        "EXIF names software: 1 a program for editing, 0 another; empty: unknown",
        may_be_unknown=True,
    ),
    "inappropriate": Hint("Inappropriate", "score", "by OpenNSFW, with `inappropriate_model = true`; empty: not asked",
                          may_be_unknown=True),
    "camera": Hint("Camera", "words", "by EXIF, where known; Flickr's smaller sizes have none", may_be_unknown=True),
    "software": Hint("Software", "words", "by EXIF, likewise", may_be_unknown=True),
}  # fmt: skip
"""By name, in the order in which they are shown."""
OF_PEOPLE = frozenset(
    {
        *("person_share", "people", "cut_off", "subject_sharpness", "background_sharpness", "shallowness"),
        *("suggestion_probability", "mask_uncertainty"),
    }
)
"""Names of those that ask for people, or for what lies behind them: of no use for collections without."""
NUMBERS = tuple(name for name, hint in HINTS.items() if hint.scale != "words")
"""Names of the hints that a threshold or a model can look at."""
JUDGEMENTS = {
    "suggestion_probability": Hint(
        "Suggestion right",
        "share",
        "chance that what is suggested by the depth of field is right, where half of the photographs fit; empty: nothing is "
        "suggested, or something else, of which no chance is known",
        may_be_unknown=True,
    ),
    "probability": Hint(
        "Likely kept",
        "share",
        "that it will be kept, learnt from the decisions so far; empty: not learnt yet",
        may_be_unknown=True,
    ),
}
"""Not measured of a picture but made of that, and of decisions; shown and filtered beside the hints."""
MASK_UNCERTAINTY = Hint("Mask wrong", "share", "chance that its mask is wrong (IoU below .85); empty: no mask yet, or drawn",
                        may_be_unknown=True)  # fmt: skip
"""Known of photos that were kept, once they have masks; shown and filtered beside the hints, as `mask_uncertainty`."""
