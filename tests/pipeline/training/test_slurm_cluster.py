"""Runs as jobs of a real Slurm, whose daemons are started here on loopback; Debian's slurm-wlm and munge bring them."""

import os
import re
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from pipeline.operations.emulated_flickr import free_ports
from pipeline.training import slurm
from pipeline.training.jobs import TrainingJob
from pipeline.training.slurm import SlurmJob

pytestmark = pytest.mark.slow
STEPS = 600
DAEMONS = ("munged", "slurmctld", "slurmd")
SETTINGS = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine of two cores that jobs run on, and who gives them to it."""
    if os.geteuid() != 0 or not all(map(shutil.which, (*DAEMONS, "sbatch"))):
        pytest.skip("needs root, and the packages slurm-wlm and munge")
    folder, host = tmp_path / "cluster", socket.gethostname().split(".")[0]
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    (folder / "munge.key").write_bytes(secrets.token_bytes(1024))
    (folder / "munge.key").chmod(0o400)
    (folder / "slurm.conf").write_text(SETTINGS.format(folder=folder, host=host, ports=free_ports(2)))
    monkeypatch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
    files = {"--key-file": "key", "--socket": "socket", "--pid-file": "pid", "--log-file": "log", "--seed-file": "seed"}
    munged = ["munged", "--force", "--foreground", *(f"{option}={folder}/munge.{file}" for option, file in files.items())]
    with ExitStack() as daemons:
        for command in (munged, ["slurmctld", "-D"], ["slurmd", "-D"]):
            daemon = daemons.enter_context(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            daemons.callback(daemon.terminate)
        until_s = time.monotonic() + 60
        while "idle" not in subprocess.run(["sinfo", "--noheader"], capture_output=True, text=True, check=False).stdout:
            assert time.monotonic() < until_s, "Slurm did not come up"
            time.sleep(0.5)
        yield


@pytest.mark.usefixtures("cluster")
def test_two_trainings_that_slurm_stops_go_on_in_other_jobs(
    make_job: Callable[..., TrainingJob], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "LOOK_EVERY_S", 0.2)
    said: dict[str, list[str]] = {"one": [], "two": []}

    def train(name: str) -> int:
        folder = tmp_path / "slurm" / name

        def say(line: str) -> None:
            if f"step 0 of {STEPS}" in line:  # it trains: let Slurm send what it sends before the limit
                signal = ["scancel", "--batch", "--signal=TERM", (folder / "submitted").read_text()]
                subprocess.run(signal, check=True, timeout=60)
            said[name].append(line)

        job = make_job(name, settings={"steps": STEPS})
        return SlurmJob(job, folder, ["--time=60", "--cpus-per-task=1"]).to_the_end(say).steps

    with ThreadPoolExecutor(2) as both:
        assert list(both.map(train, said)) == [STEPS, STEPS]
    for lines in said.values():
        assert any("came to its limit" in line for line in lines)
        first, second = (int(found[1]) for line in lines if (found := re.search(rf": step (\d+) of {STEPS}", line)))
        assert first == 0 < second
    assert not subprocess.run(["squeue", "--noheader"], capture_output=True, text=True, check=True).stdout
