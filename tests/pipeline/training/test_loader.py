"""Pictures on the training device: the same tensors wherever they are cut."""

import copy
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pytest
import torch

from pipeline.models.images import images_from_uint8, masks_from_uint8
from pipeline.models.translator import Batch
from pipeline.training.loader import BatchLoader, InMemory, OnDevice
from pipeline.training.recipes import TrainingSettings
from pipeline.training.sampling import ArrayImages, PairSampler, step_generator

CPU = torch.device("cpu")
Sources = Callable[..., ArrayImages]


def first_batches(loader: BatchLoader, steps: int = 6) -> list[Batch]:
    return [copy.deepcopy(loader.batch(step, step_generator(0, step))) for step in range(steps)]


def test_values_lie_in_the_models_ranges(random_source: Sources, tiny_settings: TrainingSettings) -> None:
    sampler = PairSampler(random_source(3), random_source(4, seed=1), tiny_settings, seed=0)
    batch = first_batches(BatchLoader(sampler, CPU), 1)[0]
    assert batch.real_a.shape == (1, 3, 16, 16)
    assert batch.alpha_b.shape == (1, 1, 16, 16)
    assert -1 <= batch.real_a.min() < -0.9 < 0.9 < batch.real_a.max() <= 1


@pytest.mark.parametrize(("edge", "levels"), [("hard", {0.0, 1.0}), ("soft", None)])
def test_the_edge_of_masks(
    edge: str, levels: set[float] | None, random_source: Sources, tiny_settings: TrainingSettings
) -> None:
    settings = tiny_settings.model_copy(update={"mask_edge": edge})
    alpha = first_batches(BatchLoader(PairSampler(random_source(3), random_source(4), settings, seed=0), CPU), 1)[0].alpha_a
    assert set(alpha.unique().tolist()) == levels if levels else len(alpha.unique()) > 50


def test_pictures_kept_on_the_device_are_cut_alike(random_source: Sources, tiny_settings: TrainingSettings) -> None:
    settings = tiny_settings.model_copy(update={"batch_size": 4, "flip": True})
    sources = random_source(9, size_px=settings.held_size_px), random_source(7, size_px=settings.held_size_px, seed=1)
    sampler = PairSampler(*sources, settings, seed=0)
    on_device, in_memory = OnDevice(*sources, settings, CPU), [InMemory(source, settings.size_px) for source in sources]
    for step in range(5):
        windows = sampler.windows(step, step_generator(0, step))
        expected = Batch(*in_memory[0](windows[0]), *in_memory[1](windows[1]))
        torch.testing.assert_close(asdict(on_device(*windows)), asdict(expected), rtol=0, atol=0)


def test_tensors_are_the_very_numbers_of_the_cut_bytes(random_source: Sources, tiny_settings: TrainingSettings) -> None:
    source = random_source(9, size_px=tiny_settings.held_size_px)
    settings = tiny_settings.model_copy(update={"batch_size": 8, "flip": True})
    sampler = PairSampler(source, source, settings, seed=0)
    windows, _ = sampler.windows(0, step_generator(0, 0))
    assert 0 < windows.mirrored.sum() < 8
    rgb, levels = sampler.cut(source, windows)
    for position, (index, top, left, mirrored) in enumerate(windows):
        part = np.s_[top : top + settings.size_px, left : left + settings.size_px]
        order = slice(None, None, -1 if mirrored else 1)
        np.testing.assert_array_equal(rgb[position], source.rgb[index][part][:, order])
        np.testing.assert_array_equal(levels[position], source.alpha[index][part][:, order])
    images, masks = InMemory(source, settings.size_px)(windows)
    assert images.is_contiguous()
    torch.testing.assert_close(images, images_from_uint8(rgb, CPU), rtol=0, atol=0)
    torch.testing.assert_close(masks, masks_from_uint8(levels, CPU), rtol=0, atol=0)


@pytest.mark.gpu
def test_the_gpu_sees_what_the_processor_sees(random_source: Sources, tiny_settings: TrainingSettings) -> None:
    sampler = PairSampler(random_source(5), random_source(7, seed=1), tiny_settings, seed=0)
    for here, there in zip(
        first_batches(BatchLoader(sampler, CPU)), first_batches(BatchLoader(sampler, torch.device("cuda"))), strict=True
    ):
        torch.testing.assert_close(there.real_a.cpu(), here.real_a)
        torch.testing.assert_close(there.alpha_b.cpu(), here.alpha_b)
