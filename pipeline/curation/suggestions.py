"""What the hints suggest, in a few words; a person decides. And what configured thresholds decide by themselves."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipeline.config import CurationRule, CurationSection
from pipeline.curation.decisions import Decision
from pipeline.package_files import PROJECT_FILE
from pipeline.tables import among

NOBODY_BELOW = 0.01
"""`person_share` under which nobody is in the picture."""
OUT_OF_FOCUS_BELOW = 0.42
"""`subject_sharpness` under which what was taken for a person is blurred, as lights and walls behind nobody are."""
MONOCHROME_BELOW = 0.02
"""`colourfulness` under which a picture is monochrome or one tint."""
DRAWN_ABOVE = 0.5
"""`drawn` from which on a picture is taken for a drawing or a screenshot."""
INAPPROPRIATE_ABOVE = 0.8
SHALLOW_ABOVE = 0.5
"""`shallowness` from which on the depth of field counts as shallow."""
CLEARLY = 0.2
"""At this distance from `SHALLOW_ABOVE` the depth of field is clear enough to suggest `keep`."""


@dataclass(frozen=True)
class Suggestion:
    """A suggested decision; `reason` is one of the study's for drop and the domain for move, `why` is for a person.

    `strength` in [0, 1] says how clear the case is. All but it are empty where there is nothing to say. `probability` is
    the chance of being right, None where nothing is known of it: only the depth of field is calibrated.
    """

    decision: str = ""
    reason: str = ""
    why: str = ""
    strength: float = 0.0
    probability: float | None = None


def suggest(hints: Mapping[str, Any], domain: str, settings: CurationSection) -> Suggestion:
    """The first thing that speaks against a photo of `domain`, else for it. `hints` by name; null is unknown."""
    share, colour, shallow = hints["person_share"], hints["colourfulness"], hints["shallowness"]
    if _is_known(hints["inappropriate"]) and hints["inappropriate"] > INAPPROPRIATE_ABOVE:
        return Suggestion("drop", "inappropriate", f"possibly inappropriate: {hints['inappropriate']:.2f}", 1.0)
    if not settings.people:
        return Suggestion()
    if hints["drawn"] > DRAWN_ABOVE:
        return Suggestion("drop", "no_person", f"looks drawn or like a screenshot: {hints['drawn']:.2f}", hints["drawn"])
    if share < NOBODY_BELOW:
        return Suggestion("drop", "no_person", f"nobody found: {share:.1%} of the picture", 1 - share / NOBODY_BELOW)
    sharp = hints["subject_sharpness"]
    if _is_known(sharp) and sharp < OUT_OF_FOCUS_BELOW:
        why = f"nobody in focus: what was taken for a person has the sharpness {sharp:.2f}"
        return Suggestion("drop", "no_person", why, 1 - sharp / OUT_OF_FOCUS_BELOW)
    if colour < MONOCHROME_BELOW:
        return Suggestion("drop", "edited", f"monochrome: colourfulness {colour:.3f}", 1 - colour / MONOCHROME_BELOW)
    return _by_depth_of_field(shallow, domain, settings)


def _is_known(value: object) -> bool:
    """As `not pd.isna(value)`, which takes a thousand times as long."""
    return value is not None and value is not pd.NA and value == value


def _by_depth_of_field(shallow: float, domain: str, settings: CurationSection) -> Suggestion:
    distance, chance = abs(shallow - SHALLOW_ABOVE) / SHALLOW_ABOVE, max(shallow, 1 - shallow)
    if domain in settings.shallow_domains and shallow < SHALLOW_ABOVE:
        return Suggestion("drop", "unfit_blur", f"the background looks sharp: shallowness {shallow:.2f}", distance, chance)
    if domain in settings.deep_domains and shallow >= SHALLOW_ABOVE:
        why = f"the background looks out of focus: shallowness {shallow:.2f}"
        if len(settings.shallow_domains) == 1:
            return Suggestion("move", settings.shallow_domains[0], why, distance, chance)
        return Suggestion("drop", "unfit_blur", why, distance, chance)
    if domain in (*settings.shallow_domains, *settings.deep_domains) and distance >= CLEARLY:
        return Suggestion("keep", "", f"a person, and shallowness {shallow:.2f} fits the domain", distance, chance)
    return Suggestion()


def rule_decisions(
    unique: pd.DataFrame, hints: pd.DataFrame, rules: Sequence[CurationRule], decided_groups: Set[str]
) -> list[Decision]:
    """What the configured rules decide about the photos kept of `unique_photos` whose group nobody has decided.

    `hints` is the table `photo_hints`. Of several rules that apply the first in the project file counts; the decision
    says which, with the number, and carries its place among the rules for a row and no time.
    """
    if not rules:
        return []
    kept = unique[unique["rule"].isna() & ~among(unique["group"], decided_groups)]
    rows = kept[["photo_id", "domain", "sha256"]].merge(hints, on="sha256")
    found: dict[str, Decision] = {}
    for number, rule in enumerate(rules, 1):
        values = rows[rule.hint].astype(float)
        applies = values < rule.below if rule.below is not None else values > float(rule.above or 0.0)
        if rule.domain is not None:
            applies &= rows["domain"] == rule.domain
        said = f"is below {rule.below}" if rule.below is not None else f"is above {rule.above}"
        for photo_id, value in zip(rows.loc[applies, "photo_id"], values[applies], strict=True):
            note, name = f"{rule.hint} {value:g} {said}", f"rule:{rule.name}"
            when = (0, PROJECT_FILE, number)
            found.setdefault(
                photo_id, Decision(photo_id, rule.decision, rule.reason, None, name, note, PROJECT_FILE, number, when)
            )
    return list(found.values())
