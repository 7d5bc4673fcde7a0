"""Names from outside stay where they are meant to be."""

import doctest
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import file_names
from pipeline.errors import UnsafeName
from pipeline.file_names import (
    all_below,
    below,
    child,
    expanded,
    file_name,
    inside,
    is_plain_file,
    sha256_of,
    snapshot_id_of,
)

LEADS_OUT = [
    "",
    ".",
    "..",
    "../masks",
    "../masks2/x",
    "/etc/passwd",
    "/passwd",
    "a/../../x",
    "a\0b",
    "a\\b",
    "a//b",
    "a/",
    "./a",
    "a\nb",
]


def test_names_below_a_folder_and_others(tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    (folder / "kept").mkdir(parents=True)
    (folder / "out").symlink_to(tmp_path)
    (folder / "in").symlink_to(folder / "kept")
    (folder / "loop").symlink_to(folder / "loop")
    for make in (below, inside):
        assert make(folder, "a/b.png") == folder / "a" / "b.png"
        assert make(folder, "in/b.png") == folder / "in" / "b.png"
    (folder / "kept" / "out.png").symlink_to(tmp_path / "x.png")
    for name in (*LEADS_OUT, "out/x", "loop/x", "kept/out.png", "in/out.png"):
        with pytest.raises(UnsafeName, match="is not below"):
            below(folder, name)
        with pytest.raises(UnsafeName, match="is not below"):
            all_below(folder, ["a.png", "kept/b.png", "in/b.png", name])
    names = ["kept/b.png", "a.png", "kept/c.png", "in/b.png"]
    assert all_below(folder, names) == {name: str(below(folder, name)) for name in names}
    assert inside(folder, "out/x") == folder / "out" / "x"


def test_a_folder_that_is_a_link_itself(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "masks").symlink_to(tmp_path / "disk")
    assert below(tmp_path / "masks", "a.png") == tmp_path / "masks" / "a.png"


@pytest.mark.parametrize("name", [*LEADS_OUT, "a/b", "a" * 256, "ä" * 128, "\ud800", None, 7, float("nan"), b"a"])
def test_what_is_no_name_of_a_file(tmp_path: Path, name: object) -> None:
    with pytest.raises(UnsafeName):
        file_name(name)
    with pytest.raises(UnsafeName):
        child(tmp_path, name)


@given(st.text(max_size=300))
def test_a_child_lies_in_its_folder(text: str) -> None:
    try:
        path = child(Path("/home/h"), text)
    except UnsafeName:
        return
    assert path.parent == Path("/home/h")
    assert path.name == text


DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "value",
    [
        "", DIGEST[:-1], DIGEST + "0", DIGEST + "\n", DIGEST.upper(), "../" * 21 + "a", "٣" + DIGEST[1:], "０" + DIGEST[1:],
        f" {DIGEST}", "\0" + DIGEST[1:], None, 5, float("nan"), DIGEST.encode(),
    ],
)  # fmt: skip
def test_what_is_no_digest_and_no_id(value: object) -> None:
    with pytest.raises(UnsafeName, match="is no SHA-256"):
        sha256_of(value)
    with pytest.raises(UnsafeName, match="is no snapshot's id"):
        snapshot_id_of(value)
    assert sha256_of(DIGEST) == DIGEST
    assert snapshot_id_of(DIGEST[:16]) == DIGEST[:16]


def test_a_home_folder_of_nobody_is_said_to_be_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/a") == tmp_path / "a"
    assert expanded("a/~b") == Path("a/~b")
    with pytest.raises(UnsafeName, match="no such user"):
        expanded("~no-such-user-here/a")


def test_what_is_no_path_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    found = [is_plain_file(tmp_path / name) for name in ("a", "b", "x" * 5000, "nul\0", ".")]
    assert found == [True, False, False, False, False]


def test_the_examples_hold() -> None:
    assert doctest.testmod(file_names) == (0, 1)
