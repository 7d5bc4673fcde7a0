"""`bokehflow mask-sheet` on a folder of given masks, where no weights are needed."""

import errno
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from pipeline.cli import cli
from pipeline.errors import DatasetError

PROJECT = '[domains.ordinary]\nqueries = [{text = "a"}]\n[domains.shallow]\nqueries = [{text = "b"}]\n'


@pytest.fixture
def world(tmp_path: Path) -> Path:
    (tmp_path / "given").mkdir()
    (tmp_path / "photos").mkdir()
    (tmp_path / "bokehflow.toml").write_text(PROJECT + '[masks]\nsegmenter = "folder"\nfolder = "given"\n')
    for name, subject_px in (("half", 30), ("none", 0)):
        Image.new("RGB", (60, 40), "red").save(tmp_path / "photos" / f"{name}.jpg")
        mask = np.zeros((40, 60), np.uint8)
        mask[:, :subject_px] = 255
        Image.fromarray(mask).save(tmp_path / "given" / f"{name}.png")
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"<html>")
    return tmp_path


def sheet(world: Path, *arguments: str) -> str:
    options = ["--home", str(world / "home"), "--config", str(world / "bokehflow.toml"), "--out", str(world / "sheet.png")]
    done = CliRunner().invoke(cli, ["mask-sheet", *arguments, *options], catch_exceptions=False)
    return done.output


def test_a_folder_is_drawn_and_what_is_no_picture_named(world: Path) -> None:
    shutil.copy(world / "photos" / "half.jpg", world / "photos" / "new\nline.jpg")
    output = sheet(world, str(world / "photos"))
    assert "2 pictures on" in output
    assert "Error: 2 pictures could not be shown" in output
    assert "is not below" in output
    assert "broken.jpg: not_an_image: an HTML page" in output
    with Image.open(world / "sheet.png") as drawn:
        assert drawn.size == (816, 238)


def test_pictures_of_one_name_in_several_folders_are_all_drawn(world: Path) -> None:
    (world / "photos" / "below").mkdir()
    shutil.copy(world / "photos" / "half.jpg", world / "photos" / "below" / "half.jpg")
    assert "3 pictures on" in sheet(world, str(world / "photos"))


def test_only_those_that_ask_for_a_look(world: Path) -> None:
    assert "1 picture on" in sheet(world, str(world / "photos"), "--odd")


def test_a_disk_that_fills_leaves_the_sheet_that_was_there(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sheet(world, str(world / "photos"))
    before = (world / "sheet.png").read_bytes()

    def cut(self: Image.Image, target: object, *_: object, **__: object) -> None:
        if isinstance(target, Path):
            target.write_bytes(b"half a sheet")
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", cut)
    with pytest.raises(OSError, match="No space left") as caught:
        sheet(world, str(world / "photos"))
    assert caught.value.filename == str(world / "sheet.png")
    assert (world / "sheet.png").read_bytes() == before


@pytest.mark.parametrize("name", ["sheet", "sheet.docx", "sheet.psd", "sheet.xbm", "sheet.h5"])
def test_a_sheet_that_cannot_be_written_is_refused_before_anything_is_drawn(world: Path, name: str) -> None:
    """Of some kinds Pillow only reads pictures, of others it writes none of colour."""
    options = ["--home", str(world / "home"), "--config", str(world / "bokehflow.toml"), "--out", str(world / name)]
    with pytest.raises(DatasetError, match=rf"{name}: no kind of picture that can be written has this .*; name a \.jpg or"):
        CliRunner().invoke(cli, ["mask-sheet", str(world / "photos"), *options], catch_exceptions=False)


def test_nothing_to_show_is_an_error(world: Path) -> None:
    (world / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"empty: there is nothing to show$"):
        sheet(world, str(world / "empty"))
    (world / "empty" / "IMG_1.JXL").write_bytes(b"\0\0\0\x0cJXL \r\n\x87\n")
    with pytest.raises(DatasetError, match=r"it has other files: \.jxl 1; pictures in \.jxl are not taken: save them as"):
        sheet(world, str(world / "empty"))
