"""How far two people agree who decided the same photos, neither seeing what the other said."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from pipeline.curation.curate import open_groups, words_by_group
from pipeline.curation.decisions import Decision, named
from pipeline.curation.double_review import DoubleReview, holders, verdict

Pair = tuple[Decision, Decision]


@dataclass(frozen=True)
class Agreement:
    """Of `photos` that two people decided they said the same about `agreeing`.

    `kappa` is Cohen's: 1 for agreement, 0 for what chance would give; None where it says nothing, since nobody decided
    twice or all said the same about all.
    """

    photos: int
    agreeing: int
    kappa: float | None

    def __str__(self) -> str:
        kappa = "" if self.kappa is None else f", kappa {self.kappa:.2f}"
        return f"{self.agreeing} of {self.photos}{kappa}"


@dataclass(frozen=True)
class Reviewed:
    """Where the double review stands: photos it is asked of by how many people decided them, conflicts, agreement."""

    share: float
    undecided: int
    decided_by_one: int
    decided_by_more: int
    conflicts: dict[str, list[str]]
    """Photo id → the two decisions that differ and that nothing has settled yet."""
    agreement: Agreement
    domains: dict[str, Agreement]
    curators: dict[str, Agreement]
    """Names of two people, like `Ann + Ben` → their agreement."""


def reviewed_twice(unique: pd.DataFrame, decisions: Sequence[Decision], double: DoubleReview) -> Reviewed:
    """The state of the double review of the photos that are kept of `unique_photos`; `decisions` in any order."""
    kept = unique[unique["rule"].isna()].drop_duplicates("group")
    asked = kept[kept["split_key"].map(double.includes).astype(bool)]
    said = words_by_group(open_groups(unique), decisions)
    words = [said.get(group, []) for group in asked["group"]]
    people = [len(holders(about)) for about in words]
    pairs = [(domain, pair) for domain, about in zip(asked["domain"], words, strict=True) if (pair := blind_pair(about))]
    conflicts = zip(asked["photo_id"], (double.outcome(about).conflict for about in words), strict=True)
    return Reviewed(
        share=double.share,
        undecided=people.count(0),
        decided_by_one=people.count(1),
        decided_by_more=sum(count > 1 for count in people),
        conflicts={photo_id: list(map(str, differing)) for photo_id, differing in conflicts if differing},
        agreement=agreement(pair for _, pair in pairs),
        domains={name: agreement(pair for domain, pair in pairs if domain == name) for name in sorted(set(asked["domain"]))},
        curators={names: agreement(found) for names, found in sorted(_by_names(pair for _, pair in pairs).items())},
    )


def blind_pair(words: Sequence[Decision]) -> Pair | None:
    """What the two who decided first had said when the second did; None while there are not two.

    What either says later, having seen the other's, does not count here. Who takes back what he said never said it.
    """
    in_time = sorted(words, key=lambda word: word.when)
    pair: Pair | None = None
    for count in range(1, len(in_time) + 1):
        holding = holders(in_time[:count])
        if pair is None or not {one.person for one in pair} <= {one.person for one in holding}:
            pair = (holding[0], holding[1]) if len(holding) > 1 else None
    return pair


def agreement(pairs: Iterable[Pair]) -> Agreement:
    """Over keep, drop and each move. The sides of Cohen's table are the two people in the order of their names."""
    sides = [sorted(pair, key=lambda word: word.person) for pair in pairs]
    total, agreeing = len(sides), sum(verdict(first) == verdict(second) for first, second in sides)
    firsts, seconds = (Counter(verdict(pair[side]) for pair in sides) for side in (0, 1))
    by_chance = sum(count * seconds[said] for said, count in firsts.items())
    kappa = None if by_chance == total**2 else (agreeing * total - by_chance) / (total**2 - by_chance)
    return Agreement(total, agreeing, kappa)


def _by_names(pairs: Iterable[Pair]) -> dict[str, list[Pair]]:
    found: dict[str, list[Pair]] = {}
    written: dict[str, str] = {}
    """Person → the name as it was written first."""
    for pair in pairs:
        for word in pair:
            written.setdefault(word.person, named(word.curator))
        names = sorted((written[word.person] for word in pair), key=str.casefold)
        found.setdefault(" + ".join(names), []).append(pair)
    return found
