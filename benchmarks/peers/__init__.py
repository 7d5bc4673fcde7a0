"""The libraries that benchmarks measure against, each in an environment of its own made from `peers/LIBRARY.txt`."""

import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

LISTS = Path(__file__).parent
ENVIRONMENTS = Path(__file__).parents[2] / ".venv-peers"
INSTALL_LIMIT_S = 900


class Peers:
    """Who is measured against: libraries with environments of their own, and those that share this one (`here`).

    Environments are made, or made anew where a list has changed. What cannot be had is in `missing` with the reason:
    `report` marks what depends on it as unmeasured, and ends the benchmark with a failure.
    """

    def __init__(self, *libraries: str, here: tuple[str, ...] = ()) -> None:
        self.versions = {library: version(library) for library in here}
        self.missing: dict[str, str] = {}
        for library in libraries:
            try:
                self.versions[library] = _prepare(library)
            except (OSError, subprocess.SubprocessError) as error:
                said = getattr(error, "stderr", None) or str(error)
                self.missing[library] = " ".join(said.split())[-300:]

    def python(self, library: str) -> Path | None:
        """The interpreter of the library's environment; None where it is missing."""
        return None if library in self.missing else _python(library)


def _prepare(library: str) -> str:
    """Make the environment where there is none of today's list, and say which version is in it."""
    wanted = LISTS / f"{library}.txt"
    made = ENVIRONMENTS / library / wanted.name
    if not made.exists() or made.read_bytes() != wanted.read_bytes():
        uv = str(Path(sys.executable).with_name("uv"))
        shutil.rmtree(made.parent, ignore_errors=True)
        _run([uv, "venv", "--quiet", "--python", sys.executable, str(made.parent)])
        _run([uv, "pip", "install", "--quiet", "--python", str(_python(library)), "-r", str(wanted)])
        shutil.copyfile(wanted, made)
    # The last line of a list is the library itself; those above it hold what it needs.
    name = wanted.read_text(encoding="utf-8").splitlines()[-1].split("==")[0]
    return _run([str(_python(library)), "-c", f"from importlib.metadata import version; print(version({name!r}))"])


def _python(library: str) -> Path:
    return ENVIRONMENTS / library / "bin" / "python"


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=INSTALL_LIMIT_S)
    return done.stdout.strip()
