"""What benchmarks say of peers that are missing. The figures themselves are no tests."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import psutil
import pytest

from benchmarks import (
    dedupe_quality,
    download,
    fingerprint,
    hints,
    million,
    neighbours,
    peers,
    pictures,
    refocus,
    results,
    scale,
)
from benchmarks.peers import Peers
from benchmarks.results import Goal, report
from pipeline.config import load_project
from pipeline.operations.planning import Planner
from pipeline.operations.status import status
from storage import Home


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


@pytest.mark.parametrize("benchmark", [dedupe_quality, fingerprint, hints])
def test_without_portraits_nothing_is_measured(
    benchmark: ModuleType, hidden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "PORTRAITS", tmp_path / "none")
    monkeypatch.setattr("sys.argv", ["benchmark"])
    monkeypatch.setattr(hints, "make_segmenter", lambda *_, **__: None)
    with pytest.raises(SystemExit, match=f"not measured: the portraits are missing, which lie in {tmp_path / 'none'}"):
        benchmark.main()
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


class EverythingOnRecord:
    """Records of a home of which everything was told."""

    def made_at_s(self, asset: str, partition: str | None) -> float | None:
        """In the future."""
        return 2**40

    def partitions(self, asset: str) -> set[str]:
        """None is asked for."""
        return set()

    def failed_checks(self, asset: str, checks: Sequence[str]) -> dict[str, str] | None:
        """None."""
        return {}


def test_the_program_takes_the_home_of_the_million_for_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(million, "MONTHS", ["2017-01", "2017-02"])
    text = million.PROJECT.replace("2024-12", "2017-02").replace("batch_size = 10000", "batch_size = 500")
    (tmp_path / "bokehflow.toml").write_text(text)
    for name in million.MADE:
        if name not in ("earlier", "records") and not name.endswith("_again"):
            million.make(name, tmp_path, 2000)
    project, home = load_project(tmp_path / "bokehflow.toml"), Home(tmp_path)
    told = status(project, home)
    assert sum(counts["listed"] for counts in told["domains"].values()) == 2000
    for counts in told["domains"].values():
        assert counts["downloaded"] == sum(counts["duplicates"].values()) + counts["queued"]
        assert counts["queued"] == counts["undecided"] + counts["kept"] + sum(counts["dropped"].values())
        assert counts["duplicates"]
    assert told["decisions"] == {"wrong": [], "notes": []}
    assert told["double_review"]["decided_by_more"] > 0
    (frozen,) = told["snapshots"]
    assert sum(sum(sides.values()) for sides in frozen["counts"].values()) == told["masks"]["made"] > 1000
    outlook = Planner(project, home, tmp_path, EverythingOnRecord()).outlook()
    # Enough is decided by now to learn an order from: the queue alone is to be made again, and the snapshot was not told.
    assert {due.asset for due in outlook.due} <= {"review_queue", "dataset_snapshot"}, list(map(str, outlook.due))


def test_refocus_of_one_method_leaves_the_results_of_several() -> None:
    assert refocus.result_of(["refocus"]) == "refocus_of_refocus"
    assert refocus.result_of(["depth", "defocus"]) == refocus.result_of(list(refocus.METHODS)) == "refocus"


def test_a_child_that_ends_while_it_is_looked_at_does_not_end_the_watch_over_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    own, child = psutil.Process(), psutil.Process(1)
    monkeypatch.setattr(psutil.Process, "children", lambda self, recursive: [child])

    def looked_at(process: psutil.Process) -> SimpleNamespace:
        if process.pid == child.pid:
            raise psutil.NoSuchProcess(process.pid)
        return SimpleNamespace(rss=9e6, pss=5e6)

    monkeypatch.setattr(psutil.Process, "memory_full_info", looked_at)
    assert results.memory_mb(own.pid) == 5


def test_a_stage_shorter_than_a_look_has_no_peak() -> None:
    watched = scale.Watched(memory=[(1.0, 90.0), (2.0, 80.0)])
    assert watched.peak_mb() == 90
    assert watched.peak_mb(1.5, 2.5) == 80
    assert watched.peak_mb(1.2, 1.8) is None
