"""Decisions meet photos: which are kept, where they go, by whom and why."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd

from pipeline.counted import counted
from pipeline.curation.decisions import Decision, named, opinions
from pipeline.curation.double_review import DoubleReview, holders, verdict
from pipeline.tables import among, columns_of

FACTS = ("photo_id", "domain", "sha256", "split_key")
"""What `curated_photos` says of a photo beside what was decided."""
OTHER_DOMAIN = "both_domains"
"""The rule by which photos went whose picture is in another domain too."""


def curate(
    unique: pd.DataFrame,
    decisions: Sequence[Decision],
    by_rules: Sequence[Decision] = (),
    double: DoubleReview = DoubleReview(),  # noqa: B008 (frozen)
) -> pd.DataFrame:
    """The table `curated_photos` from `unique_photos` and the decisions, in any order.

    A decision stands for its whole group of duplicates: of all that curators say at the end about its members, the last word
    counts, and what differs from it is noted as dissent. The group is shown by a member that was decided in that way: the
    photo kept if it is among them, else the largest, so that a larger copy uploaded later neither orphans a decision nor
    asks again. For a member that went because the picture is in the preferred domain, the photo kept there is shown. Groups
    that a rule of the deduplication dropped as a whole have no say.
    `by_rules` are decisions of configured thresholds, for groups that nobody has decided. What counts of a group that
    two people decide says `double`; a conflict that waits is left out.
    """
    kept, members = unique[unique["rule"].isna()], _open_members(unique)
    groups = _by_photo(members)
    ruled = words_by_group(groups, by_rules)
    said = {**ruled, **words_by_group(groups, opinions(decisions))}
    if double.share:
        split_keys = dict(zip(members["group"].tolist(), members["split_key"].tolist(), strict=True))
        by_two = {
            group: _settled(words, double) if holders(words) else ruled.get(group, [])
            for group, words in words_by_group(groups, decisions).items()
            if double.includes(split_keys[group])
        }
        said |= by_two
        said = {group: words for group, words in said.items() if words}
    involved = among(members["photo_id"], {word.photo_id for words in said.values() for word in words})
    keepers = {photo["group"]: photo for photo in _photos(kept[among(kept["group"], said)])}
    photos = {
        str(photo["photo_id"]): keepers[photo["group"]] if photo["rule"] == OTHER_DOMAIN else photo
        for photo in _photos(members[involved])
    }
    rows = [_row(words, photos) for words in said.values()]
    return pd.DataFrame(rows, columns=columns_of("curated_photos"))


def _photos(rows: pd.DataFrame) -> Iterator[Mapping[str, object]]:
    """What a decision needs to know of each; of whole rows `to_dict` makes records in ten times as long."""
    names = [*FACTS, "group", "rule", "width_px", "height_px"]
    return (dict(zip(names, photo, strict=True)) for photo in zip(*(rows[name].tolist() for name in names), strict=True))


def one_per_photo(unique: pd.DataFrame) -> pd.DataFrame:
    """Rows of `unique_photos`, one a photo: of one found in several domains the row by which it stays, if it does."""
    is_twice = unique.duplicated("photo_id", keep=False).to_numpy()
    twice = unique[is_twice]
    order = np.argsort((twice["rule"].notna().astype(int) + (twice["rule"] == OTHER_DOMAIN)).to_numpy(), kind="stable")
    is_first = ~twice["photo_id"].iloc[order].duplicated().to_numpy()
    stays = ~is_twice
    stays[np.flatnonzero(is_twice)[order[is_first]]] = True
    return unique[stays].sort_index()


def decided_groups(unique: pd.DataFrame, decisions: Sequence[Decision]) -> set[str]:
    """Groups of `unique_photos` about a member of which somebody holds an opinion at the end."""
    about = {decision.photo_id for decision in opinions(decisions)}
    return set(unique.loc[among(unique["photo_id"], about), "group"])


def open_groups(unique: pd.DataFrame) -> dict[str, str]:
    """From photo to its group of `unique_photos`, where one of that is kept."""
    return _by_photo(_open_members(unique))


def words_by_group(groups: Mapping[str, str], words: Iterable[Decision]) -> dict[str, list[Decision]]:
    """Words by `open_groups`, the last word last; those about photos in none are left out."""
    found: dict[str, list[Decision]] = {}
    for word in sorted(words, key=lambda word: word.when):
        if word.photo_id in groups:
            found.setdefault(groups[word.photo_id], []).append(word)
    return found


def _by_photo(members: pd.DataFrame) -> dict[str, str]:
    return dict(zip(members["photo_id"].tolist(), members["group"].tolist(), strict=True))


def _open_members(unique: pd.DataFrame) -> pd.DataFrame:
    """The photos of the groups of which one is kept."""
    return one_per_photo(unique[among(unique["group"], unique.loc[unique["rule"].isna(), "group"])])


def _settled(words: list[Decision], double: DoubleReview) -> list[Decision]:
    """What holds about a photo that two people decide, what counts last; nothing for a conflict that waits."""
    counts = double.outcome(words).counts
    return [*(word for word in holders(words) if word is not counts), counts] if counts else []


def _row(words: list[Decision], photos: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    last, photo, dissent = words[-1], photos[words[-1].photo_id], list[str]()
    if len(words) > 1:  # of a hundred thousand few are decided twice
        agreeing = [photos[word.photo_id] for word in words if verdict(word) == verdict(last)]
        photo = min(agreeing, key=_preference)
        dissent = [str(word) for word in words if verdict(word) != verdict(last)]
    target = {"keep": photo["domain"], "move": last.move_to, "drop": None}[last.decision]
    facts = {name: photo[name] for name in FACTS}
    said = {name: getattr(last, name) for name in ("decision", "reason", "curator", "note", "file", "row")}
    about = {"decided_photo_id": last.photo_id, "decided_at_s": last.decided_ns // 10**9}
    return {**facts, **said, **about, "target_domain": target, "dissent": "; ".join(dissent) or None}


def _preference(photo: Mapping[str, object]) -> tuple[bool, int, str]:
    pixels = int(str(photo["width_px"])) * int(str(photo["height_px"]))
    return isinstance(photo["rule"], str), -pixels, str(photo["photo_id"])


def too_few(curated: pd.DataFrame, domains: list[str], minimum: int) -> list[str]:
    """A message for each domain that has fewer kept photos than `minimum`."""
    kept = curated["target_domain"].value_counts()
    return [
        f"{domain}: {counted(int(kept.get(domain, 0)), 'photo')} kept, at least {minimum} are needed"
        for domain in domains
        if kept.get(domain, 0) < minimum
    ]


def disagreements(curated: pd.DataFrame, waiting: Mapping[str, Sequence[str]] = MappingProxyType({})) -> list[str]:
    """A message for each group about which not all say the same; `waiting` are the conflicts that nothing has settled."""
    disputed = curated[curated["dissent"].notna()]
    columns = ["decided_photo_id", "decision", "curator", "file", "row", "dissent"]
    settled = [
        f"{photo_id}: {decision} by {named(curator)} ({file}, row {row}) counts; otherwise said {dissent}"
        for photo_id, decision, curator, file, row, dissent in disputed[columns].itertuples(index=False, name=None)
    ]
    return [*settled, *(f"{photo_id}: a third must decide: {'; '.join(said)}" for photo_id, said in waiting.items())]
