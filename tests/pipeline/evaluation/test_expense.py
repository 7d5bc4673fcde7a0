"""What a generator costs: known counts, sizes that do not fit, memory that is seen."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.evaluation import expense
from pipeline.evaluation.expense import COST_METRICS, flops, generator_costs
from pipeline.models.networks import Generator, GeneratorConfig


def test_the_studys_generator_has_its_published_size() -> None:
    generator = Generator(GeneratorConfig())
    assert flops(generator, 256) == pytest.approx(99.1e9, rel=0.01)
    assert sum(one.numel() for one in generator.parameters()) == 11_378_179


def test_operations_of_one_convolution_by_hand() -> None:
    assert flops(nn.Conv2d(3, 5, 3, padding=1), 8) == 2 * 3 * 5 * 9 * 64


def test_every_size_is_timed_and_weighed() -> None:
    costs = generator_costs(Generator(GeneratorConfig(channels=4, blocks=1)), sides_px=(64, 128))
    assert costs["parameters"] > 0
    assert all(costs[f"ms_{side}"] > 0 for side in (64, 128))
    assert all(costs[f"memory_mb_{side}"] >= 0 for side in (64, 128))


def test_a_size_that_would_not_fit_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expense, "_measured", lambda generator, side_px: (1.0, side_px**2 / 1000))
    monkeypatch.setattr(expense, "_free_mb", lambda generator: 1000.0)
    costs = generator_costs(nn.Conv2d(3, 3, 3, padding=1))
    assert tuple(costs) == COST_METRICS
    assert costs["ms_256"] == costs["ms_512"] == 1.0
    assert math.isnan(costs["ms_1024"])
    assert math.isnan(costs["memory_mb_1024"])


def test_memory_that_is_taken_for_a_while_is_seen() -> None:
    with expense._PeakMemory() as memory:
        block = np.ones(25_000_000)
        torch.set_num_threads(torch.get_num_threads())
        for _ in range(20):
            block += 1
        del block
    assert 150 < memory.megabytes < 400
