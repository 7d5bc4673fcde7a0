"""The reviewed folder as the page sees it: what every curator has said, kept current, and one's own new rows.

Files of others, spreadsheets' and other pages', are read again when they change. One's own rows go to one file for
each curator and start of the page, and are on the disk when `write` returns. An undo is a further row that says so:
it restores what the same curator had said before, or takes the decision back.

No order here rests on this machine's clock alone. A row counts by the time of the file system, the one clock that all
writers of the folder share, and after everything that was said before about its photo or by its curator: that clock may go
in steps of milliseconds. One's own rows are undone from the last to the first by file and row.
"""

import os
import re
import time
from bisect import insort
from collections.abc import Callable, Collection, Iterable, Iterator, Set
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from pathlib import Path
from tempfile import TemporaryFile
from uuid import uuid4

from pipeline.curation.decisions import (
    Decision,
    FileRead,
    Verdict,
    append_decision,
    find_tables,
    originals,
    person_of,
    problem_of,
    read_decision_file,
)
from pipeline.entered_text import one_line
from pipeline.errors import BokehflowError, disk_failed
from pipeline.file_names import child

UNDO = "undo: "
"""Begins the note of a row that undoes another."""
PAGE_FILE = "review-page-"
"""Begins the names of the files that pages write."""
_OF_A_PAGE = re.compile(rf"{PAGE_FILE}.*-([0-9]{{8}}T[0-9]{{6}}Z)-[0-9a-f]{{6}}(-[0-9]+)?\.csv")
"""No copies of these, as programs that synchronise folders make them: what is there twice would be undone twice."""
START = "%Y%m%dT%H%M%SZ"
CLOCKS_AGREE_NS = 2 * 10**9
"""The file system's time may differ from this machine's by so much, since it is coarse."""
LONGEST_NOTE, LONGEST_NAME = 500, 60
PAUSE_S = 90.0
"""A longer gap between two decisions is a pause and does not count for the pace."""
PACE_OVER = 100
"""Decisions over which the pace is measured."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Signature = tuple[int, int, int]
"""Modification time in ns, size, inode: what tells that a file has changed."""


class RefusedDecision(BokehflowError):
    """A decision that no reviewed CSV may hold."""


@dataclass
class DecisionLog:
    """What all curators have said. Not safe for several threads at once: the state holds the lock.

    `known_ids` are the photos about which rows count; `read` reads a file.
    """

    folder: Path
    domains: Set[str]
    known_ids: Callable[[], Set[str]]
    read: Callable[[Path, str, Set[str], Set[str]], FileRead] = read_decision_file
    _start: str = ""
    """In the names of this start's files, later than in those of all before it."""
    _files: dict[str, tuple[Signature, list[Decision]]] = field(default_factory=dict)
    _own: dict[str, Signature] = field(default_factory=dict)
    """Files of this start, as the last row written left them."""
    _words: dict[str, list[Decision]] = field(default_factory=dict)
    """Photo id → all that was said about it, the earliest first."""
    _stacks: dict[str, list[Decision]] = field(default_factory=dict)
    """Person → decisions made on pages that are not undone; put together anew when a page's file changes."""
    _latest_us: dict[str, int] = field(default_factory=dict)
    """Person → the latest time at which anything of theirs counts."""

    def __post_init__(self) -> None:
        found = (_OF_A_PAGE.fullmatch(path.name) for path in self.folder.glob(f"{PAGE_FILE}*"))
        latest = max((start[1] for start in found if start), default="")
        after = f"{datetime.strptime(latest, START) + timedelta(seconds=1):{START}}" if latest else ""
        self._start = f"{max(after, f'{datetime.now(UTC):{START}}')}-{uuid4().hex[:6]}"

    def refresh(self, everything: bool = False) -> set[str]:
        """Read files that are new, changed or gone (or all of them); returns the photos about which words changed."""
        found, _ = originals(find_tables(self.folder)[0])
        changed: set[str] = set()
        for name in [name for name in self._files if everything or name not in found]:
            changed |= self._forget(name)
        for name, path in found.items():
            signature = _signature(path)
            if signature is not None and signature != self._files.get(name, (None, []))[0]:
                changed |= self._take(path, name, signature)
        return changed

    def words(self, photo_id: str) -> list[Decision]:
        """All that was said about the photo, the earliest first."""
        return self._words.get(photo_id, [])

    def photos(self) -> Set[str]:
        """Photos about which anything was ever said."""
        return self._words.keys()

    def write(self, photo_id: str, verdict: Verdict, curator: str, alike: Collection[str] = ()) -> Decision:
        """Append the decision to the curator's file; it is on the disk when this returns.

        It counts after all that was said about the photo and those `alike`, for which it stands too. The curator's last
        decision, sent again, is not written twice where it still is the last word about them: the answer to it may have
        been lost.
        Raises `RefusedDecision` for what no reviewed CSV may hold.
        """
        verdict = replace(verdict, note=plain_note(verdict.note))
        row = {**asdict(verdict), "photo_id": photo_id}
        if wrong := problem_of(row, self.known_ids(), self.domains):
            raise RefusedDecision(f"{wrong[0]} {wrong[1][:80]!r}: {wrong[2]}")
        last = self.undoable(curator)
        if last is not None and last.photo_id == photo_id and verdict_of(last) == verdict:
            words = (word for one in {photo_id, *alike} for word in self.words(one))
            if all(word.when <= last.when for word in words):
                return last
        decision = self._append(photo_id, verdict, curator, alike)
        self._stack(curator).append(decision)
        return decision

    def undoable(self, curator: str) -> Decision | None:
        """The curator's last decision on a page that is not undone yet."""
        stack = self._stack(curator)
        return stack[-1] if stack else None

    def undo(
        self, curator: str, expected: str = "", alike: Callable[[str], Collection[str]] = lambda photo_id: ()
    ) -> Decision | None:
        """Take back the curator's last decision by a new row; returns what was undone.

        `alike` tells the photos for which a decision stands too. None where there is nothing to undo, or where that is
        not the decision whose `key_of` is `expected`: the answer to an earlier undo may have been lost.
        """
        last = self.undoable(curator)
        if last is None or (expected and key_of(last) != expected):
            return None
        before = [word for word in self.words(last.photo_id) if word.person == last.person and word.when < last.when]
        restored = _restored(before[-1] if before else None, last)
        self._append(last.photo_id, restored, curator, alike(last.photo_id))
        self._stack(curator).pop()
        return last

    def pace(self, curator: str) -> float | None:
        """Decisions an hour over the last ones, pauses left out; None before there are enough to tell."""
        times_s = [decision.decided_ns / 1e9 for decision in self._stack(curator)[-PACE_OVER:]]
        gaps_s = [later - earlier for earlier, later in pairwise(times_s) if 0 <= later - earlier <= PAUSE_S]
        return 3600 * len(gaps_s) / sum(gaps_s) if len(gaps_s) >= 5 and sum(gaps_s) > 0 else None

    def _append(self, photo_id: str, verdict: Verdict, curator: str, alike: Collection[str]) -> Decision:
        path = self._own_file(curator)
        rows = self._files.setdefault(path.name, ((0, 0, 0), []))[1]
        clock_us = time.time_ns() // 1000
        said_us = [*self._said_us({photo_id, *alike}), self._latest_us.get(person_of(curator), 0) + 1]
        counts_us = max([_shared_us(self.folder, clock_us), *said_us])
        times = {"decided_at": _at(clock_us), "counts_at": None if counts_us == clock_us else _at(counts_us)}
        append_decision(path, photo_id, verdict, curator, **times)
        decision = Decision(
            photo_id, verdict.decision, verdict.reason or None, verdict.move_to or None, curator or None,
            verdict.note or None, path.name, len(rows) + 2, (counts_us * 1000, path.name, len(rows) + 2),
            None if counts_us == clock_us else clock_us * 1000,
        )  # fmt: skip
        rows.append(decision)
        self._count_latest(decision)
        self._own[path.name] = _signature(path) or (0, 0, 0)
        self._files[path.name] = self._own[path.name], rows
        insort(self._words.setdefault(photo_id, []), decision, key=lambda word: word.when)
        return decision

    def _count_latest(self, decision: Decision) -> None:
        counts_us = decision.when[0] // 1000
        self._latest_us[decision.person] = max(self._latest_us.get(decision.person, 0), counts_us)

    def _said_us(self, photo_ids: Iterable[str]) -> Iterator[int]:
        """Times right after whatever was said about these photos."""
        for photo_id in photo_ids:
            yield from (word.when[0] // 1000 + 1 for word in self.words(photo_id))

    def _own_file(self, curator: str) -> Path:
        """This start's file of the curator; a further one if somebody has meanwhile saved it from a spreadsheet."""
        for number in count():
            ending = f"-{number}" if number else ""
            path = child(self.folder, f"{PAGE_FILE}{_slug(curator)}-{self._start}{ending}.csv")
            if _signature(path) == self._own.get(path.name):
                return path
        raise AssertionError("count() does not end")

    def _take(self, path: Path, name: str, signature: Signature) -> set[str]:
        """Read a file; one that has only grown, as pages' files do, changes nothing but what its new rows say."""
        before = self._files.get(name, (None, []))[1]
        decisions = self.read(path, name, self.known_ids(), self.domains).decisions
        changed: set[str] = set()
        if decisions[: len(before)] != before:
            changed, before = self._forget(name), []
        self._files[name] = signature, decisions
        for decision in decisions[len(before) :]:
            insort(self._words.setdefault(decision.photo_id, []), decision, key=lambda word: word.when)
            self._count_latest(decision)
            changed.add(decision.photo_id)
        if _OF_A_PAGE.fullmatch(name):
            self._stacks.clear()
        return changed

    def _forget(self, name: str) -> set[str]:
        _, decisions = self._files.pop(name, (None, []))
        for decision in decisions:
            self._words[decision.photo_id].remove(decision)
        if _OF_A_PAGE.fullmatch(name):
            self._stacks.clear()
        return {decision.photo_id for decision in decisions}

    def _stack(self, curator: str) -> list[Decision]:
        person = person_of(curator)
        if person not in self._stacks:
            pages = sorted((start[1], name) for name in self._files if (start := _OF_A_PAGE.fullmatch(name)))
            rows = [row for _, name in pages for row in _in_time(self._files[name][1]) if row[1].person == person]
            stack: list[Decision] = []
            for _, decision in sorted(rows, key=lambda row: row[0]):
                if is_undo(decision):
                    del stack[-1:]
                else:
                    stack.append(decision)
            self._stacks[person] = stack
        return self._stacks[person]


def _in_time(rows: Iterable[Decision]) -> Iterator[tuple[int, Decision]]:
    """The rows of a file with when each was written at the earliest: none before the one above it."""
    latest_ns = 0
    for row in rows:
        latest_ns = max(latest_ns, row.when[0])
        yield latest_ns, row


def plain_note(text: str) -> str:
    """A note of a person: one line of bounded length that is not taken for an undo."""
    note = one_line(one_line(text)[:LONGEST_NOTE])
    return f"note: {note}" if note.startswith(UNDO.strip()) else note


def plain_name(text: str) -> str:
    """The name of a curator as it is written beside each decision, however it was typed."""
    return one_line(one_line(text)[:LONGEST_NAME])


def is_undo(decision: Decision) -> bool:
    """Whether the row undoes another; a `skip` of this kind is no wish to see the photo later."""
    return (decision.note or "").startswith(UNDO)


def key_of(decision: Decision) -> str:
    """What tells one row from all others."""
    return f"{decision.file}:{decision.row}"


def verdict_of(decision: Decision) -> Verdict:
    """What was said, without by whom and when."""
    return Verdict(decision.decision, decision.reason or "", decision.move_to or "", decision.note or "")


def said(decision: Decision) -> str:
    """The decision in a few words, like `drop (edited)`."""
    about = decision.move_to if decision.decision == "move" else decision.reason
    return f"{decision.decision} ({about})" if about else decision.decision


def _restored(former: Decision | None, undone: Decision) -> Verdict:
    note = UNDO + said(undone)
    if former is None or former.decision == "skip":
        return Verdict("skip", note=note)
    kept = (former.note or "").partition("; ")[2] if is_undo(former) else former.note
    return Verdict(former.decision, former.reason or "", former.move_to or "", f"{note}; {kept}" if kept else note)


def _at(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)


def _shared_us(folder: Path, clock_us: int) -> int:
    """The time of the file system where this machine's clock differs from it, else this machine's."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder) as file:
            shared_ns = os.fstat(file.fileno()).st_mtime_ns
    except OSError as error:
        raise disk_failed(error, folder) from error
    return clock_us if abs(shared_ns - clock_us * 1000) <= CLOCKS_AGREE_NS else shared_ns // 1000


def _slug(curator: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", curator.lower()).strip("-")[:40] or "nameless"


def _signature(path: Path) -> Signature | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
