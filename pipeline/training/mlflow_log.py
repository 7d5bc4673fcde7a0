"""A training as a run of MLflow, where `MLFLOW_TRACKING_URI` names a server or a folder.

All that is sent goes by a thread of its own, since MLflow's client waits for minutes where a server does not answer: the
training waits for it at its end alone, and not for long. What goes wrong is said once and stops nothing.

The run is found again by a mark in the training's folder, written before it is made, so that a training that was
interrupted anywhere goes on in its own run.
"""

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self
from uuid import UUID, uuid4

from pipeline import atomic
from pipeline.plain_files import read_plain_text
from pipeline.plain_text import without_credentials
from pipeline.training.jobs import TrainingJob
from pipeline.training.loss_log import LossLog
from pipeline.training.runs import Completion, RunFolder

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

logger = logging.getLogger(__name__)

TRACKING_VARIABLE, EXPERIMENT_VARIABLE = "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"
EXPERIMENT = "bokehflow"
MARK = "bokehflow.training"
"""The tag by which the run is found again."""
DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    # A folder that somebody names is meant, though MLflow would rather have a database.
    "MLFLOW_ALLOW_FILE_STORE": "true",
    # Nothing goes to anybody but the server that was named.
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""Settings of MLflow's client where the environment says nothing else."""

POINTS_IN_A_RUN = 2000
"""Points of a curve, about; each is the mean over the steps since the one before."""
VALUES_AT_ONCE, PARAMETERS_AT_ONCE, LONGEST_VALUE = 500, 100, 500
"""Within what every version of the API takes."""
PATIENCE_S = 60.0
"""So long the end of a training waits for what is still on its way."""

Status = Literal["FINISHED", "FAILED", "KILLED"]
Point = tuple[int, Mapping[str, float]]
Task = Callable[["_Session"], None]


