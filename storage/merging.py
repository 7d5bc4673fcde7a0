"""Two machines' changes to one home, by file: what only one has changed is taken from it, and the rest goes by a rule.

What both have changed differently:

- tables: the one in the store stays, and is due again where it does not fit what is here;
- `tables/tombstones`: the rows of both, so that no photo is forgotten by one machine alone;
- `tables/imports` and its layers: the rows of both, without photos that either has forgotten, so that both import at once;
- what people wrote (`review/reviewed`, `comparisons`, `masks`): both stay, this machine's under a further name;
- journals of stages at work: each machine goes on with its own;
- everything else: the store's stays, and this machine's is set aside in the folder `remote/set-aside`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import PurePosixPath

from storage.bucket import WORKING, File

OF_THE_MACHINE = (
    "dagster", "budget", "kept-decisions.parquet", "kept-records.json", "kept-review.json", "slurm", "work", WORKING
)  # fmt: skip
"""Parts of a home that stay on each machine: Dagster's records, calls of its own, what engines are at."""
TOMBSTONES = "tables/tombstones/all.parquet"
UNITED = {
    TOMBSTONES: ["photo_id"],
    "tables/imports/all.parquet": ["domain", "photo_id"],
    "tables/imported_layers/all.parquet": ["domain", "photo_id"],
}
"""Tables that no stage makes and whose rows stand each for itself, with the columns that tell them apart."""
OF_PEOPLE = ("review/reviewed/", "review/comparisons/", "review/masks/")
JOURNALS = ("journals/", "hints-journal.jsonl")
MADE_AGAIN = ("tables/", "review/queue/", "thumbnails/", "masks/", "depth/", "fingerprints/", "shards/", "duplicates/")
"""What stages make from tables: of two versions one is enough."""


class Rule(Enum):
    """What becomes of a file that both have changed."""

    DUE_AGAIN = "the store's stays; what does not fit it is made again"
    ROWS_OF_BOTH = "the rows of both stay"
    BOTH_KEPT = "both stay"
    OWN_KEPT = "this machine goes on with its own"
    SET_ASIDE = "the store's stays"


@dataclass
class Merged:
    """What a home is after both: its files, and how to get there from what is here."""

    files: dict[str, File] = field(default_factory=dict)
    fetch: list[str] = field(default_factory=list)
    """Files to bring from the store."""
    drop: list[str] = field(default_factory=list)
    """Files to delete here."""
    conflicts: dict[str, Rule] = field(default_factory=dict)


def is_of_the_machine(name: str) -> bool:
    """Whether the file stays on the machine where it is."""
    return name.partition("/")[0] in OF_THE_MACHINE


def same(one: File | None, other: File | None, name: str) -> bool:
    """Whether two are the same file as far as anybody minds: the times of files count where people decide."""
    if one is None or other is None:
        return one is other
    is_alike = (one.sha256, one.mode) == (other.sha256, other.mode)
    return is_alike and (one.mtime_ns == other.mtime_ns or not name.startswith(OF_PEOPLE))


def merge(base: Mapping[str, File], here: Mapping[str, File], there: Mapping[str, File]) -> Merged:
    """Put together what a folder (`here`) and the store (`there`) have become of the `base` that both come from."""
    merged = Merged()
    for name in _sorted(base, here, there):
        before, own, other = base.get(name), here.get(name), there.get(name)
        if same(own, other, name) or same(other, before, name):
            taken = own
        elif same(own, before, name):
            taken = other
            (merged.drop if other is None else merged.fetch).append(name)
        elif own is None or other is None:
            taken = own or other
            if own is None:
                merged.fetch.append(name)
        else:
            merged.conflicts[name] = rule = rule_of(name)
            taken = own if rule is Rule.OWN_KEPT else other
            if rule is not Rule.OWN_KEPT:
                merged.fetch.append(name)
        if taken is not None:
            merged.files[name] = taken
    return merged


def _sorted(*lists: Iterable[str]) -> list[str]:
    return sorted({name for one in lists for name in one})


def rule_of(name: str) -> Rule:
    """What becomes of that file where both have changed it."""
    if name in UNITED:
        return Rule.ROWS_OF_BOTH
    if name.startswith(OF_PEOPLE):
        return Rule.BOTH_KEPT
    if name.startswith(JOURNALS):
        return Rule.OWN_KEPT
    if name.startswith(MADE_AGAIN):
        return Rule.DUE_AGAIN
    return Rule.SET_ASIDE


def further_name(name: str, sha256: str) -> str:
    """The name of this machine's version beside the store's."""
    path = PurePosixPath(name)
    return str(path.with_name(f"{path.stem}-{sha256[:8]}{path.suffix}"))
