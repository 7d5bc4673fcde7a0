"""Text of strangers leaves the program only where nothing in it acts."""

import doctest
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pipeline
from pipeline import plain_text
from pipeline.cli import main
from pipeline.plain_text import plain, plain_lines, plain_markdown

ACTS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@given(st.text(alphabet=st.characters()) | st.text(alphabet="a\x1b\x9b\0\n\r\t\u202e\u2066\ud800\u2028"))
def test_nothing_that_acts_is_left(text: str) -> None:
    assert not ACTS.search(plain(text))
    assert not ACTS.search(plain_lines(text))
    assert len(plain(text).splitlines()) <= 1
    assert plain(plain(text)) == plain(text)
    plain_markdown(text).encode()


@given(st.text(max_size=20))
def test_json_stays_the_json_that_it_was(text: str) -> None:
    assert json.loads(plain_lines(json.dumps({"title": text}, ensure_ascii=False, indent=1))) == {"title": text}


def test_words_of_all_languages_stay() -> None:
    for text in ("Łódź 東京 Ä é", "שלום עולם", "👩\u200d🦰 ok", "a\u00a0b\u00adc"):
        assert plain(text) == plain_markdown(text) == text


def test_commands_reach_the_terminal_by_one_way_only() -> None:
    sources = Path(pipeline.__file__).parent.rglob("*.py")
    speaking = {path.name for path in sources if re.search(r"click\.(echo|secho)\(", path.read_text(encoding="utf-8"))}
    assert speaking == {"options.py"}


HOSTILE = "\x1b]0;pwned\x07\x1b[2J\u202egpj\x9b1m"


def test_an_import_of_hostile_names_and_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home, folder = tmp_path / "home", tmp_path / "in"
    home.mkdir()
    folder.mkdir()
    (home / "bokehflow.toml").write_text("[domains.ordinary]\n[domains.shallow]\n")
    (folder / f"{HOSTILE}.jpg").write_bytes(b"x")
    (folder / "one\n  refused nothing.jpg").write_bytes(b"x")
    (folder / f"a.{HOSTILE}").write_bytes(b"x")
    row = f"{HOSTILE}.png,{HOSTILE},{HOSTILE},{HOSTILE}\nb.jpg,a,b,c\n"
    (tmp_path / f"{HOSTILE}.csv").write_text(f"file,owner,license,mood{HOSTILE}\n{row}", encoding="utf-8")
    for arguments in (
        ["--metadata", str(tmp_path / f"{HOSTILE}.csv")],
        ["--metadata", f"{HOSTILE}none.csv"],
        ["--domain", HOSTILE],
    ):
        monkeypatch.setattr(
            "sys.argv", ["bokehflow", "import", str(folder), "--home", str(home), "--domain", "ordinary", *arguments]
        )
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        assert stop.value.code
        assert not ACTS.search(said.out + said.err + str(stop.value.code))
        assert "\n  refused nothing" not in said.out


def test_the_examples_hold() -> None:
    assert doctest.testmod(plain_text).failed == 0
