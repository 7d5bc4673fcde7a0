"""`bokehflow translate` where a network need not be there."""

import errno
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from click import ClickException
from click.testing import CliRunner
from PIL import Image

from pipeline.cli import cli
from pipeline.commands.failures import Failures
from pipeline.errors import ConfigError, StorageError, disk_failed

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
    monkeypatch.setattr("pipeline.commands.training.named_run", lambda *_: tmp_path)
    monkeypatch.setattr("pipeline.operations.masks.segmented_masks", lambda *_: None)
    monkeypatch.setattr("resources.segmenter.SegmenterResource", lambda *_: segmenter)
    monkeypatch.setattr("pipeline.training.application.Application", lambda *_: SimpleNamespace(save=save))
    result = CliRunner().invoke(cli, ["translate", *photos, "--model", "any", "--home", str(tmp_path), "--out", "out"])
    assert result.exit_code == 1
    assert stems == ["me", "you"][:tried]
    assert isinstance(result.exception, OSError) == (tried == 1)


def test_who_failed_before_the_disk_was_full_is_told_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failures = Failures(3, "translated")
    with failures.of(tmp_path / "me.png"):
        raise ConfigError("nobody is in it")
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="No space"), failures.of(tmp_path / "you.png"):
        raise full
    with pytest.raises(StorageError, match="is full"), failures.of(tmp_path / "you.png"):
        raise disk_failed(full, tmp_path) from full
    assert capsys.readouterr().err == 2 * f"1 of 3 photos could not be translated\n{tmp_path}/me.png: nobody is in it\n"


def test_a_photo_that_is_not_there_is_named_once_and_without_a_number(tmp_path: Path) -> None:
    failures, photo = Failures(1, "translated"), tmp_path / "me.png"
    with failures.of(photo):
        photo.read_bytes()
    with pytest.raises(click.ClickException) as told:
        failures.check()
    assert told.value.message == f"1 of 1 photos could not be translated\n{photo}: no such file or directory"


def test_a_defect_is_a_photos_fault_where_networks_run_alone(tmp_path: Path) -> None:
    failures = Failures(1, "translated")
    with pytest.raises(KeyError), failures.of(tmp_path / "me.png"):
        raise KeyError("x")
    failures.check()
    with failures.of(tmp_path / "me.png", whatever=True):
        raise KeyError("x")
    with pytest.raises(ClickException, match=r"1 of 1 photos .*\n.*me.png: KeyError: 'x'"):
        failures.check()
