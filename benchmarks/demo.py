"""How long the demo takes: first in a fresh home, then again in the same one, then up to the snapshot in another."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.results import Goal, report

FIRST_S, AGAIN_S = 480, 60


def bokehflow(home: Path, *arguments: str) -> tuple[float, str]:
    """Seconds that the command took, start included, and what it printed."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "pipeline.cli", *arguments, "--home", str(home)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return time.perf_counter() - start, done.stdout


def status(home: Path) -> dict[str, Any]:
    """What `bokehflow status --json` says."""
    return json.loads(bokehflow(home, "status", "--json")[1])


def main() -> None:
    """Run it three times and report."""
    with tempfile.TemporaryDirectory(prefix="bokehflow-bench-") as folder:
        first_home, fresh_home = Path(folder) / "first", Path(folder) / "fresh"
        first_s, _ = bokehflow(first_home, "demo")
        before = status(first_home)
        again_s, _ = bokehflow(first_home, "demo")
        shutil.copytree(first_home / "collection", fresh_home / "collection")
        shutil.copytree(first_home / "weights", fresh_home / "weights")
        shutil.copytree(first_home / "review" / "reviewed", fresh_home / "review" / "reviewed")
        shutil.copy(first_home / "bokehflow.toml", fresh_home)
        dataset_s, _ = bokehflow(fresh_home, "run", "--until", "dataset_snapshot")
        same = before == status(first_home)
        ids = [status(home)["snapshots"][0]["id"] for home in (first_home, fresh_home)]
    report(
        "demo",
        {
            "first_s": round(first_s, 1),
            "again_s": round(again_s, 1),
            "dataset_in_a_fresh_home_s": round(dataset_s, 1),
            "snapshot": ids[0],
        },
        [
            Goal(f"the demo within {FIRST_S} s", round(first_s, 1), first_s <= FIRST_S),
            Goal(f"again within {AGAIN_S} s", round(again_s, 1), again_s <= AGAIN_S),
            Goal("again nothing changed", str(same), same),
            Goal("a fresh home gives the same snapshot", " = ".join(sorted(set(ids))), len(set(ids)) == 1),
        ],
    )


if __name__ == "__main__":
    main()
