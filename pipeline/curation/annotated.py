"""Decisions that people took in Label Studio or FiftyOne, as rows of a reviewed CSV.

Label Studio: its export "JSON". Each submitted annotation is a decision of its annotator, with the time at which it was
last changed; predictions and skipped tasks decide nothing. FiftyOne: the `labels.json` that it exports as
FiftyOneImageClassificationDataset. There a label is a decision, `drop` and `move` with their reason or domain in the label
(`drop:wrong_tag`, `move:shallow`) or in the attributes `reason`, `move_to`, `note`.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.atomic import write_bytes
from pipeline.bounded import parse_json
from pipeline.curation.decisions import DECISION_COLUMNS, person_of, problem_of, time_ns
from pipeline.entered_text import one_line
from pipeline.errors import ConfigError
from pipeline.file_names import child
from pipeline.photo_ids import written_id
from pipeline.plain_files import read_plain
from pipeline.spreadsheet import csv_text, no_formula, read_rows

SHOWN = 5
_PARTS = ("decision", "reason", "move_to", "note")
ANNOTATOR = "annotator"
"""A column of our CSVs that nothing else reads: the tool's number of who decided."""


@dataclass(frozen=True)
class Annotated:
    """A decision as it was taken outside; `where` tells a person its place in the file, `who` is the tool's annotator."""

    where: str
    photo_id: str
    decision: str
    reason: str = ""
    move_to: str = ""
    note: str = ""
    decided_at: str = ""
    who: str = ""

    def row(self, curator: str) -> dict[str, str]:
        """The cells of a reviewed CSV, plain text in the form in which they are read."""
        names = ("photo_id", *_PARTS, "decided_at")
        cells = {name: one_line(getattr(self, name)) for name in names}
        for name in ("decision", "reason", "move_to"):
            cells[name] = re.sub(r"[\s-]+", "_", cells[name].lower())
        ours = {"photo_id": written_id(cells["photo_id"]), "curator": curator, "counts_at": ""}
        return {**cells, **ours, ANNOTATOR: one_line(self.who)}


@dataclass(frozen=True)
class Taken:
    """The CSV that holds the decisions now, how many, and whether it was there already."""

    path: Path
    decisions: int
    was_there: bool


