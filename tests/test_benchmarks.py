"""What benchmarks say of peers that are missing. The figures themselves are no tests."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import download, neighbours, peers, results
from benchmarks.peers import Peers
from benchmarks.results import Goal, report


@pytest.fixture
def hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Peers whose lists ask for a file that is not there, in environments made here; results are written here as well."""
    lists = tmp_path / "lists"
    lists.mkdir()
    for library in ("faiss", "duckdb", "imagededup", "img2dataset"):
        (lists / f"{library}.txt").write_text(f"# For a test\n{tmp_path}/{library}-1.0-py3-none-any.whl\n")
    monkeypatch.setattr(peers, "LISTS", lists)
    monkeypatch.setattr(peers, "ENVIRONMENTS", tmp_path / "environments")
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    return tmp_path / "results"


def test_neighbours_says_which_peers_it_did_not_measure(
    hidden: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(neighbours, "COUNTS", (2_000,))
    found = {"seconds": 0.1, "pairs": 7, "ready_s": 0.1, "memory_mb": 90.0}
    monkeypatch.setattr(neighbours, "ours", lambda path, radius: found)
    monkeypatch.setattr(neighbours, "equals_brute_force", lambda count: True)
    monkeypatch.setattr(neighbours, "skewed", lambda count: np.arange(count, dtype=np.uint64))
    with pytest.raises(SystemExit, match="duckdb is missing"):
        neighbours.main()
    written = json.loads((hidden / "neighbours.json").read_text())
    assert {written["figures"][f"2k_d{radius}_{peer}_s"] for radius in (4, 10) for peer in neighbours.PEERS} == {
        "not measured"
    }
    assert [goal["met"] for goal in written["goals"]].count(None) == 1
    assert "not within a minute" not in capsys.readouterr().out


def test_a_download_is_not_compared_with_nothing(hidden: Path) -> None:
    with pytest.raises(SystemExit, match="not measured: img2dataset is missing"):
        download.main()
    assert not hidden.exists()


def test_what_depends_on_a_missing_peer_is_unmeasured(hidden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = Peers("faiss", here=("numpy",))
    assert missing.python("faiss") is None
    with pytest.raises(SystemExit, match=r"not measured: faiss is missing: .*faiss-1\.0"):
        report("trial", {"faiss_s": "not measured"}, [Goal("as many pairs", "True", None)], missing)
    assert "UNMEASURED  as many pairs" in capsys.readouterr().out
    written = json.loads((hidden / "trial.json").read_text())
    assert written["goals"] == [{"goal": "as many pairs", "measured": "True", "met": None}]
    assert written["peers"] == {"numpy": np.__version__}
    assert list(written["missing_peers"]) == ["faiss"]
