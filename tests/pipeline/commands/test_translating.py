"""`bokehflow translate` where a network need not be there."""

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from PIL import Image

from pipeline.cli import cli

PROJECT = "[domains.ordinary]\nqueries = []\n[domains.shallow]\nqueries = []\n"


@pytest.mark.parametrize(("number", "tried"), [(errno.ENOSPC, 1), (errno.EISDIR, 2)])
def test_a_disk_that_fills_is_no_fault_of_the_photos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, tried: int
) -> None:
    (tmp_path / "bokehflow.toml").write_text(PROJECT)
    photos = [str(tmp_path / name) for name in ("me.png", "you.png")]
    for photo in photos:
        Image.new("RGB", (60, 40), "red").save(photo)
    stems: list[str] = []

    def save(rgb: object, out: Path, stem: str) -> Path:
        stems.append(stem)
        raise OSError(number, "it failed", str(out / f"{stem}.png"))

    segmenter = SimpleNamespace(load=lambda home: None)
    monkeypatch.setattr("pipeline.commands.training.run_folder", lambda *_: tmp_path)
    monkeypatch.setattr("pipeline.operations.masks.segmented_masks", lambda *_: None)
    monkeypatch.setattr("resources.segmenter.SegmenterResource.of", lambda *_: segmenter)
    monkeypatch.setattr("pipeline.training.application.Application", lambda *_: SimpleNamespace(save=save))
    result = CliRunner().invoke(cli, ["translate", *photos, "--model", "any", "--home", str(tmp_path), "--out", "out"])
    assert result.exit_code == 1
    assert stems == ["me", "you"][:tried]
    assert isinstance(result.exception, OSError) == (tried == 1)
