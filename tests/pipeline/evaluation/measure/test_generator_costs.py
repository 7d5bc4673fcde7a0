"""What a generator costs: known counts, sizes that do not fit, memory that is seen."""

import math

import pytest
from torch import nn

from pipeline.evaluation.measure import generator_costs as expense
from pipeline.evaluation.measure.generator_costs import flops, generator_costs, peak_memory_mb
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
    assert all(costs[f"memory_mb_{side}"] > 0 for side in (64, 128))


def test_a_size_that_does_not_fit_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expense, "_free_mb", lambda generator: 40.0)
    costs = generator_costs(nn.Conv2d(3, 3, 3, padding=1))
    assert set(costs) == {
        "parameters",
        "flops_256",
        *(f"{name}_{side}" for name in ("ms", "memory_mb") for side in (256, 512, 1024)),
    }
    assert costs["ms_256"] > 0
    assert costs["ms_512"] > 0
    assert math.isnan(costs["ms_1024"])
    assert costs["memory_mb_1024"] > 24


def test_memory_by_hand() -> None:
    """The input of 3 channels and two layers of 8, of which the first can go when the second is there."""
    layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 1, 3, padding=1))
    assert peak_memory_mb(layers, 100) == pytest.approx(100 * 100 * 4 * (3 + 8 + 8) / 1e6)


def test_memory_grows_with_the_picture_and_the_network() -> None:
    small, wide = (Generator(GeneratorConfig(channels=channels, blocks=1)) for channels in (4, 8))
    assert peak_memory_mb(small, 128) == pytest.approx(4 * peak_memory_mb(small, 64), rel=0.1)
    assert peak_memory_mb(wide, 64) > 1.5 * peak_memory_mb(small, 64)
