"""The record of the losses of every step, and the guard against losses that are not finite."""

from array import array
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from pipeline.atomic import atomic_path
from pipeline.errors import TrainingError
from pipeline.parquet_files import parquet_path
from pipeline.training.loop import StepMetrics

STEP = "step"


class LossLog:
    """Unweighted loss terms by step; a term that a step did not compute is null there.

    New steps wait on the training device until `settle` fetches them all at once, so that training does not
    wait for the device in every step.
    """

    def __init__(self) -> None:
        self._steps = array("q")
        self._terms: dict[str, array[float]] = {}
        self._waiting: list[StepMetrics] = []

    def append(self, metrics: StepMetrics) -> None:
        """Take note of a step."""
        self._waiting.append(metrics)

    def settle(self) -> None:
        """Fetch what waits; TrainingError names the first step and term that is not finite."""
        if not self._waiting:
            return
        values = iter(torch.stack([term for step in self._waiting for term in step.terms.values()]).tolist())
        for metrics in self._waiting:
            self._append_row(metrics.step, {name: next(values) for name in metrics.terms})
        self._waiting = []

    def _append_row(self, step: int, terms: dict[str, float]) -> None:
        for name, value in terms.items():
            if not np.isfinite(value):
                raise TrainingError(
                    f"The loss {name} became {value} in step {step}. The last checkpoint is from before; lower"
                    " learning_rate or the weight of this term."
                )
            if name not in self._terms:
                self._terms[name] = array("d", [np.nan] * len(self._steps))
        self._steps.append(step)
        for name, column in self._terms.items():
            column.append(terms.get(name, np.nan))

    @property
    def settled_steps(self) -> int:
        """How many steps are on record."""
        return len(self._steps)

    def recent_means(self, steps: int) -> dict[str, float]:
        """Mean of each term over the last `steps` settled steps in which it was computed; 6 digits."""
        return self.means(max(0, self.settled_steps - steps), self.settled_steps)

    def means(self, start: int, end: int) -> dict[str, float]:
        """Mean of each term over the steps on record from index `start` to before `end`; 6 digits."""
        means = {}
        for name, column in self._terms.items():
            chosen = np.array(column[start:end])
            if not np.isnan(chosen).all():
                means[name] = round(float(np.nanmean(chosen)), 6)
        return means

    def write(self, path: Path) -> None:
        """Write the settled steps as Parquet: `step`, then one column for each term."""
        columns = {name: pa.array(np.array(values), from_pandas=True) for name, values in self._terms.items()}
        with atomic_path(path) as temporary:
            pq.write_table(pa.table({STEP: np.array(self._steps, np.int64), **columns}), temporary)

    @classmethod
    def read(cls, path: Path, last_step: int) -> "LossLog":
        """The log as it stood after `last_step`; empty if there is no file. TrainingError for one that is damaged."""
        log = cls()
        try:
            table = pq.read_table(parquet_path(path), filters=[(STEP, "<=", last_step)])
            log._steps = array("q", table[STEP].to_pylist())
            for name in table.column_names[1:]:
                log._terms[name] = array("d", table[name].to_numpy())
        except FileNotFoundError:
            return log
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise TrainingError(f"{path} is damaged ({error}); delete the run's folder to train anew.") from error
        return log
