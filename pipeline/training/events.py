"""The losses of a run as TensorBoard events, for those who watch several runs at once."""

from pathlib import Path

from torch.utils.tensorboard.writer import SummaryWriter

from pipeline.training.loss_log import LossLog

POINTS_IN_A_RUN = 2000
"""Points of a curve, about; each is the mean over the steps since the one before."""


class EventLog:
    """Follows a `LossLog`; a run that goes on replaces the points that lie after its checkpoint."""

    def __init__(self, folder: Path, losses: LossLog, total_steps: int) -> None:
        self._every = max(1, total_steps // POINTS_IN_A_RUN)
        self._written = losses.settled_steps // self._every * self._every
        self._writer = SummaryWriter(str(folder), purge_step=self._written + 1 if self._written else None)

    def follow(self, losses: LossLog) -> None:
        """Write the points that have become complete."""
        while self._written + self._every <= losses.settled_steps:
            means = losses.means(self._written, self._written + self._every)
            self._written += self._every
            for name, value in means.items():
                self._writer.add_scalar(f"loss/{name}", value, self._written)
        self._writer.flush()
