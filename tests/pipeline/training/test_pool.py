"""The pool gives old translations back half of the time."""

import numpy as np
import torch

from pipeline.training.pool import ImagePool


def picture(number: int) -> torch.Tensor:
    return torch.full((1, 3, 2, 2), float(number))


def test_the_pool_fills_first_and_then_swaps_half_of_the_time() -> None:
    pool, generator = ImagePool(50), np.random.default_rng(0)
    given = [pool.exchange(picture(number), generator)[0, 0, 0, 0].item() for number in range(4050)]
    assert given[:50] == list(range(50))
    swapped = [value != number for number, value in enumerate(given)]
    assert 0.46 < np.mean(swapped[50:]) < 0.54
    returned = [value for value, old in zip(given, swapped, strict=True) if old]
    assert len(set(returned)) == len(returned)
    ages = [number - value for number, value in enumerate(given) if value != number]
    # Each swap takes one of 50 places, every other step: an old picture is 100 steps old on average.
    assert 85 < np.mean(ages) < 115


def test_an_empty_pool_changes_nothing() -> None:
    pool, fakes = ImagePool(0), torch.rand(2, 3, 4, 4)
    assert pool.exchange(fakes, np.random.default_rng(0)) is fakes


def test_a_batch_keeps_its_shape_and_the_pool_its_size() -> None:
    pool, generator = ImagePool(3), np.random.default_rng(0)
    for number in range(20):
        assert pool.exchange(picture(number).repeat(4, 1, 1, 1), generator).shape == (4, 3, 2, 2)
    assert len(pool.images) == 3


def test_a_restored_pool_goes_on_alike() -> None:
    pools = [ImagePool(4), ImagePool(4)]
    for number in range(10):
        pools[0].exchange(picture(number), np.random.default_rng(number))
    pools[1].restore(pools[0].state(), torch.device("cpu"))
    for number in range(10, 30):
        kept, restored = (pool.exchange(picture(number), np.random.default_rng(number)) for pool in pools)
        assert torch.equal(kept, restored)
