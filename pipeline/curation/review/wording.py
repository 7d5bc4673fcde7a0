"""What the page says in words: hints, standings, progress, reasons."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pipeline.curation.decisions import REASONS, Decision, named
from pipeline.curation.review.catalog import CatalogPhoto
from pipeline.curation.review.state import Progress, ReviewStanding
from pipeline.hint_table import Hint
from pipeline.licenses import license_name
from pipeline.links import is_web
from pipeline.photo_ids import FLICKR

REASON_WORDS = {
    "wrong_tag": "Wrong tag", "unfit_blur": "Unfit blur", "no_person": "No person", "edited": "Edited",
    "inappropriate": "Inappropriate", "other": "Other",
}  # fmt: skip
STATUS_WORDS = {
    "keep": "Kept", "drop": "Dropped", "move": "Moved", "skipped": "Skipped", "undecided": "Undecided",
    "rule": "Decided by a rule", "conflict": "Conflict",
}  # fmt: skip
RULE_WORDS = {
    "": "the one kept",
    "perceptual": "looks the same",
    "cropped": "cut or bordered",
    "same_bytes": "the same file",
}
PAST = {"keep": "Kept", "drop": "Dropped", "move": "Moved", "skip": "Skipped"}
LONGEST_TITLE, MOST_TAGS = 300, 40


@dataclass(frozen=True)
class ShownHint:
    """One hint as it is shown; `share` in [0, 1] is drawn as a bar, None for counts and what is unknown."""

    name: str
    value: str
    share: float | None
    meaning: str


def hints(photo: CatalogPhoto, shown: Mapping[str, Hint]) -> list[ShownHint]:
    """Those of the hints shown that are known about a photo."""
    return [_shown(hint, photo.hints[name]) for name, hint in shown.items() if not math.isnan(photo.hints[name])]


def _shown(hint: Hint, value: float) -> ShownHint:
    if hint.scale == "count":
        return ShownHint(hint.label, f"{value:.0f}", None, hint.meaning)
    if hint.scale == "yes_no":
        return ShownHint(hint.label, "yes" if value >= 0.5 else "no", None, hint.meaning)
    text = _percent(value) if hint.scale == "share" else f"{value:.2f}"
    return ShownHint(hint.label, text, min(max(value, 0.0), 1.0), hint.meaning)


def _percent(share: float) -> str:
    return f"{share:.0%}".replace("%", "\u00a0%")


def hint_line(photo: CatalogPhoto) -> str:
    """Who is there, in a short line."""
    known = {name: value for name, value in photo.hints.items() if not math.isnan(value)}
    parts = []
    if "people" in known:
        count = int(known["people"])
        share = f", {_percent(known['person_share'])}" if count and "person_share" in known else ""
        parts.append("nobody" if not count else f"{count} {'person' if count == 1 else 'people'}{share}")
    return " · ".join(parts)


def depth_line(photo: CatalogPhoto) -> str:
    """How the depth of field looks, in a short line."""
    shown = (("shallow", "shallowness"), ("sharp", "subject_sharpness"))
    return " · ".join(f"{word} {photo.hints[name]:.2f}" for word, name in shown if not math.isnan(photo.hints[name]))


def standing(found: ReviewStanding) -> str:
    """What is decided, by whom and when, in a line."""
    if found.conflict:
        return "; ".join(f"{verdict(word)}, {by(word)}" for word in found.conflict)
    if found.holds is None:
        whose = f" by {_names(found.skipped_by)}" if found.status == "skipped" else ""
        return STATUS_WORDS[found.status] + whose
    return f"{verdict(found.holds)}, {by(found.holds)}"


def badge(found: ReviewStanding) -> str:
    """The same for a badge on a small picture; empty while nothing is decided."""
    if found.holds is not None:
        return verdict(found.holds)
    return "" if found.status == "undecided" else STATUS_WORDS[found.status]


def verdict(decision: Decision) -> str:
    """Like `Dropped: no person`."""
    about = {"drop": REASON_WORDS.get(decision.reason or "", "").lower(), "move": f"to {decision.move_to}"}
    more = about.get(decision.decision, "")
    return PAST[decision.decision] + (f": {more}" if decision.decision == "drop" and more else f" {more}" if more else "")


def by(decision: Decision) -> str:
    """By whom and when, in the local time of this machine."""
    at = datetime.fromtimestamp(decision.decided_ns / 1e9).astimezone()
    today = datetime.now().astimezone().date() == at.date()
    return f"by {named(decision.curator)}, {at:%H:%M}" + ("" if today else f" on {at:%d %b %Y}")


def suggestion(photo: CatalogPhoto) -> str:
    """Like `Drop: edited`; empty where nothing is suggested."""
    if not photo.suggested_decision:
        return ""
    reason = REASON_WORDS.get(photo.suggested_reason, "").lower()
    return photo.suggested_decision.capitalize() + (f": {reason}" if reason else "")


def certainty(photo: CatalogPhoto) -> str:
    """How often such a suggestion is right; empty where no chance is known."""
    chance = photo.hints["suggestion_probability"]
    if math.isnan(chance):
        return ""
    often = "more than " + _percent(0.99) if chance > 0.99 else _percent(chance)  # nothing is always right
    return f"right in {often} of such photographs"


def suggested_verdict(photo: CatalogPhoto, domains: Sequence[str]) -> str:
    """The suggestion as a button's value; empty where it cannot be accepted as it is."""
    if photo.suggested_decision == "drop":
        usable = photo.suggested_reason in REASONS and photo.suggested_reason != "other"
        return f"drop:{photo.suggested_reason}" if usable else ""
    if photo.suggested_decision == "move":
        others = [domain for domain in domains if domain != photo.domain]
        target = photo.suggested_reason if photo.suggested_reason in others else others[0] if len(others) == 1 else ""
        return f"move:{target}" if target else ""
    return "keep" if photo.suggested_decision == "keep" else ""


