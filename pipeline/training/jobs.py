"""The job that a training process is given: what to train, on which snapshot, into which folder.

Free of torch. The asset that starts a run builds a `TrainingJob` and hands it over as JSON.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, NonNegativeInt

from pipeline.machine import MachinePlace, here, host_name
from pipeline.training.recipes import TrainingSettings, canonical_digest

if TYPE_CHECKING:
    import psutil

RUN_FORMAT = 3
"""Raised when run folders or the loop change so that an unfinished run must not be continued."""

START_TOLERANCE_S = 1.0


class ProcessIdentity(BaseModel):
    """A process, told from a later one that was given the same number by its start."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pid: int
    started_at_s: float
    """Seconds since 1970, as the clock stood when this was asked: a step of the clock moves it."""
    started_at_ticks: int | None = None
    """Clock ticks since the machine started, which no step of the clock moves; None where the system does not tell."""
    place: str = ""
    """The machine, its boot and its namespace of process numbers, as `pipeline.machine` marks them; empty: this one."""
    host: str = ""
    """The machine's name, for people."""

    @classmethod
    def current(cls) -> "ProcessIdentity":
        """The process that calls this."""
        import psutil  # takes a while, which those save who find no process

        pid = os.getpid()
        started_at_s, ticks = psutil.Process().create_time(), _start_ticks(pid)
        return cls(pid=pid, started_at_s=started_at_s, started_at_ticks=ticks, place=here().mark, host=host_name())

    @property
    def label(self) -> str:
        """A file's name for it, that of no other process anywhere."""
        return f"{self.place}-{self.pid}-{self.started_at_ticks or int(self.started_at_s)}"

    def elsewhere(self) -> MachinePlace | None:
        """The place of a process that nothing can be told of from here: another machine's, or another container's."""
        place = MachinePlace.of(self.place)
        return None if place is None or place.is_here() or place.is_over() else place

    def is_alive(self) -> bool:
        """Whether that very process still runs, as far as can be told from here; a zombie does not."""
        import psutil

        place = MachinePlace.of(self.place)
        if place is not None and not place.is_here():
            return not place.is_over()
        try:
            process = psutil.Process(self.pid)
            return self._is_same(process) and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def _is_same(self, process: "psutil.Process") -> bool:
        """By the ticks, or for identities without them, as older versions wrote, by the time."""
        if self.started_at_ticks is not None:
            return _start_ticks(self.pid) == self.started_at_ticks
        return abs(process.create_time() - self.started_at_s) < START_TOLERANCE_S


def _start_ticks(pid: int) -> int | None:
    """Field 22 of Linux' `/proc/PID/stat`; None on other systems, and where there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The second field, the name in brackets, may hold spaces and brackets itself.
    return int(stat.rpartition(b")")[2].split()[19])


class TrainingJob(BaseModel):
    """One run: model, settings and seed on one snapshot."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str
    run_dir: Path
    """The run's own folder; nothing else may write there."""
    recipe: str
    """Name of the recipe in the project file."""
    seed: NonNegativeInt
    model: str
    """A key of `pipeline.models.MODELS`."""
    settings: TrainingSettings
    snapshot_id: str
    manifest_path: Path
    """The snapshot's pictures.parquet: photo_id, domain, split ("train" or "test"), shard (file name), row."""
    shards_dir: Path
    weights_dir: Path | None = None
    """Where the weights of VGG's features lie, or are fetched to; None: in the run's folder."""
    domain_a: str = "ordinary"
    domain_b: str = "shallow"
    lineage: dict[str, str] = {}
    """Further provenance for the model card, such as the code revision."""
    licences: dict[str, int] = {}
    """How many of the training pictures have which licence, for the model card."""
    stop_failing: bool = False
    """Whether a run that blurs nothing, or everything, after its first tenth ends there instead of going on."""
    started_by: ProcessIdentity | None = None
    """The process without which the run shall not go on; it ends as soon as that one is gone."""

    @property
    def digest(self) -> str:
        """SHA-256 over all that decides the result; a folder with another digest holds another run."""
        return canonical_digest({"format": RUN_FORMAT, **self.deciding})

    @property
    def deciding(self) -> dict[str, Any]:
        """What decides the result, but for the code, as plain values."""
        names = {"model", "seed", "snapshot_id", "domain_a", "domain_b"}
        return {**self.model_dump(mode="json", include=names), "settings": self.settings.deciding}
