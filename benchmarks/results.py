"""How a benchmark reports: a table for people, one line of JSON last, and the same with the machine in `results/`."""

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from benchmarks.peers import Peers

FOLDER = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Goal:
    """What is aimed for, what was measured, and whether that meets it; None where a peer was missing."""

    goal: str
    measured: float | str
    met: bool | None


def report(name: str, figures: Mapping[str, float | str], goals: Sequence[Goal], peers: Peers | None = None) -> None:
    """Print the figures and goals and write them to `results/NAME.json`; end with a failure where a peer is missing."""
    peers = peers or Peers()
    width = max(map(len, figures))
    print("\n".join(f"{figure:<{width}}  {value}" for figure, value in figures.items()))
    words = {True: "met   ", False: "MISSED", None: "UNMEASURED"}
    print("\n".join(f"{words[goal.met]}  {goal.goal}: {goal.measured}" for goal in goals))
    result = {"name": name, "figures": dict(figures), "goals": [asdict(goal) for goal in goals]}
    result |= {"peers": peers.versions, "missing_peers": peers.missing}
    FOLDER.mkdir(exist_ok=True)
    described = {**result, "machine": machine(), "measured_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%MZ}"}
    (FOLDER / f"{name}.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))
    if peers.missing:
        sys.exit("\n".join(f"not measured: {library} is missing: {reason}" for library, reason in peers.missing.items()))


def machine() -> dict[str, str | int | float | None]:
    """Processor, cores, system and Python, and how busy the cores were: a load above 1 tells of other work."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 1),
    }


def memory_mb(pid: int) -> float:
    """Memory of a process and all below it; pages that several share count once (PSS), where the system tells."""
    size_bytes = 0
    with suppress(psutil.Error):
        whole = psutil.Process(pid)
        for process in (whole, *whole.children(recursive=True)):
            with suppress(psutil.Error):
                held = process.memory_full_info()
                size_bytes += getattr(held, "pss", held.rss)
    return size_bytes / 1e6
