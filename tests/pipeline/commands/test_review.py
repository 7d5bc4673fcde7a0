"""`bokehflow review`: one page for a home."""

from pathlib import Path

import pytest
import uvicorn

from pipeline.cli import main
from storage import Home
from tests.pipeline.curation.review.worlds import make_home

FIRST = "http://127.0.0.1:8765/"


def test_a_second_page_of_a_home_is_refused_and_told_where_the_first_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = make_home(tmp_path / "home", count=1)
    monkeypatch.setattr("sys.argv", ["bokehflow", "review", "--port", "0", "--home", str(home.root)])
    served: list[str] = []

    def serve(*_: object, **__: object) -> None:
        served.append((home.root / "review.lock").read_text())

    monkeypatch.setattr(uvicorn.Server, "run", serve)
    with home.lock("review") as tell_others:
        tell_others(FIRST)
        with pytest.raises(SystemExit) as refused:
            main()
    assert f"at {FIRST}; use that" in str(refused.value.code)
    assert not served
    main()
    assert "http://127.0.0.1:" in served[0]
    with Home(home.root).lock("review"):
        pass
    capsys.readouterr()