class MlflowLog:
    """Follows a training, a context that it runs in; of another than `wanted` it does nothing.

    Ends the run as killed where the training stops before its end, or as failed where it raises.
    """

    def __init__(self, job: TrainingJob, folder: RunFolder, total_steps: int) -> None:
        self._job, self._folder = job, folder
        self._every = max(1, total_steps // POINTS_IN_A_RUN)
        self._told = 0
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._problem: str | None = None
        self._is_said = False
        self._worker: threading.Thread | None = None

    @staticmethod
    def wanted() -> bool:
        """Whether the environment names a place for runs."""
        return bool(os.environ.get(TRACKING_VARIABLE))

    def __enter__(self) -> Self:
        if self.wanted():
            self._worker = threading.Thread(target=self._work, name="MLflow", daemon=True)
            self._worker.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._end("KILLED" if error is None or not isinstance(error, Exception) else "FAILED")

    def follow(self, losses: LossLog) -> None:
        """Send the points of the curves that have become complete."""
        if self._worker is None or self._problem:
            self._say()
            return
        points: list[Point] = []
        while self._told + self._every <= losses.settled_steps:
            means = losses.means(self._told, self._told + self._every)
            self._told += self._every
            points.append((self._told, means))
        if points:
            self._tasks.put(lambda session: session.send_points(points))
        self._say()

    def complete(self, completion: Completion) -> None:
        """Send what came of it, with the model card, and end the run."""
        cards = [self._folder.card, self._folder.card_page]
        self._tasks.put(lambda session: session.send_result(completion, cards))
        self._end("FINISHED")

    def _end(self, status: Status) -> None:
        worker, self._worker = self._worker, None
        if worker is None:
            return
        self._tasks.put(lambda session: session.end(status))
        self._tasks.put(None)
        worker.join(PATIENCE_S)
        if worker.is_alive():
            self._problem = self._problem or f"no answer in {PATIENCE_S:.0f} s"
        self._say()

    def _say(self) -> None:
        if self._problem and not self._is_said:
            self._is_said = True
            logger.warning("MLflow: the run is not, or not wholly, recorded (%s); the training goes on", self._problem)

    def _work(self) -> None:
        try:
            session = _Session(self._job, mark_of(self._folder))
            while task := self._tasks.get():
                task(session)
        except Exception as error:
            # Whatever a client, its settings, a proxy or a server come up with: the training does not depend on it.
            self._problem = without_credentials(" ".join((str(error) or type(error).__name__).split()))[:300]


def mark_of(folder: RunFolder) -> str:
    """The mark of the run of this folder, made where there is none."""
    with suppress(FileNotFoundError, ValueError):
        return UUID(read_plain_text(folder.mlflow, 100).strip()).hex
    mark = uuid4().hex
    atomic.write_text(folder.mlflow, mark)
    return mark


class _Session:
    """MLflow's client with the run of one training; lives in the thread."""

    def __init__(self, job: TrainingJob, mark: str) -> None:
        self._client = _client()
        experiment = _experiment(self._client)
        found = self._client.search_runs([experiment], f"tags.`{MARK}` = '{mark}'", max_results=1)
        run = found[0] if found else self._client.create_run(experiment, tags=_tags(job, mark), run_name=job.run_id)
        self._run = run.info.run_id
        if found:
            self._client.update_run(self._run, status="RUNNING")
        self._send_settings(job, run)
        self._sent_to = self._last_step(run)

    def _send_settings(self, job: TrainingJob, run: "Run") -> None:
        """Those that are not there yet: what is there cannot be changed, and need not be."""
        from mlflow.entities import Dataset, DatasetInput, Param

        settings = {key: str(value)[:LONGEST_VALUE] for key, value in flat(job.settings.model_dump(mode="json")).items()}
        missing = [Param(key, value) for key, value in sorted(settings.items()) if key not in run.data.params]
        for start in range(0, len(missing), PARAMETERS_AT_ONCE):
            self._client.log_batch(self._run, params=missing[start : start + PARAMETERS_AT_ONCE])
        snapshot = Dataset(f"snapshot {job.snapshot_id}", job.snapshot_id, "bokehflow", "{}")
        self._client.log_inputs(self._run, [DatasetInput(snapshot)])

    def _last_step(self, run: "Run") -> int:
        """The last step of the curves that are there; MLflow would keep a second point of the same step beside the first."""
        names = [name for name in run.data.metrics if name.startswith("loss/")]
        return max((one.step for name in names for one in self._client.get_metric_history(self._run, name)), default=0)

    def send_points(self, points: Sequence[Point]) -> None:
        """Those that are not there yet."""
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        new = [
            Metric(f"loss/{name}", value, now_ms, step)
            for step, means in points
            if step > self._sent_to
            for name, value in means.items()
        ]
        for start in range(0, len(new), VALUES_AT_ONCE):
            self._client.log_batch(self._run, metrics=new[start : start + VALUES_AT_ONCE])

    def send_result(self, completion: Completion, cards: Sequence[Path]) -> None:
        """Final losses, the best check, and the files of the card."""
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        told = {
            **{f"final/{name}": value for name, value in completion.final_losses.items()},
            **{f"best/{name}": value for name, value in completion.best.items()},
            "seconds": completion.seconds,
        }
        values = [Metric(name, value, now_ms, completion.steps) for name, value in told.items()]
        self._client.log_batch(self._run, metrics=values)
        self._client.set_tag(self._run, "bokehflow.failing", completion.failing or "no")
        for path in cards:
            self._client.log_artifact(self._run, str(path))

    def end(self, status: Status) -> None:
        """Say how the run ended."""
        self._client.set_terminated(self._run, status)


def _client() -> "MlflowClient":
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        raise ImportError(f"{error.name or error} is missing: pip install 'bokehflow[mlflow]'") from error
    return MlflowClient(os.environ[TRACKING_VARIABLE])


def _experiment(client: "MlflowClient") -> str:
    """The id of the experiment that the environment names, which is made where it is not there."""
    from mlflow.exceptions import MlflowException

    if given := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return given
    name = os.environ.get(EXPERIMENT_VARIABLE) or EXPERIMENT
    found = client.get_experiment_by_name(name)
    try:
        return found.experiment_id if found else client.create_experiment(name)
    except MlflowException:  # a training beside this one was faster
        if (found := client.get_experiment_by_name(name)) is None:
            raise
        return found.experiment_id


def _tags(job: TrainingJob, mark: str) -> dict[str, str]:
    told = {
        MARK: mark,
        "bokehflow.run": job.run_id,
        "bokehflow.model": job.model,
        "bokehflow.recipe": job.recipe,
        "bokehflow.seed": str(job.seed),
        "bokehflow.snapshot": job.snapshot_id,
        "bokehflow.digest": job.digest,
        **{f"bokehflow.{name}": value for name, value in job.lineage.items()},
    }
    return {name: value[:LONGEST_VALUE] for name, value in told.items()}


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings within settings by dotted names."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found
