"""Which pairs people are shown, in which order and on which side, and what they chose, as rows of a CSV.

All judges see the same pairs in the same order, so that their answers can be held against one another; sides are shuffled
for each. Every eighth pair is one from before with sides changed, which shows whether somebody answers alike twice.
"""

import csv
import io
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import combinations

COLUMNS = ("snapshot_id", "photo_id", "left", "right", "question", "choice", "judge", "repeat", "seed", "decided_at")
OF_PORTRAITS = {
    "aperture": "Which looks more like a photograph taken with a large aperture?",
    "person": "Which keeps the person?",
}
"""What is asked of each pair."""
OF_COLLECTIONS = {
    "manner": "Which looks more like a picture of the other collection?",
    "content": "Which keeps what the picture shows?",
}
"""And where models show one collection in the manner of another."""
QUESTIONS = {**OF_PORTRAITS, **OF_COLLECTIONS}
CHOICES = ("left", "right", "same")
MAX_CHARACTERS = 300
"""Of a photo's id, a method and a judge in an answer."""
REPEATED_EVERY, REPEATED_AFTER = 8, 5
"""Every so manieth pair is the one so many before it."""


@dataclass(frozen=True)
class MethodPair:
    """Two methods on one photo."""

    photo_id: str
    first: str
    second: str


@dataclass(frozen=True)
class ShownPair:
    """A pair as one judge sees it."""

    photo_id: str
    left: str
    right: str
    is_repeat: bool


@dataclass(frozen=True)
class Choice:
    """One answer. `winner` is the method that was chosen, None where both are the same to the judge."""

    photo_id: str
    left: str
    right: str
    question: str
    choice: str
    judge: str
    is_repeat: bool = False

    @property
    def pair(self) -> tuple[str, str, str]:
        """Photo and methods, whichever side they were on."""
        first, second = sorted((self.left, self.right))
        return self.photo_id, first, second

    @property
    def winner(self) -> str | None:
        return {"left": self.left, "right": self.right}.get(self.choice)


def judge_key(judge: str) -> str:
    """What is the same for one judge, in capitals or not: it names the file, and decides the order of sides.

    >>> judge_key("Jürgen Müller")
    'jürgen-müller'
    """
    return "-".join(unicodedata.normalize("NFC", judge).casefold().split())


def spelled_alike(choices: Sequence[Choice]) -> list[Choice]:
    """Each judge under one name, as it was last spelled."""
    names = {judge_key(one.judge): one.judge for one in choices}
    return [replace(one, judge=names[judge_key(one.judge)]) for one in choices]


def plan(methods: Mapping[str, Sequence[str]], seed: int) -> list[MethodPair]:
    """Every two methods of every photo, shuffled; `methods` is photo → those that have a picture of it."""
    pairs = [MethodPair(photo, *pair) for photo, names in methods.items() for pair in combinations(sorted(names), 2)]
    return sorted(pairs, key=lambda pair: _chance(seed, pair.photo_id, pair.first, pair.second))


def shown_to(pairs: Sequence[MethodPair], judge: str, seed: int) -> list[ShownPair]:
    """What a judge sees, in order."""
    found: list[ShownPair] = []
    for pair in pairs:
        if len(found) % REPEATED_EVERY == REPEATED_EVERY - 1:
            before = found[-REPEATED_AFTER]
            found.append(ShownPair(before.photo_id, before.right, before.left, is_repeat=True))
        sides = (pair.first, pair.second)
        if _chance(seed, judge_key(judge), pair.photo_id, pair.first, pair.second)[0] % 2:
            sides = (pair.second, pair.first)
        found.append(ShownPair(pair.photo_id, *sides, is_repeat=False))
    return found


def read_choices(text: str, snapshot: str, where: str) -> tuple[list[Choice], list[str]]:
    """The answers about a snapshot in a CSV, the last of each judge for each pair and question; and rows that are none."""
    found: dict[tuple[object, ...], Choice] = {}
    problems: list[str] = []
    rows = _rows(text, where, problems)
    head = next(rows, {})
    if missing := [name for name in COLUMNS[:8] if name not in head]:
        return [], problems or [f"{where}: lacks the columns {', '.join(missing)}"]
    for number, row in enumerate(rows, 2):
        values = {name: (row.get(name) or "").strip() for name in COLUMNS}
        if values["snapshot_id"] != snapshot:
            continue
        if (
            values["question"] not in QUESTIONS
            or values["choice"] not in CHOICES
            or not all(0 < len(values[name]) <= MAX_CHARACTERS for name in ("photo_id", "left", "right", "judge"))
            or values["left"] == values["right"]
        ):
            problems.append(f"{where}, line {number}: is no answer; it needs a question of {', '.join(QUESTIONS)} and a "
                            f"choice of {', '.join(CHOICES)}")  # fmt: skip
            continue
        names = ("photo_id", "left", "right", "question", "choice", "judge")
        choice = Choice(*(values[name] for name in names), is_repeat=values["repeat"] == "1")
        found[judge_key(choice.judge), choice.pair, choice.question, choice.is_repeat] = choice
    return list(found.values()), problems


def _rows(text: str, where: str, problems: list[str]) -> Iterator[dict[str, str | None]]:
    """The head as a row of its own, then the rows, as far as they can be read."""
    reader = csv.DictReader(io.StringIO(text))
    try:
        yield dict.fromkeys(reader.fieldnames or ())
        for row in reader:
            yield {name: value for name, value in row.items() if isinstance(value, str)}
    except csv.Error as error:
        problems.append(f"{where}, from line {reader.line_num} on: cannot be read: {error}")


def row_of(choice: Choice, snapshot: str, seed: int, decided_at: str) -> list[str]:
    """The answer as a row under `COLUMNS`."""
    own = (choice.photo_id, choice.left, choice.right, choice.question, choice.choice, choice.judge)
    return [snapshot, *own, str(int(choice.is_repeat)), str(seed), decided_at]


def _chance(*parts: object) -> bytes:
    return sha256("\n".join(map(str, parts)).encode()).digest()
