"""What is told of the code that a table or model was made by."""

import subprocess
from pathlib import Path

import pytest

from pipeline.operations import made_from


def git(checkout: Path, *arguments: str) -> None:
    who = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org"]
    subprocess.run(["git", *who, *arguments], cwd=checkout, check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "code.py").write_text("1")
    git(tmp_path, "init")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "-m", "Begin")
    monkeypatch.setattr(made_from, "CODE", tmp_path)
    return tmp_path


def test_the_revision_tells_of_changes(checkout: Path) -> None:
    assert made_from.code_revision().isalnum()
    (checkout / "code.py").write_text("2")
    assert made_from.code_revision().endswith("+")


def test_without_git_the_revision_is_unknown(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(checkout))
    assert made_from.code_revision() == "unknown"