def progress(found: Progress) -> str:
    """How far, how fast and how long still."""
    parts = [f"{found.decided:,} of {found.total:,}"]
    if found.per_hour:
        parts.append(f"{found.per_hour:,.0f} an hour")
    if found.hours_left is not None and found.decided < found.total:
        parts.append(f"{_duration(found.hours_left)} left")
    return " · ".join(parts)


def conflicts(found: Progress) -> str:
    """How many photos a third person must settle; empty where there is none."""
    return f"{found.conflicts:,} conflict{'' if found.conflicts == 1 else 's'}" if found.conflicts else ""


def _duration(hours: float) -> str:
    minutes = max(1, round(hours * 60))
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes < 600 else f"{minutes / 60:,.0f} h"


def title(photo: CatalogPhoto) -> str:
    """The title, cut where it would fill the screen."""
    text = " ".join(photo.title.split())
    return (text[:LONGEST_TITLE] + "…" if len(text) > LONGEST_TITLE else text) or "Untitled"


def tags(photo: CatalogPhoto) -> list[str]:
    """The first tags."""
    return [tag[:60] for tag in photo.tags.split()[:MOST_TAGS]]


def owner(photo: CatalogPhoto) -> str:
    """The owner's name, else Flickr's id of the owner."""
    return (photo.owner_name or photo.owner or "an unknown owner")[:120]


def licence(photo: CatalogPhoto) -> str:
    """Its name; `unknown` alone would not say what is."""
    return "licence unknown" if photo.license in ("", license_name(None)) else photo.license


def rule(name: str | None) -> str:
    """By which rule a duplicate went, beside its picture."""
    return RULE_WORDS.get(name or "", str(name).replace("_", " "))


def link(photo: CatalogPhoto) -> str:
    """The photo's page where that is a web address, else empty."""
    return photo.page_url if is_web(photo.page_url) else ""


def site(photo: CatalogPhoto) -> str:
    """What the link leads to."""
    return "Flickr" if photo.photo_id.startswith(FLICKR) else "the source"


def _names(curators: Sequence[str]) -> str:
    return ", ".join(named(curator) for curator in curators)
