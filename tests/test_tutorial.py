"""The tutorial's commands do what it says, one after the other, in an empty folder."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import pytest

from pipeline.operations.emulated_flickr import free_ports
from tests.conftest import REPOSITORY, WARM_PYTHON, WEIGHTS

TUTORIAL = (REPOSITORY / "docs" / "tutorial.md").read_text(encoding="utf-8")
WAIT = "until (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null; do sleep .1; done"


def script(ports: dict[str, int]) -> str:
    """The blocks of the shell and of Python as one script of the shell."""
    lines = ["set -euo pipefail", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"]
    for language, block in re.findall(r"(?ms)^```(sh|python)\n(.*?)^```$", TUTORIAL):
        lines.append(block if language == "sh" else f"python - <<'EOF'\n{block}EOF")
    text = "\n".join(lines).replace("sleep 10", WAIT.format(port="8300"))
    for written, port in ports.items():
        text = text.replace(written, str(port))
    return text


def run(script: str, folder: Path, environment: dict[str, str], told: TextIO) -> int:
    """Exit code of the shell's script; whatever it started ends with it, or with the test."""
    process = subprocess.Popen(
        ["bash", "-c", script], cwd=folder, env=environment, stdout=told, stderr=told, start_new_session=True
    )
    try:
        return process.wait()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.timeout(900)
def test_the_commands_of_the_tutorial(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if not WEIGHTS.exists():
        pytest.skip("the segmenter's weights are not here: `bokehflow weights --home .venv/test-home` fetches them")
    for home in ("data", "elsewhere"):
        shutil.copytree(WEIGHTS, tmp_path / "portraits" / home / "weights")
    command = tmp_path / "bin" / "bokehflow"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(os.environ[WARM_PYTHON])} -m pipeline.cli "$@"\n')
    command.chmod(0o755)
    paths = f"{command.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": paths, "HOME": str(tmp_path)}
    text = script(dict(zip(("8300", "8301"), free_ports(2), strict=True)))
    with (tmp_path / "told.txt").open("w") as told:
        code = run(text, tmp_path, environment, told)
    said = (tmp_path / "told.txt").read_text()
    assert code == 0, said[-3000:]
    # Waiting for decisions is no error: the script would have ended.
    assert "The photos are ready for review" in said
    assert list((tmp_path / "portraits" / "data" / "review" / "queue").glob("batch-0001-*.csv"))
    (snapshot,) = (tmp_path / "portraits" / "data" / "snapshots").iterdir()
    assert said.count(f"{snapshot.name}: sound") == 2
    assert "left out" in said
    assert "features: ['photo_id'" in said
    assert (tmp_path / "portraits" / "elsewhere" / "snapshots" / snapshot.name).is_dir()
    assert (snapshot / "forgotten.json").exists()
    # The same pictures and decisions, in a home that was killed while it downloaded; another worker has made it by now.
    (interrupted,) = (request.getfixturevalue("finished_once") / "snapshots").iterdir()
    assert snapshot.name == interrupted.name