def take_decisions(file: Path, tool: str, reviewer: str, folder: Path, known_ids: Set[str], domains: Set[str]) -> Taken:
    """Write the decisions of `file`, exported by `tool` (a key of `READERS`), into a new CSV in `folder`.

    Taken twice, the same file gives the same CSV. Where several people annotated, each is a curator of their own, named
    `reviewer` with the tool's number of them, but for who was `reviewer` alone in an earlier file. Raises `ConfigError` for
    a file that is none, has no decision, or has one that cannot stand in a reviewed CSV; then nothing is written.
    """
    data = _read(file)
    try:
        found = list(READERS[tool](parse_json(data)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{file}: is no export of {tool} with decisions ({error!r}); {_HOW[tool]}") from None
    if not found:
        raise ConfigError(f"{file}: nobody has decided anything in it; {_HOW[tool]}")
    names = _names(found, tool, reviewer, folder)
    rows = [one.row(names[one.who]) for one in found]
    wrong = [
        f"{one.where}: {column} {value[:60]!r}: {allowed}"
        for one, row in zip(found, rows, strict=True)
        for column, value, allowed in _problems(row, known_ids, domains)
    ]
    if wrong:
        more = f" (and {len(wrong) - SHOWN} more)" if len(wrong) > SHOWN else ""
        raise ConfigError(f"{file}: nothing was taken over; " + "; ".join(wrong[:SHOWN]) + more)
    columns = (*DECISION_COLUMNS, ANNOTATOR)
    lines = [columns, *([no_formula(row[name]) for name in columns] for row in rows)]
    text = csv_text(lines).encode("utf-8-sig")
    digest = hashlib.sha256(data + b"\0" + reviewer.encode()).hexdigest()[:12]
    path = child(folder, f"{tool}-{digest}.csv")
    was_there = path.exists()
    if not was_there:
        write_bytes(path, text)
    return Taken(path, len(rows), was_there)


def _names(found: Sequence[Annotated], tool: str, reviewer: str, folder: Path) -> dict[str, str]:
    """What each annotator is called. Exports grow, and a person with two names would agree with themselves as two people."""
    known, names = _known_names(found, tool, reviewer, folder), dict[str, str]()
    people = list(dict.fromkeys(one.who for one in found))
    for who in people:
        numbered = f"{reviewer} {one_line(who)}".strip()
        name = known.get(one_line(who), numbered if len(people) > 1 else reviewer)
        names[who] = numbered if name in names.values() else name
    return names


def _known_names(found: Sequence[Annotated], tool: str, reviewer: str, folder: Path) -> dict[str, str]:
    """By the tool's number of them, what `reviewer`'s annotators are called in the CSVs that were taken from it before.

    Those of earlier revisions do not say whose number `reviewer` alone is: the same decisions in this file tell.
    """
    known: dict[str, str] = {}
    said = {(row["photo_id"], row["decided_at"]): row[ANNOTATOR] for row in (one.row("") for one in found)}
    for path in sorted(folder.glob("*.csv")):
        for row in _earlier_rows(path) if path.name.startswith(f"{tool}-") else ():
            curator, time = row.get("curator", ""), row.get("decided_at", "")
            if person_of(curator) == person_of(reviewer):
                who = row.get(ANNOTATOR) or (said.get((row.get("photo_id", ""), time), "") if time else "")
                known |= {who: curator} if who else {}
            elif person_of(curator).startswith(person_of(f"{reviewer} ")):
                known.setdefault(curator[len(reviewer) + 1 :], curator)
    return known


def _earlier_rows(path: Path) -> Iterator[dict[str, str]]:
    try:
        yield from read_rows(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; it tells who is who") from None


def _problems(row: Mapping[str, str], known_ids: Set[str], domains: Set[str]) -> Iterator[tuple[str, str, str]]:
    if problem := problem_of(row, known_ids, domains):
        yield problem
    if row["decided_at"] and time_ns(row["decided_at"]) is None:
        yield "decided_at", row["decided_at"], "is no time like 2026-11-21T17:16:18Z"


def _read(file: Path) -> bytes:
    try:
        return read_plain(file)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None


# --- Label Studio -----------------------------------------------------------------------------------------------------


def _label_studio(content: Any) -> Iterator[Annotated]:  # noqa: ANN401 - whatever the file holds
    if not isinstance(content, list):
        raise ValueError("no list of tasks")
    for number, task in enumerate(content, 1):
        where = f"task {task.get('id', number)}"
        annotations = task["annotations"]
        for annotation in sorted(annotations, key=lambda one: time_ns(_time(one)) or 0):
            if not annotation.get("was_cancelled") and (said := _parts(where, annotation["result"])):
                yield replace(
                    said,
                    photo_id=str(task["data"]["photo_id"]),
                    decided_at=_time(annotation),
                    who=_person(annotation.get("completed_by")),
                )


def _time(annotation: Mapping[str, Any]) -> str:
    return str(annotation.get("updated_at") or annotation.get("created_at") or "")


def _person(completed_by: object) -> str:
    if isinstance(completed_by, dict):
        completed_by = completed_by.get("email") or completed_by.get("id")
    return "" if completed_by is None else str(completed_by)


def _parts(where: str, result: list[dict[str, Any]]) -> Annotated | None:
    """What an annotation says; None where it decides nothing. Brushes are no decision."""
    said: dict[str, str] = {}
    for region in result:
        name, value = region.get("from_name"), region.get("value", {})
        values = value.get("choices") or value.get("text") or []
        values = [values] if isinstance(values, str) else values
        if name in _PARTS and values:
            said[name] = " ".join(map(str, values))
    return Annotated(where, "", **said) if "decision" in said else None


# --- FiftyOne ---------------------------------------------------------------------------------------------------------


def _fiftyone(content: Any) -> Iterator[Annotated]:  # noqa: ANN401 - whatever the file holds
    classes = content.get("classes")
    for name, found in content["labels"].items():
        entry = found if isinstance(found, dict) else {"label": found}
        label, attributes = entry["label"], entry.get("attributes") or {}
        if label is None:
            continue
        if isinstance(label, int):
            label = classes[label]
        decision, _, about = str(label).partition(":")
        said = {key: str(attributes[key]) for key in ("reason", "move_to", "note") if attributes.get(key) is not None}
        if about:
            said["move_to" if decision.strip().lower() == "move" else "reason"] = about
        photo_id = str(attributes.get("photo_id") or name)
        yield Annotated(f"sample {name}", photo_id, decision, decided_at=str(attributes.get("decided_at") or ""), **said)


READERS: dict[str, Callable[[Any], Iterator[Annotated]]] = {"labelstudio": _label_studio, "fiftyone": _fiftyone}
_HOW = {
    "labelstudio": "export the project as JSON (not JSON-MIN), with submitted annotations",
    "fiftyone": "export as FiftyOneImageClassificationDataset with include_attributes=True and name its labels.json",
}
"""How to get such a file."""
