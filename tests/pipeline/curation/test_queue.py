"""Batches that never change, each photo once, nothing a spreadsheet executes, the clear cases first."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import CurationSection
from pipeline.curation.decisions import read_decisions
from pipeline.curation.queue import COLUMNS, filled_in_place, thumbnail_name
from pipeline.curation.suggestions import suggest
from pipeline.hint_table import HINTS
from pipeline.spreadsheet import harmless, harmless_table
from pipeline.tables import empty
from tests.pipeline.curation.worlds import FITTING, NASTY_TITLES, hints_of, in_both, queue, unique_table


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def batches(root: Path) -> list[Path]:
    return sorted((root / "queue").iterdir())


def test_batches_hold_each_undecided_photo_once_with_its_hints(tmp_path: Path) -> None:
    table = queue(tmp_path, unique_table(range(10), rule={3: "perceptual"}), empty("review_queue"), {"flickr:5"})
    assert sorted(table["photo_id"]) == [f"flickr:{n}" for n in (0, 1, 2, 4, 6, 7, 8, 9)]
    assert [len(rows_of(path)) for path in batches(tmp_path)] == [4, 4]
    row = rows_of(batches(tmp_path)[0])[0]
    assert list(row) == COLUMNS
    assert row["decision"] == row["reason"] == row["move_to"] == row["curator"] == row["note"] == ""
    assert {name: row[name] for name in ("license", "person_share", "camera")} == {
        "license": "CC BY 2.0", "person_share": "0.3", "camera": "",
    }  # fmt: skip
    assert (
        row["thumbnail"] == f"../../thumbnails/{thumbnail_name(table.set_index('photo_id').loc[row['photo_id'], 'sha256'])}"
    )
    assert table["waiting"].all()
    assert table["position"].tolist() == list(range(8)) or sorted(table["position"]) == list(range(8))


def test_a_batch_is_of_one_domain_and_the_domains_take_turns(tmp_path: Path) -> None:
    table = queue(tmp_path, unique_table([*range(6), *range(10, 16)]), empty("review_queue"))
    assert [path.name[:20] for path in batches(tmp_path)] == [
        "batch-0001-ordinary-", "batch-0002-shallow-1"[:19] + batches(tmp_path)[1].name[19], "batch-0003-ordinary-",
        "batch-0004-shallow-"[:19] + batches(tmp_path)[3].name[19],
    ]  # fmt: skip
    assert table.groupby("batch")["domain"].nunique().tolist() == [1, 1, 1, 1]


def test_a_rescrape_adds_a_batch_with_just_the_new_and_changes_no_old_one(tmp_path: Path) -> None:
    first = queue(tmp_path, unique_table(range(6)), empty("review_queue"), batch_size=10)
    before = {path.name: path.read_bytes() for path in batches(tmp_path)}
    second = queue(tmp_path, unique_table(range(8)), first, batch_size=10, hints=hints_of(range(40), shallowness=0.9))
    after = {path.name: path.read_bytes() for path in batches(tmp_path)}
    assert before.items() < after.items()
    (new,) = set(after) - set(before)
    assert new.startswith("batch-0002-")
    assert sorted(row["photo_id"] for row in rows_of(tmp_path / "queue" / new)) == ["flickr:6", "flickr:7"]
    again = queue(tmp_path, unique_table(range(8)), second, hints=hints_of(range(40), shallowness=0.9))
    pd.testing.assert_frame_equal(again, second)


def test_a_run_killed_before_its_table_was_written_leaves_batches_that_count(tmp_path: Path) -> None:
    whole = queue(tmp_path, unique_table(range(9)), empty("review_queue"))
    before = {path.name: path.read_bytes() for path in batches(tmp_path)}
    batches(tmp_path)[-1].unlink()
    again = queue(tmp_path, unique_table([*range(9), 11]), empty("review_queue"))
    after = {path.name: path.read_bytes() for path in batches(tmp_path)}
    assert {name: data for name, data in after.items() if name in before} == before
    assert sorted(again["photo_id"]) == sorted([*whole["photo_id"], "flickr:11"])
    assert again.groupby("batch")["photo_id"].apply(set).to_dict() == {
        path.name: {row["photo_id"] for row in rows_of(path)} for path in batches(tmp_path)
    }


def test_a_larger_copy_uploaded_later_is_not_asked_again(tmp_path: Path) -> None:
    first = queue(tmp_path, unique_table([0]), empty("review_queue"))
    second = queue(tmp_path, unique_table([0, 1], rule={0: "perceptual"}, group={0: 1}), first)
    assert second["photo_id"].tolist() == ["flickr:0"]
    assert second["group"].tolist() == ["flickr:1"]
    assert second["waiting"].tolist() == [True]


@pytest.mark.parametrize("preferred", ["ordinary", "shallow"])
def test_a_photo_of_both_domains_waits_in_the_preferred_one(tmp_path: Path, preferred: str) -> None:
    unique = in_both(unique_table([0, 1]), 0, preferred)
    first = queue(tmp_path, unique, empty("review_queue"))
    second = queue(tmp_path, unique, first)
    for table in (first, second):
        assert table.set_index("photo_id")["domain"].to_dict() == {"flickr:0": preferred, "flickr:1": "ordinary"}


def test_a_photo_of_both_domains_waits_as_long_as_the_group_of_its_larger_copy(tmp_path: Path) -> None:
    unique = in_both(unique_table([0, 10]), 0, "shallow")
    first = queue(tmp_path, unique, empty("review_queue"))
    second = unique.copy()
    stays = (unique["photo_id"] == "flickr:0") & (unique["domain"] == "shallow")
    second.loc[stays, ["rule", "group", "duplicate_of"]] = ["perceptual", "flickr:10", "flickr:10"]
    waiting = queue(tmp_path, second, first[first["photo_id"] == "flickr:0"])
    assert waiting[["photo_id", "domain", "group", "waiting"]].to_numpy().tolist() == [
        ["flickr:0", "shallow", "flickr:10", True]
    ]


def test_decided_and_vanished_photos_wait_no_more_and_forgotten_ones_go(tmp_path: Path) -> None:
    first = queue(tmp_path, unique_table(range(4)), empty("review_queue"))
    second = queue(tmp_path, unique_table([0, 1, 3]), first, {"flickr:1"}, forgotten={"flickr:3"}).set_index("photo_id")
    assert second["waiting"].to_dict() == {"flickr:0": True, "flickr:1": False, "flickr:2": False}
    assert second["position"].to_dict()["flickr:0"] == 0


def test_no_cell_begins_like_a_formula_even_with_another_separator(tmp_path: Path) -> None:
    queue(tmp_path, unique_table(range(10)), empty("review_queue"), batch_size=10)
    (path,) = batches(tmp_path)
    rows = rows_of(path)
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t"))]
    for separator in ";\t|":
        with path.open(encoding="utf-8-sig", newline="") as file:
            cells = [cell.strip() for row in csv.reader(file, delimiter=separator) for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "+", "@"))]
    plain = {title for title in NASTY_TITLES if ";" not in title and "\t" not in title}
    assert plain <= {row["title"].removeprefix("'") for row in rows}


def test_a_batch_filled_in_is_a_reviewed_file(tmp_path: Path) -> None:
    queue(tmp_path, unique_table(range(10)), empty("review_queue"), batch_size=10)
    (path,) = batches(tmp_path)
    rows = [{**row, "decision": "keep", "curator": "Ann"} for row in rows_of(path)]
    target = tmp_path / "reviewed" / "mine.csv"
    target.parent.mkdir()
    with target.open("w", encoding="cp1252", errors="replace", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    decisions, problems = read_decisions(target.parent, {f"flickr:{n}" for n in range(10)}, {"ordinary"})
    assert not problems
    assert [found.photo_id for found in decisions] == [row["photo_id"] for row in rows]


def test_a_batch_filled_in_where_it_lies_is_noticed(tmp_path: Path) -> None:
    queue(tmp_path, unique_table(range(4)), empty("review_queue"))
    assert not filled_in_place(tmp_path / "queue")
    (path,) = batches(tmp_path)
    rows = rows_of(path)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows([{**rows[0], "decision": "keep"}, *rows[1:]])
    assert filled_in_place(tmp_path / "queue") == [
        f"{path.name}: 1 row decided in the queue's own folder; copy the file to review/reviewed/"
    ]


def test_the_clear_cases_come_first_the_keeps_before_the_drops(tmp_path: Path) -> None:
    hints = pd.concat([
        hints_of([10], shallowness=0.5), hints_of([11], colourfulness=0.001), hints_of([12], person_share=0.0),
        hints_of([13], shallowness=0.99), hints_of([14], shallowness=0.7), hints_of([15], colourfulness=0.002),
    ])  # fmt: skip
    table = queue(tmp_path, unique_table(range(10, 16)), empty("review_queue"), batch_size=10, hints=hints)
    in_order = table.sort_values("position")
    assert in_order["photo_id"].tolist() == [f"flickr:{n}" for n in (13, 14, 11, 15, 12, 10)]
    assert in_order["suggested_decision"].fillna("").tolist() == ["keep", "keep", "drop", "drop", "drop", ""]
    assert [row["photo_id"] for row in rows_of(batches(tmp_path)[0])] == in_order["photo_id"].tolist()


@pytest.mark.parametrize(
    ("domain", "hints", "expected"),
    [
        ("shallow", {"shallowness": 0.9}, ("keep", "")),
        ("shallow", {"shallowness": 0.1}, ("drop", "unfit_blur")),
        ("shallow", {"shallowness": 0.55}, ("", "")),
        ("ordinary", {"shallowness": 0.1}, ("keep", "")),
        ("ordinary", {"shallowness": 0.9}, ("move", "shallow")),
        ("ordinary", {"person_share": 0.001}, ("drop", "no_person")),
        ("shallow", {"shallowness": 0.9, "subject_sharpness": 0.3}, ("drop", "no_person")),
        ("ordinary", {"shallowness": 0.1, "subject_sharpness": None}, ("keep", "")),
        ("ordinary", {"colourfulness": 0.001}, ("drop", "edited")),
        ("ordinary", {"drawn": 0.9}, ("drop", "no_person")),
        ("ordinary", {"inappropriate": 0.95}, ("drop", "inappropriate")),
        ("elsewhere", {"shallowness": 0.9}, ("", "")),
    ],
)
def test_suggestions_say_what_and_why(domain: str, hints: dict[str, float], expected: tuple[str, str]) -> None:
    found = suggest({**FITTING, **hints}, domain, CurationSection())
    assert (found.decision, found.reason) == expected
    assert bool(found.why) == bool(found.decision)
    assert 0 <= found.strength <= 1


@pytest.mark.parametrize(("hint", "clear", "at_the_limit"), [
    ("person_share", 0.0, 0.00999), ("subject_sharpness", 0.0, 0.41999), ("colourfulness", 0.0, 0.01999),
])  # fmt: skip
def test_a_clearer_case_is_a_stronger_suggestion(hint: str, clear: float, at_the_limit: float) -> None:
    strong, weak = (suggest({**FITTING, hint: value}, "ordinary", CurationSection()) for value in (clear, at_the_limit))
    assert (strong.decision, weak.decision) == ("drop", "drop")
    assert (strong.strength, weak.strength) == (1.0, pytest.approx(0, abs=0.01))


@pytest.mark.parametrize(
    ("domain", "hints", "chance"),
    [
        ("shallow", {"shallowness": 0.9}, 0.9),
        ("ordinary", {"shallowness": 0.9}, 0.9),
        ("shallow", {"shallowness": 0.1}, 0.9),
        ("shallow", {"shallowness": 0.9, "person_share": 0.0}, None),
        ("shallow", {"shallowness": 0.55}, None),
    ],
)
def test_the_chance_of_being_right_is_told_where_it_is_known(
    tmp_path: Path, domain: str, hints: dict[str, float], chance: float | None
) -> None:
    assert suggest({**FITTING, **hints}, domain, CurationSection()).probability == chance
    number = 10 if domain == "shallow" else 0
    table = queue(tmp_path, unique_table([number]), empty("review_queue"), hints=hints_of([number], **hints))
    (row,) = rows_of(batches(tmp_path)[0])
    assert row["suggestion_probability"] == ("" if chance is None else str(chance))
    assert table["suggestion_probability"].tolist() == pytest.approx([np.nan if chance is None else chance], nan_ok=True)


def test_the_queue_names_every_hint() -> None:
    assert set(HINTS) == set(FITTING)


def test_without_people_only_what_is_inappropriate_is_suggested_to_go() -> None:
    deserted = dict.fromkeys(HINTS, 0.0) | {"inappropriate": None, "drawn": 0.9, "subject_sharpness": None}
    assert suggest(deserted, "ordinary", CurationSection()).decision == "drop"
    alone = CurationSection(people=False)
    assert suggest(deserted, "ordinary", alone).decision == ""
    assert suggest(deserted | {"inappropriate": 0.95}, "ordinary", alone).reason == "inappropriate"


CELLS = (
    st.text("=+-@,;| \t\v\n\x7fé\u2028'ab0", max_size=6) | st.text(max_size=6) | st.sampled_from([*NASTY_TITLES, None, 1.5])
)


@given(st.lists(CELLS, max_size=8))
def test_a_table_is_made_harmless_as_its_cells_are(cells: list[object]) -> None:
    table = pd.DataFrame({"told": pd.Series(cells, dtype=object), "number": range(len(cells))})
    made = harmless_table(table)
    assert made["told"].tolist() == [harmless(cell) for cell in cells]
    assert made["number"].tolist() == table["number"].tolist()
