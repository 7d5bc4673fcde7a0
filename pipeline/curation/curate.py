"""Decisions meet photos: which are kept, where they go, by whom and why."""

from collections.abc import Hashable, Mapping

import pandas as pd

from pipeline.curation.decisions import Decision
from pipeline.tables import columns_of


def curate(unique: pd.DataFrame, decisions: list[Decision]) -> pd.DataFrame:
    """The table `curated_photos` from `unique_photos` and the decisions, the earliest first.

    The last decision counts, and it stands for the whole duplicate group: for the photo kept if that was ever
    decided, else for the decided member itself. `skip` takes a photo's decision back. Groups that a rule dropped
    as a whole have no say.
    """
    latest = {decision.photo_id: decision for decision in decisions}
    decided = {photo_id: decision for photo_id, decision in latest.items() if decision.decision != "skip"}
    open_groups = set(unique.loc[unique["rule"].isna(), "group"])
    candidates = unique[unique["photo_id"].isin(decided.keys()) & unique["group"].isin(open_groups)].copy()
    candidates["undecided_keeper"] = candidates["rule"].notna()
    chosen = candidates.sort_values(["group", "undecided_keeper", "photo_id"]).drop_duplicates("group")
    last: dict[str, Decision] = {}
    for photo_id, group in zip(candidates["photo_id"], candidates["group"], strict=True):
        last[group] = max(last.get(group, decided[photo_id]), decided[photo_id], key=lambda decision: decision.when)
    rows = [_row(photo, last[str(photo["group"])]) for photo in chosen.to_dict("records")]
    return pd.DataFrame(rows, columns=columns_of("curated_photos"))


def _row(photo: Mapping[Hashable, object], decision: Decision) -> dict[str, object]:
    target = {"keep": photo["domain"], "move": decision.move_to, "drop": None}[decision.decision]
    facts = {name: photo[name] for name in ("photo_id", "domain", "sha256", "split_key")}
    said = {name: getattr(decision, name) for name in ("decision", "reason", "curator", "note", "file", "row")}
    return {**facts, **said, "target_domain": target}


def too_few(curated: pd.DataFrame, domains: list[str], minimum: int) -> list[str]:
    """A message for each domain that has fewer kept photos than `minimum`."""
    kept = curated["target_domain"].value_counts()
    return [
        f"{domain}: {int(kept.get(domain, 0))} photos kept, at least {minimum} are needed"
        for domain in domains
        if kept.get(domain, 0) < minimum
    ]
