"""Whatever mixture of batches, edits, re-scrapes and repeated imports: the same decisions give the same curated table."""

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.curation.curate import curate, decided_groups
from pipeline.curation.decisions import DECISION_COLUMNS, Verdict, append_decision, opinions, read_decisions
from pipeline.tables import conform, empty
from tests.pipeline.curation.worlds import DOMAINS, KNOWN, decision, photo_id, queue, unique_table

PHOTOS = 12
CHANCES = st.randoms(use_true_random=False)


@dataclass(frozen=True)
class Word:
    """What a curator says about a photo, in the order of the list it stands in."""

    number: int
    verdict: str
    curator: str
    time: int

    def row(self) -> dict[str, str]:
        return {
            "photo_id": photo_id(self.number), "decision": self.verdict, "curator": self.curator,
            "reason": "unfit_blur" if self.verdict == "drop" else "", "move_to": "shallow" if self.verdict == "move" else "",
            "decided_at": f"2026-01-01T00:{self.time // 60:02d}:{self.time % 60:02d}Z", "note": "",
        }  # fmt: skip


verdicts = st.sampled_from(["keep", "drop", "move", "skip"])
curators = st.sampled_from(["Ann", "Ben"])
said = st.lists(st.tuples(st.integers(0, PHOTOS - 1), verdicts, curators), max_size=25).map(
    lambda words: [Word(*word, time) for time, word in enumerate(words)]
)
merged = st.dictionaries(st.integers(1, PHOTOS - 1), st.just(0), max_size=3)


def _unique(groups: dict[int, int]) -> pd.DataFrame:
    return unique_table(range(PHOTOS), rule=dict.fromkeys(groups, "perceptual"), group=groups)


def _curated(folder: Path, unique: pd.DataFrame) -> pd.DataFrame:
    decisions, problems = read_decisions(folder, KNOWN, DOMAINS)
    assert not [problem for problem in problems if problem.is_fatal], "a copy is named, and that is all"
    return conform("curated_photos", curate(unique, decisions)).drop(columns=["file", "row", "dissent"])


def _plainly(words: list[Word], groups: dict[int, int]) -> dict[str, tuple[str, str]]:
    """The rule in a few lines: per photo and curator the last word, per group the last of these."""
    last: dict[tuple[int, str], Word] = {}
    for word in words:
        last[word.number, word.curator] = word
    found: dict[str, Word] = {}
    for word in sorted(last.values(), key=lambda word: word.time):
        if word.verdict != "skip":
            found[photo_id(groups.get(word.number, word.number))] = word
    return {group: (word.verdict, word.curator) for group, word in found.items()}


def _spread(words: list[Word], folder: Path, chance: Random) -> None:
    """The words in files as they come: any rows together, any order, repeated imports, columns and separators."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number in range(chance.randint(1, 4)):
        mine = [word for word in words if chance.random() < 0.6]
        _file(folder / f"{chance.choice('abc')}{number}.csv", mine, chance)
    _file(folder / "all.csv", words, chance)


def _file(path: Path, words: list[Word], chance: Random) -> None:
    columns = [*DECISION_COLUMNS, "title"]
    chance.shuffle(columns)
    rows = [{**word.row(), "title": "=1+1\n"} for word in words]
    chance.shuffle(rows)
    encoding = chance.choice(["utf-8", "utf-8-sig", "utf-16", "cp1252"])
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, columns, delimiter=chance.choice(",;\t"), lineterminator=chance.choice(["\n", "\r\n"]))
        writer.writeheader()
        writer.writerows(rows)


@settings(max_examples=20)
@given(said, merged, CHANCES)
def test_how_the_rows_are_spread_over_files_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, words: list[Word], groups: dict[int, int], chance: Random
) -> None:
    folder = tmp_path_factory.mktemp("reviewed")
    _spread(words, folder, chance)
    table = _curated(folder, _unique(groups))
    found = {
        photo_id(groups.get(int(row.photo_id[7:]), int(row.photo_id[7:]))): (row.decision, row.curator)
        for row in table.itertuples()
    }  # pyright: ignore[reportAttributeAccessIssue]
    assert found == _plainly(words, groups)
    _spread(words, folder, chance)
    pd.testing.assert_frame_equal(_curated(folder, _unique(groups)), table)


@settings(max_examples=8)
@given(said, st.lists(st.integers(1, PHOTOS), min_size=1, max_size=4), merged)
def test_batches_rescrapes_and_decisions_in_any_order_ask_once_and_lose_nothing(
    tmp_path_factory: pytest.TempPathFactory, words: list[Word], scrapes: list[int], groups: dict[int, int]
) -> None:
    root = tmp_path_factory.mktemp("home")
    queued, written = empty("review_queue"), {}
    shares = len(words) // len(scrapes) + 1
    for step, upto in enumerate([*sorted(scrapes), PHOTOS]):
        unique = unique_table(range(upto), rule={n: "perceptual" for n in groups if n < upto}, group=groups)
        for word in words[step * shares : (step + 1) * shares]:
            row = word.row()
            append_decision(
                root / "reviewed" / f"{word.curator}.csv",
                row["photo_id"],
                Verdict(row["decision"], row["reason"], row["move_to"]),
                row["curator"],
            )
        decisions, problems = read_decisions(root / "reviewed", KNOWN, DOMAINS)
        assert not problems
        decided = decided_groups(unique, decisions)
        queued = queue(root, unique, queued, decided)
        again = queue(root, unique, queued, decided)
        pd.testing.assert_frame_equal(again, queued)
        now = {path.name: path.read_bytes() for path in (root / "queue").glob("*.csv")}
        assert written.items() <= now.items()
        written = now
    unique = _unique(groups)
    shown = queued["group"].dropna()
    everybody = set(unique.loc[unique["rule"].isna(), "group"])
    final = read_decisions(root / "reviewed", KNOWN, DOMAINS)[0]
    assert everybody <= set(shown) | decided_groups(unique, final)
    assert queued["photo_id"].is_unique
    curated = conform("curated_photos", curate(unique, final))
    groups_of = dict(zip(unique["photo_id"], unique["group"], strict=True))
    assert {groups_of[row]: verdict for row, verdict in zip(curated["photo_id"], curated["decision"], strict=True)} == {
        group: verdict for group, (verdict, _) in _plainly(words, groups).items()
    }


def test_an_edit_of_a_file_counts_from_when_it_was_made(tmp_path: Path) -> None:
    rows = [decision(0, "keep", 1), decision(0, "drop", 2)]
    assert [word.decision for word in opinions(rows)] == ["drop"]
