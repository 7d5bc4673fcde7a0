"""The record of losses: absent terms, resuming, and losses that are not finite."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from pipeline.errors import TrainingError
from pipeline.training.loop import StepMetrics
from pipeline.training.loss_log import LossLog


def metrics(step: int, **terms: float) -> StepMetrics:
    return StepMetrics(step, {name: torch.tensor(value) for name, value in terms.items()})


def logged(*rows: StepMetrics) -> LossLog:
    log = LossLog()
    for row in rows:
        log.append(row)
    log.settle()
    return log


def test_steps_and_terms_are_written_and_absent_ones_are_null(tmp_path: Path) -> None:
    log = logged(metrics(1, gan_a=0.5, r1_a=2.0), metrics(2, gan_a=0.25), metrics(3, gan_a=1.0, late=4.0))
    log.write(tmp_path / "losses.parquet")
    table = pd.read_parquet(tmp_path / "losses.parquet")
    assert table["step"].tolist() == [1, 2, 3]
    assert table["gan_a"].tolist() == [0.5, 0.25, 1.0]
    assert table["r1_a"].isna().tolist() == [False, True, True]
    assert table["late"].isna().tolist() == [True, True, False]


def test_a_log_is_taken_up_at_a_step(tmp_path: Path) -> None:
    rows = [metrics(1, gan_a=0.5, r1_a=2.0), metrics(2, gan_a=0.25), metrics(3, gan_a=0.125)]
    logged(*rows).write(tmp_path / "losses.parquet")
    taken_up = LossLog.read(tmp_path / "losses.parquet", last_step=2)
    taken_up.append(rows[2])
    taken_up.settle()
    taken_up.write(tmp_path / "again.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "again.parquet"), pd.read_parquet(tmp_path / "losses.parquet"))


def test_no_file_is_an_empty_log(tmp_path: Path) -> None:
    assert LossLog.read(tmp_path / "losses.parquet", last_step=5).recent_means(3) == {}


def test_means_are_over_the_last_steps_that_have_the_term() -> None:
    log = logged(metrics(1, gan_a=9.0, r1_a=2.0), metrics(2, gan_a=1.0), metrics(3, gan_a=2.0))
    assert log.recent_means(2) == {"gan_a": 1.5}
    assert log.recent_means(3) == {"gan_a": 4.0, "r1_a": 2.0}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_names_step_and_term(value: float) -> None:
    with pytest.raises(TrainingError, match=r"The loss cycle_a became (nan|inf) in step 2\."):
        logged(metrics(1, cycle_a=1.0), metrics(2, gan_a=1.0, cycle_a=value), metrics(3, gan_a=value))
