"""How long commands take that only look, and those that find nothing to do: whole processes, on a finished demo's home.

    python benchmarks/startup.py [HOME]     a home whose demo has run; without one it is made, which takes minutes

Warm: the median of some rounds. Cold: the first run with Python's compiled files elsewhere, as after an installation.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.results import Goal, report

LOOKING = ("--help", "snapshot list", "status", "doctor", "lineage model cyclegan@0")
WITH_NOTHING_TO_DO = ("run", "demo")
LOOKING_S, NOTHING_TO_DO_S = 1.0, 3.0
ROUNDS = 5


def seconds(command: list[str], compiled: str | None = None) -> float:
    """Of the whole process by the clock, Python's compiled files in the folder `compiled` where one is named.

    Ends the benchmark where the command fails.
    """
    # Without compiled files each process would compile everything anew, which is not what a user waits for.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"PYTHONPYCACHEPREFIX": compiled} if compiled else {}
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *command], capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        sys.exit(f"not measured: {' '.join(command)}: {done.stderr[-2000:]}")
    return time.perf_counter() - start


def measure(home: Path) -> dict[str, float]:
    """Seconds by name of the figure."""
    figures: dict[str, float] = {}
    for words in (*LOOKING, *WITH_NOTHING_TO_DO):
        command = [*words.split(), *([] if words == "--help" else ["--home", str(home)])]
        name = words.removesuffix(" model cyclegan@0").removeprefix("--").replace(" ", "_")
        with tempfile.TemporaryDirectory(prefix="bokehflow-bench-") as compiled:
            figures[f"{name}_cold_s"] = seconds(command, compiled)
        figures[f"{name}_s"] = statistics.median(seconds(command) for _ in range(ROUNDS))
    return {name: round(value, 2) for name, value in figures.items()}


def main() -> None:
    """Measure and report."""
    with tempfile.TemporaryDirectory(prefix="bokehflow-bench-") as folder:
        home = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder)
        if len(sys.argv) < 2:
            seconds(["demo", "--home", folder])
        figures = measure(home)
    slowest = max(figures[name] for name in ("help_s", "snapshot_list_s", "status_s", "doctor_s", "lineage_s"))
    idle = max(figures["run_s"], figures["demo_s"])
    report(
        "startup",
        figures,
        [
            Goal(f"commands that look within {LOOKING_S} s", slowest, slowest <= LOOKING_S),
            Goal(f"run and demo with nothing to do within {NOTHING_TO_DO_S} s", idle, idle <= NOTHING_TO_DO_S),
        ],
    )


if __name__ == "__main__":
    main()
