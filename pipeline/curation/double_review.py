"""Photos that two people decide, each without seeing what the other said: which they are, and what counts.

Asked for by `[curation] double_review`, the share of photos that it is asked of. Which these are follows from the
photo's split key alone: a larger share has all photos of a smaller one, and copies of a picture are in it together.

Of the others the last word counts, as ever. Of these neither of two people outranks the other: where they differ, the
photo is a conflict until one of them gives in or a third person decides; from three people on the last word counts.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.config import ConflictRule, CurationSection
from pipeline.curation.decisions import Decision


@dataclass(frozen=True)
class DoubleReviewOutcome:
    """What the words about a photo come to; `conflict` has the two that differ while nothing has settled it."""

    counts: Decision | None
    conflict: Sequence[Decision] = ()


@dataclass(frozen=True)
class DoubleReview:
    """The share of photos in [0, 1] that two people decide, and what becomes of a conflict that nobody has settled."""

    share: float = 0.0
    conflicts: ConflictRule = "wait"

    @classmethod
    def of(cls, settings: CurationSection) -> "DoubleReview":
        """As the project file has it."""
        return cls(settings.double_review, settings.conflicts)

    def includes(self, split_key: str) -> bool:
        """Whether two people decide the photos of this split key."""
        digest = hashlib.sha256(b"double review\0" + split_key.encode()).digest()
        return int.from_bytes(digest[:8]) < self.share * 2**64

    def outcome(self, words: Sequence[Decision]) -> DoubleReviewOutcome:
        """Of all that was said, in any order, about a photo that two people decide and about its copies."""
        held = holders(words)
        if len(held) != 2 or verdict(held[0]) == verdict(held[1]):
            return DoubleReviewOutcome(held[-1] if held else None)
        chosen = [word for word in held if (word.decision == "drop") == (self.conflicts == "drop")]
        return DoubleReviewOutcome(chosen[0] if self.conflicts != "wait" and len(chosen) == 1 else None, held)


def holders(words: Sequence[Decision]) -> list[Decision]:
    """What each person says at the end of a photo and its copies, the earliest first; not who took it back."""
    last: dict[tuple[str, str], Decision] = {}
    for word in sorted(words, key=lambda word: word.when):
        last[word.person, word.photo_id] = word
    said = sorted((word for word in last.values() if word.decision != "skip"), key=lambda word: word.when)
    return sorted({word.person: word for word in said}.values(), key=lambda word: word.when)


def verdict(word: Decision) -> tuple[str, str | None]:
    """What two people can agree on; the reason of a drop is not a matter of in or out."""
    return word.decision, word.move_to
