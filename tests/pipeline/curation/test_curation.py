"""Queue, decisions and curated photos."""

import csv
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.curation.curate import curate, too_few
from pipeline.curation.decisions import Decision, folder_version, read_decisions
from pipeline.curation.hints import colourfulness, sharpness, suggestion
from pipeline.curation.queue import COLUMNS, queue_photos
from pipeline.tables import conform, empty

KNOWN = {f"flickr:{number}" for number in range(20)}
DOMAINS = {"ordinary", "shallow"}
NASTY_TITLES = [
    "=1+1",
    "@SUM(A1)",
    "-2",
    "<script>alert(1)</script>",
    'a "quoted", title',
    "שלום 📷",
    "two\nlines",
    "x" * 10_000,
]


def unique_table(numbers: range, rule: dict[int, str] | None = None, group: dict[int, int] | None = None) -> pd.DataFrame:
    rows = [
        {"photo_id": f"flickr:{n}", "domain": "ordinary" if n < 10 else "shallow", "sha256": f"{n:064x}", "width_px": 40,
         "height_px": 40, "group": f"flickr:{(group or {}).get(n, n)}", "rule": (rule or {}).get(n), "measure": None,
         "duplicate_of": None, "split_key": f"flickr:{n}"}
        for n in numbers
    ]  # fmt: skip
    return conform("unique_photos", pd.DataFrame(rows))


def photo(digest: str) -> np.ndarray:
    return np.random.default_rng(int(digest, 16)).integers(0, 256, (30, 40, 3), np.uint8)


def listing() -> pd.DataFrame:
    titles = [NASTY_TITLES[n % len(NASTY_TITLES)] for n in range(20)]
    return pd.DataFrame({
        "photo_id": [f"flickr:{n}" for n in range(20)], "page_url": "https://www.flickr.com/photos/x", "title": titles,
        "owner": "1@N00", "license": "4", "tags": "portrait",
    })  # fmt: skip


def queue(
    tmp_path: Path, unique: pd.DataFrame, queued: pd.DataFrame, decided: set[str], batch_size: int = 4
) -> pd.DataFrame:
    folders = (tmp_path / "queue", tmp_path / "thumbnails")
    table = queue_photos(
        unique, listing(), queued, decided, photo, lambda license: f"licence {license}", folders, batch_size
    )
    return conform("review_queue", table)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_batches_hold_each_undecided_photo_once_with_thumbnail_and_hints(tmp_path: Path) -> None:
    table = queue(tmp_path, unique_table(range(10), rule={3: "perceptual"}), empty("review_queue"), decided={"flickr:5"})
    assert sorted(table["photo_id"]) == [f"flickr:{n}" for n in (0, 1, 2, 4, 6, 7, 8, 9)]
    batches = sorted((tmp_path / "queue").iterdir())
    assert [len(rows_of(path)) for path in batches] == [4, 4]
    row = rows_of(batches[0])[0]
    assert list(row) == COLUMNS
    assert row["decision"] == row["reason"] == row["curator"] == ""
    assert (tmp_path / "queue" / row["thumbnail"].replace("../../", "../")).resolve().exists()


def test_a_rescrape_adds_a_batch_with_just_the_new_and_changes_no_old_one(tmp_path: Path) -> None:
    first = queue(tmp_path, unique_table(range(6)), empty("review_queue"), set(), batch_size=10)
    before = {path.name: path.read_bytes() for path in (tmp_path / "queue").iterdir()}
    second = queue(tmp_path, unique_table(range(8)), first, set(), batch_size=10)
    after = {path.name: path.read_bytes() for path in (tmp_path / "queue").iterdir()}
    assert before.items() < after.items()
    (new,) = set(after) - set(before)
    assert [row["photo_id"] for row in rows_of(tmp_path / "queue" / new)] == ["flickr:6", "flickr:7"]
    pd.testing.assert_frame_equal(queue(tmp_path, unique_table(range(8)), second, set()), second)


def test_no_cell_begins_like_a_formula_and_titles_survive(tmp_path: Path) -> None:
    queue(tmp_path, unique_table(range(8)), empty("review_queue"), set(), batch_size=10)
    (path,) = (tmp_path / "queue").iterdir()
    rows = rows_of(path)
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@"))]
    assert [row["title"].removeprefix("'") for row in rows] == NASTY_TITLES


def reviewed(tmp_path: Path, text: str | bytes, name: str = "a.csv", when: int = 1) -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    os.utime(path, (when, when))
    return path


