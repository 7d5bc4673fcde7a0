"""Reviewed CSVs that have not changed are not read again, and whoever reads is told the same."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.curation import kept_decisions
from pipeline.curation.decisions import Decision, FileRead, read_decision_file, read_decisions
from pipeline.curation.kept_decisions import KeptDecisions
from pipeline.spreadsheet import Problem
from tests.pipeline.curation.worlds import DOMAINS, KNOWN, reviewed

ANN = (
    "photo_id,decision,reason,curator,note,decided_at,counts_at\n"
    "1,keep,,Ann,,,\n2,drop,other,Ann,ähm,2026-11-21T10:00:00Z,2026-11-22"
)
BEN = "photo_id,decision,move_to\n1,move,shallow\n2,,\n3,skip,\n"
ODD = "photo_id,decision\n3,keep\n4,kep\n"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are read."""
    names: list[str] = []

    def told(path: Path, name: str, known_ids: set[str], domains: set[str]) -> FileRead:
        names.append(name)
        return read_decision_file(path, name, known_ids, domains)

    monkeypatch.setattr(kept_decisions, "read_decision_file", told)
    return names


def found(root: Path, known: set[str] = KNOWN, domains: set[str] = DOMAINS) -> tuple[list[Decision], list[Problem]]:
    """As a stage reads the folder, and what it says is what is said without anything kept."""
    kept = KeptDecisions(root / "kept.parquet")
    said = read_decisions(root / "reviewed", known, domains, kept)
    kept.save()
    assert said == read_decisions(root / "reviewed", known, domains)
    return said


def test_only_what_is_new_changed_or_wrong_is_read(tmp_path: Path, read: list[str]) -> None:
    folder = tmp_path / "reviewed"
    for name, text in {"ann.csv": ANN, "ben.csv": BEN, "odd.csv": ODD, "sub/none.csv": "photo_id,decision\n"}.items():
        reviewed((folder / name).parent, text, Path(name).name)
    found(tmp_path)
    assert read == ["ann.csv", "ben.csv", "odd.csv", "sub/none.csv"]
    found(tmp_path)
    assert read[4:] == ["odd.csv"]
    reviewed(folder, BEN.replace("shallow", "ordinary"), "ben.csv")
    os.utime(folder / "ann.csv", (2, 2))
    found(tmp_path)
    assert read[5:] == ["ann.csv", "ben.csv", "odd.csv"]
    (folder / "ann.csv").rename(folder / "Ann.csv")
    (folder / "odd.csv").unlink()
    found(tmp_path)
    assert read[8:] == ["Ann.csv"]


def test_what_depends_on_the_photos_that_are_known_is_read_for_them(tmp_path: Path, read: list[str]) -> None:
    folder, fewer = tmp_path / "reviewed", KNOWN - {"flickr:1"}
    reviewed(folder, BEN, "ben.csv")
    reviewed(folder, 'photo_id,decision,note\n1,keep,"see\n999,keep"\n', "lines.csv")
    found(tmp_path)
    assert found(tmp_path, KNOWN | {"flickr:999"})[0][-1:] != found(tmp_path)[0][-1:], "it is a row now"
    assert read == ["ben.csv", "lines.csv", "lines.csv", "lines.csv"]
    assert [problem.value for problem in found(tmp_path, fewer)[1]] == ["flickr:1", "flickr:1"]
    assert [problem.column for problem in found(tmp_path, KNOWN, {"ordinary"})[1]] == ["move_to"]


def test_a_time_in_the_future_is_asked_again(tmp_path: Path, read: list[str]) -> None:
    reviewed(tmp_path / "reviewed", "photo_id,decision,decided_at\n1,keep,2999-01-01\n")
    assert [len(found(tmp_path)[1]) for _ in range(2)] == [1, 1]
    assert read == ["a.csv", "a.csv"]


def test_of_a_forgotten_photo_nothing_is_kept_and_other_files_are_not_read_again(tmp_path: Path, read: list[str]) -> None:
    folder, path = tmp_path / "reviewed", tmp_path / "kept.parquet"
    cy, dan = "photo_id,decision\n3,keep\n", "photo_id,decision,note\n3,keep,as 1\n2,keep,\n"
    for name, text in {"ann.csv": ANN, "ben.csv": BEN, "cy.csv": cy, "dan.csv": dan}.items():
        reviewed(folder, text, name)
    found(tmp_path)
    KeptDecisions(path).forget({"flickr:1"}, lambda note: "1" in note)
    assert pq.read_table(path)["photo_id"].to_pylist() == ["flickr:3"]
    read.clear()
    found(tmp_path)
    assert read == ["ann.csv", "ben.csv", "dan.csv"]
    before = path.stat().st_ino
    KeptDecisions(path).forget({"flickr:9"}, lambda note: False)
    assert path.stat().st_ino == before, "it names none"
    KeptDecisions(path).forget({"flickr:1", "flickr:3"}, lambda note: False)
    assert not path.exists()


def test_nothing_is_kept_of_a_file_whose_name_or_curator_names_a_forgotten_photo(tmp_path: Path, read: list[str]) -> None:
    for name, row in {"ann.csv": "2,keep,ann", "by-1.csv": "3,keep,ann", "cy.csv": "2,keep,1"}.items():
        reviewed(tmp_path / "reviewed", f"photo_id,decision,curator\n{row}\n", name)
    found(tmp_path)
    KeptDecisions(tmp_path / "kept.parquet").forget({"flickr:1"}, lambda text: "1" in text)
    read.clear()
    found(tmp_path)
    assert read == ["by-1.csv", "cy.csv"]


def test_what_is_kept_goes_where_a_forgotten_photo_cannot_be_taken_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reviewed(tmp_path / "reviewed", BEN, "ben.csv")
    reviewed(tmp_path / "reviewed", "photo_id,decision\n2,keep\n", "cy.csv")
    found(tmp_path)

    def full(table: pa.Table, path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    KeptDecisions(tmp_path / "kept.parquet").forget({"flickr:1"}, lambda note: False)
    assert not (tmp_path / "kept.parquet").exists()


def test_what_is_kept_may_be_damaged_or_of_another_version(tmp_path: Path, read: list[str]) -> None:
    reviewed(tmp_path / "reviewed", ANN)
    found(tmp_path)
    path = tmp_path / "kept.parquet"
    good, table = path.read_bytes(), pq.read_table(path)
    places = (table.schema.metadata or {})[kept_decisions.PLACES]
    for wrong in (
        good[:-9], b"", pa.table({"a": [1]}), table.replace_schema_metadata(None), table.slice(0, 1), table.drop(["note"]),
        *(table.replace_schema_metadata({kept_decisions.PLACES: said}) for said in (b"[]", b"{", b'{"a.csv": [1]}', b"7")),
        table.replace_schema_metadata({kept_decisions.PLACES: places.replace(b", 0, ", b", -1, ")}),
    ):  # fmt: skip
        read.clear()
        path.write_bytes(wrong) if isinstance(wrong, bytes) else pq.write_table(wrong, path)
        found(tmp_path)
        assert read == ["a.csv"]
        assert path.read_bytes() == good, "it is kept anew"
    path.unlink()
    path.mkdir()
    assert len(found(tmp_path)[0]) == 2, "what cannot be kept is read again"
