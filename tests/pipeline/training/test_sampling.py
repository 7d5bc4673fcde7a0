"""Which pictures a step sees, and how they are scaled, cut and mirrored."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

from pipeline.errors import TrainingError
from pipeline.training.recipes import TrainingSettings, resolve
from pipeline.training.sampling import ArrayImages, PairSampler, at_size, step_generator

Sources = Callable[..., ArrayImages]

PLAIN = {"size_px": 16, "crop_margin": 0.0, "flip": False, "discriminator_layers": 1}


def numbered(count: int) -> ArrayImages:
    """A source whose picture i is the plain colour i, in RGB and alpha."""
    numbers = np.arange(count, dtype=np.uint8)
    rgb = np.broadcast_to(numbers[:, None, None, None], (count, 16, 16, 3))
    return ArrayImages(rgb, rgb[..., 0])


class Seen(NamedTuple):
    rgb_a: np.ndarray
    alpha_a: np.ndarray
    rgb_b: np.ndarray
    alpha_b: np.ndarray


def sampled(sampler: PairSampler, step: int, seed: int = 0) -> Seen:
    """The pictures of a step, uint8."""
    windows_a, windows_b = sampler.windows(step, step_generator(seed, step))
    return Seen(*sampler.cut(sampler.images_a, windows_a), *sampler.cut(sampler.images_b, windows_b))


def seen(sampler: PairSampler, steps: range, seed: int = 0) -> tuple[list[int], list[int]]:
    """The numbers of the A and B pictures that the steps see."""
    batches = [sampled(sampler, step, seed) for step in steps]
    return (
        [int(number) for batch in batches for number in batch.rgb_a[:, 0, 0, 0]],
        [int(number) for batch in batches for number in batch.rgb_b[:, 0, 0, 0]],
    )


def test_an_epoch_shows_every_picture_of_a_once_in_a_new_order() -> None:
    sampler = PairSampler(numbered(12), numbered(5), resolve("smoke", PLAIN), seed=0)
    first, _ = seen(sampler, range(12))
    second, _ = seen(sampler, range(12, 24))
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second


def test_a_smaller_a_is_repeated_evenly() -> None:
    sampler = PairSampler(numbered(4), numbered(12), resolve("smoke", PLAIN), seed=0)
    first, _ = seen(sampler, range(12))
    assert np.bincount(first).tolist() == [3, 3, 3, 3]


def test_b_is_drawn_at_random() -> None:
    sampler = PairSampler(numbered(2), numbered(8), resolve("smoke", PLAIN), seed=0)
    _, drawn = seen(sampler, range(800))
    counts = np.bincount(drawn, minlength=8)
    assert counts.min() > 60
    assert counts.max() < 150


def test_steps_can_be_asked_for_in_any_order() -> None:
    sources = numbered(12), numbered(5)
    settings = resolve("smoke", {**PLAIN, "batch_size": 3})
    forward = PairSampler(*sources, settings, seed=1)
    straight = [sampled(forward, step, 1) for step in range(9)]
    fresh = sampled(PairSampler(*sources, settings, seed=1), 7, 1)
    np.testing.assert_array_equal(fresh.rgb_a, straight[7].rgb_a)
    np.testing.assert_array_equal(fresh.rgb_b, straight[7].rgb_b)


def test_seeds_differ() -> None:
    sources = numbered(12), numbered(5)
    samplers = [PairSampler(*sources, resolve("smoke", PLAIN), seed) for seed in (0, 1)]
    assert seen(samplers[0], range(12), 0) != seen(samplers[1], range(12), 1)


def test_alpha_is_cut_and_mirrored_like_its_picture(random_source: Sources, tiny_settings: TrainingSettings) -> None:
    source = random_source(6, size_px=tiny_settings.held_size_px)
    source.alpha[:] = source.rgb[..., 1]
    sampler = PairSampler(source, source, tiny_settings, seed=0)
    windows = set()
    for step in range(40):
        batch = sampled(sampler, step)
        assert batch.rgb_a.shape == (1, 16, 16, 3)
        np.testing.assert_array_equal(batch.rgb_a[..., 1], batch.alpha_a)
        np.testing.assert_array_equal(batch.rgb_b[..., 1], batch.alpha_b)
        windows.add(batch.rgb_a.tobytes())
    assert len(windows) > 30


def test_without_margin_and_flip_pictures_are_left_alone(random_source: Sources) -> None:
    source = random_source(3, size_px=16)
    batch = sampled(PairSampler(source, source, resolve("smoke", PLAIN), seed=0), 0)
    assert any(np.array_equal(batch.rgb_a[0], picture) for picture in source.rgb)


def test_scaling_in_memory_and_on_demand_agree(random_source: Sources) -> None:
    source, indices = random_source(5), np.array([4, 0, 0])
    resident, on_demand = at_size(source, 16), at_size(source, 16, resident_bytes=0)
    assert isinstance(resident, ArrayImages)
    assert not isinstance(on_demand, ArrayImages)
    for kept, made in zip(resident.batch(indices), on_demand.batch(indices), strict=True):
        assert kept.shape[:3] == (3, 16, 16)
        np.testing.assert_array_equal(kept, made)


def test_data_that_do_not_fit_are_refused(random_source: Sources, tiny_settings: TrainingSettings) -> None:
    good, empty, small = random_source(3), random_source(0), random_source(3, size_px=12)
    with pytest.raises(TrainingError, match="Domain B has no training pictures"):
        PairSampler(good, empty, tiny_settings, seed=0)
    with pytest.raises(TrainingError, match="domain A have 12 px but the recipe asks for 16"):
        PairSampler(small, good, tiny_settings, seed=0)
