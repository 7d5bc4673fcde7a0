"""File names from outside stay where they are meant to be."""

import doctest
from pathlib import Path

import pytest

from pipeline import file_names
from pipeline.file_names import below


def test_names_below_a_folder_and_others(tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    (folder / "kept").mkdir(parents=True)
    (folder / "out").symlink_to(tmp_path)
    (folder / "in").symlink_to(folder / "kept")
    assert below(folder, "a/b.png") == folder / "a" / "b.png"
    assert below(folder, "in/b.png") == folder / "in" / "b.png"
    for name in ("", ".", "..", "../masks", "../masks2/x", "/etc/passwd", "a/../../x", "out/x", "a\0b"):
        with pytest.raises(PermissionError, match="is not below"):
            below(folder, name)


def test_a_folder_that_is_a_link_itself(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "masks").symlink_to(tmp_path / "disk")
    assert below(tmp_path / "masks", "a.png") == tmp_path / "masks" / "a.png"


def test_the_examples_hold() -> None:
    assert doctest.testmod(file_names) == (0, 1)
