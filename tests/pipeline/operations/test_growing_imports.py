"""The table of imported photos grows without being written anew for every few of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.operations import imports as module
from pipeline.operations.imports import GrowingImports
from pipeline.photos.folder import ImportedPhoto
from pipeline.photos.metadata import Told
from pipeline.photos.opening import PictureInfo
from storage import Home, TableStore


def picture(number: int, title: str | None = None) -> ImportedPhoto:
    digest = f"{number:064x}"
    info = PictureInfo(64, 64, "JPEG", 1)
    return ImportedPhoto(f"{number}.jpg", f"folder:{digest[-16:]}", digest, 10, info, "ordinary", Told(title=title))


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of each writing. On the clock of this world a picture takes 10 ms, and each row a millisecond to write."""
    now_s, rows = [0.0], []
    write, add = TableStore.write, GrowingImports.add

    def slow_write(self: TableStore, name: str, frame: object, **kwargs: object) -> object:
        rows.append(len(frame))
        now_s[0] += len(frame) / 1000
        return write(self, name, frame, **kwargs)

    def slow_add(self: GrowingImports, pictures: list[ImportedPhoto], told: dict[str, Told]) -> bool:
        now_s[0] += len(pictures) / 100
        return add(self, pictures, told)

    monkeypatch.setattr(module.time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(TableStore, "write", slow_write)
    monkeypatch.setattr(GrowingImports, "add", slow_add)
    return rows


def test_writing_takes_a_small_share_however_many_there_are(tmp_path: Path, writes: list[int]) -> None:
    with GrowingImports(Home(tmp_path)) as imports:
        for start in range(0, 2000, 20):
            imports.add([picture(number) for number in range(start, start + 20)], {})
        assert sum(writes) / 1000 <= 2000 / 100 * module.SHARE_OF_WRITING
    assert writes[0] == 20
    assert writes[-1] == len(Home(tmp_path).tables.read("imports")) == 2000


def test_what_was_added_is_written_whatever_ends_the_import(tmp_path: Path, writes: list[int]) -> None:
    def interrupted() -> None:
        with GrowingImports(Home(tmp_path)) as imports:
            for number in range(30):
                imports.add([picture(number)], {})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(Home(tmp_path).tables.read("imports")) == 30
    assert len(writes) < 30


def test_of_two_files_with_the_same_bytes_the_first_counts_across_writings(tmp_path: Path) -> None:
    with GrowingImports(Home(tmp_path)) as imports:
        imports.add([picture(1, "first")], {})
        imports.write()
        imports.add([picture(1, "second")], {"1.jpg": Told(owner="Ann")})
    (row,) = Home(tmp_path).tables.read("imports").to_dict("records")
    assert (row["title"], row["owner"]) == ("first", "Ann")


def test_the_rows_of_some_photos_are_found_in_every_domain_and_after_each_writing(tmp_path: Path) -> None:
    with GrowingImports(Home(tmp_path)) as imports:
        assert imports.of(["folder:none"]).empty, "of an empty table"
        imports.add([picture(number) for number in range(50)], {})
        imports.write()
        wanted = [picture(number).photo_id for number in (7, 3, 50, 99)]
        assert list(imports.of(wanted)["photo_id"]) == [picture(3).photo_id, picture(7).photo_id]
        imports.add([replace(picture(number), domain="shallow") for number in (7, 50)], {})
        imports.write()
        found = imports.of(wanted)
        assert list(found.index) == sorted(found.index)
        assert sorted(zip(found["photo_id"], found["domain"], strict=True)) == [
            (picture(3).photo_id, "ordinary"),
            (picture(7).photo_id, "ordinary"),
            (picture(7).photo_id, "shallow"),
            (picture(50).photo_id, "shallow"),
        ]
        assert imports.of([]).empty


def test_two_photos_of_one_digest_are_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_digests", lambda photo_ids: np.zeros(len(photo_ids), np.uint64))
    with GrowingImports(Home(tmp_path)) as imports:
        imports.add([picture(1), picture(2)], {})
        imports.write()
        assert list(imports.of([picture(2).photo_id, "folder:none"])["photo_id"]) == [picture(2).photo_id]
