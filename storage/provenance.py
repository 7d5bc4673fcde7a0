"""From what a table was made: kept in its footer, and held field by field against what it would be made from now."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from pipeline.bounded import form_problem, parse_json

Settings = Mapping[str, Any]
"""Values of the project file by the name of their field, like `dedupe.radius_bits`; whatever JSON can say."""
SHOWN_CHARACTERS, OUTSIDE_SHOWN = 60, 12
"""Longer values, of settings and of what is neither setting nor table, are not written out in a reason."""
FORM = {"code_version": str, "settings": dict, "tables": {str: {str: str}}, "outside": {str: str}, "notes": {str: str}}
"""In JSON; a home may be copied from somebody else."""


@dataclass(frozen=True)
class Provenance:
    """All that decides what a table holds.

    Two are compared by `differences`, which says in words what is not the same.
    """

    code_version: str
    """Raised whenever the same inputs give another table."""
    settings: Settings = field(default_factory=dict)
    tables: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Data versions of the tables it was made from: by name, then by partition (`""` where there are none)."""
    outside: Mapping[str, str] = field(default_factory=dict)
    """Versions of what is neither, by words that "… changed" can follow: `segmenter`, `drawn masks`."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """What readers of the table want to know of its making; two that differ in nothing else are equal."""

    def to_json(self) -> str:
        """The form in which a footer holds it."""
        return json.dumps({one.name: getattr(self, one.name) for one in fields(self)}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Provenance":
        """What `to_json` wrote, fields of later versions passed over. Raises `ValueError` for anything else."""
        told = parse_json(text.encode())
        problem = form_problem(told, FORM) or ("" if "code_version" in told else "it names no version of the code")
        if problem:
            raise ValueError(f"no provenance, {problem}: {text[:SHOWN_CHARACTERS]}")
        return cls(**{one.name: told[one.name] for one in fields(cls) if one.name in told})

    def with_outside(self, **versions: str) -> "Provenance":
        """The same but for the versions of some things outside."""
        return replace(self, outside={**self.outside, **versions})


def differences(stored: Provenance, required: Provenance, defaults: Settings) -> list[str]:
    """Why a table made from `stored` is not the one that `required` gives, in words; empty where it is.

    A setting of which `stored` knows nothing had its default: it came into the project file later.
    """
    found = []
    if stored.code_version != required.code_version:
        found.append(f"its code changed, version {stored.code_version} → {required.code_version}")
    found += _changed_settings({**defaults, **stored.settings}, json.loads(json.dumps(required.settings)))
    for name in sorted({*stored.tables, *required.tables}):
        found += changed_partitions(name, stored.tables.get(name, {}), required.tables.get(name, {}))
    return [*found, *_changed_outside(stored.outside, required.outside)]


def _changed_outside(stored: Mapping[str, str], required: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*stored, *required}):
        before, now = stored.get(name, ""), required.get(name, "")
        if before != now:
            # Digests mean nothing to a person; a date or a number does.
            yield f"the {name} changed" + (f": {before} → {now}" if max(len(before), len(now)) <= OUTSIDE_SHOWN else "")


def _changed_settings(stored: Settings, required: Settings) -> Iterator[str]:
    for name, value in required.items():
        if name not in stored:
            yield f"`{name}` is new"
        elif stored[name] != value:
            yield _told(name, stored[name], value)


def _told(name: str, before: object, now: object) -> str:
    shown = [json.dumps(value, ensure_ascii=False) for value in (before, now)]
    if max(map(len, shown)) > SHOWN_CHARACTERS:
        return f"`{name}` changed"
    return f"`{name}` {shown[0]} → {shown[1]}"


def changed_partitions(name: str, stored: Mapping[str, str], required: Mapping[str, str]) -> list[str]:
    """In words how the partitions of a table, each with its data version, are not those that are required."""
    kinds = {
        "is new": [key for key in required if key not in stored],
        "is gone": [key for key in stored if key not in required],
        "changed": [key for key in required if key in stored and stored[key] != required[key]],
    }
    return [_of_partitions(name, keys, what) for what, keys in kinds.items() if keys]


def _of_partitions(name: str, keys: Sequence[str], what: str) -> str:
    if len(keys) == 1:
        return " ".join(filter(None, [f"`{name}`", keys[0], what]))
    return f"`{name}` {what} in {len(keys)} partitions"