def test_a_plain_file_is_read(tmp_path: Path) -> None:
    reviewed(
        tmp_path, "photo_id,decision,reason,curator,note\nflickr:1,keep,,Ann,\nflickr:2,drop,no_person,Ann,empty room\n"
    )
    decisions, problems = read_decisions(tmp_path, KNOWN, DOMAINS)
    assert not problems
    assert [(d.photo_id, d.decision, d.reason, d.curator, d.file, d.row) for d in decisions] == [
        ("flickr:1", "keep", None, "Ann", "a.csv", 2), ("flickr:2", "drop", "no_person", "Ann", "a.csv", 3),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [
        "Photo_ID;Decision;Reason;Note\r\n flickr:1 ; KEEP ;;\r\nflickr:2;Drop; Wrong Tag ;schön\r\n".encode("cp1252"),
        "\ufeffnote,extra,reason,decision,photo_id\nschön,1,,keep,1\nschön,,wrong_tag,drop,2\n".encode(),
        b"photo_id\tdecision\treason\nflickr:1\tkeep\t\nflickr:2\tdrop\twrong_tag\n\t\t\n",
    ],
)
def test_what_spreadsheets_do_to_a_file_is_survived(tmp_path: Path, data: bytes) -> None:
    reviewed(tmp_path, data)
    decisions, problems = read_decisions(tmp_path, KNOWN, DOMAINS)
    assert not problems
    assert [(d.photo_id, d.decision, d.reason) for d in decisions] == [
        ("flickr:1", "keep", None),
        ("flickr:2", "drop", "wrong_tag"),
    ]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("flickr:99,keep,,,", "a.csv, row 2: photo_id 'flickr:99': no photo of this id was ever listed"),
        ("flickr:1,maybe,,,", "a.csv, row 2: decision 'maybe': must be one of keep, drop, move, skip"),
        ("flickr:1,drop,ugly,,", "a.csv, row 2: reason 'ugly': a dropped photo needs one of wrong_tag"),
        ("flickr:1,drop,other,,", "a.csv, row 2: note '': the reason other needs a note"),
        ("flickr:1,move,,mars,", "a.csv, row 2: move_to 'mars': must be one of ordinary, shallow"),
    ],
)
def test_a_bad_row_is_reported_and_the_good_ones_count(tmp_path: Path, row: str, said: str) -> None:
    reviewed(tmp_path, f"photo_id,decision,reason,move_to,note\n{row}\nflickr:2,keep,,,\n")
    decisions, problems = read_decisions(tmp_path, KNOWN, DOMAINS)
    assert [decision.photo_id for decision in decisions] == ["flickr:2"]
    assert len(problems) == 1
    assert str(problems[0]).startswith(said)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "a.csv: file 'a.csv': the file is empty"),
        (b"PK\x03\x04rest", "a.csv: file 'a.csv': this is an Excel workbook"),
        (b"id,verdict\n1,keep\n", "a.csv, row 1: header 'id, verdict': the column photo_id is missing"),
    ],
)
def test_a_bad_file_is_reported(tmp_path: Path, data: bytes, said: str) -> None:
    reviewed(tmp_path, data)
    decisions, problems = read_decisions(tmp_path, KNOWN, DOMAINS)
    assert not decisions
    assert [str(problem)[: len(said)] for problem in problems] == [said]


def test_the_version_of_the_folder_follows_its_content_only(tmp_path: Path) -> None:
    assert folder_version(tmp_path / "none") == folder_version(tmp_path)
    path = reviewed(tmp_path, "photo_id,decision\n")
    version = folder_version(tmp_path)
    os.utime(path, (99, 99))
    assert folder_version(tmp_path) == version
    reviewed(tmp_path, "photo_id,decision\n1,keep\n")
    assert folder_version(tmp_path) != version


def decision(number: int, verdict: str, when: int = 0, **more: object) -> Decision:
    facts = {"reason": "edited" if verdict == "drop" else None, "move_to": None, "curator": "Ann", "note": None, **more}
    return Decision(photo_id=f"flickr:{number}", decision=verdict, file="a.csv", row=2, when=(when, "a.csv", 2), **facts)  # pyright: ignore[reportArgumentType]


def test_the_last_decision_counts_and_skip_takes_it_back() -> None:
    unique = unique_table(range(4))
    made = [
        decision(0, "keep"),
        decision(1, "keep"),
        decision(0, "drop", 1),
        decision(1, "skip", 1),
        decision(2, "move", move_to="shallow"),
    ]
    table = conform("curated_photos", curate(unique, made)).set_index("photo_id")
    assert table["decision"].to_dict() == {"flickr:0": "drop", "flickr:2": "move"}
    assert table.loc["flickr:2", "target_domain"] == "shallow"
    assert table["target_domain"].isna()["flickr:0"]


def test_a_decision_stands_for_its_whole_group() -> None:
    unique = unique_table(range(3), rule={1: "perceptual"}, group={1: 0})
    by_member = conform("curated_photos", curate(unique, [decision(1, "keep")]))
    assert by_member["photo_id"].tolist() == ["flickr:1"]
    by_both = conform("curated_photos", curate(unique, [decision(1, "keep"), decision(0, "drop")]))
    assert by_both[["photo_id", "decision"]].to_numpy().tolist() == [["flickr:0", "drop"]]


def test_photos_that_no_rule_lets_through_are_not_curated() -> None:
    unique = unique_table(range(2), rule={0: "both_domains"})
    assert curate(unique, [decision(0, "keep"), decision(1, "keep")])["photo_id"].tolist() == ["flickr:1"]


def test_too_few_kept_photos_are_named() -> None:
    table = curate(unique_table(range(12)), [decision(n, "keep") for n in (0, 1, 2, 11)])
    assert too_few(table, ["ordinary", "shallow"], 2) == ["shallow: 1 photos kept, at least 2 are needed"]


@given(st.permutations([(0, "keep"), (1, "drop"), (2, "keep"), (11, "keep"), (12, "drop")]))
def test_how_decisions_are_spread_over_files_does_not_matter(order: list[tuple[int, str]]) -> None:
    unique = unique_table(range(15))
    expected = curate(unique, [decision(n, verdict) for n, verdict in sorted(order)])
    found = curate(unique, [decision(n, verdict) for n, verdict in order])
    pd.testing.assert_frame_equal(conform("curated_photos", found), conform("curated_photos", expected))


def test_hints_move_the_right_way() -> None:
    noisy = photo("7")
    blurred = np.asarray(Image.fromarray(noisy).resize((4, 3)).resize((40, 30)))
    grey = np.repeat(noisy[..., :1], 3, axis=2)
    assert 0 < sharpness(blurred) < sharpness(noisy) < 4
    assert colourfulness(grey) == 0.0
    assert colourfulness(noisy) > 0.1
    assert suggestion(0.0) == ("drop", "edited")
    assert suggestion(0.3) == ("", "")
