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


def layered(source: ArrayImages) -> ArrayImages:
    """With disparity that is unknown in a corner, and the picture itself as its target."""
    disparity = source.rgb[..., 0].astype(np.float32) / 64
    disparity[:, :3, :3] = 0
    return ArrayImages(source.rgb, source.alpha, {"depth": disparity, "target": source.rgb})


@pytest.mark.parametrize("held_px", [16, 20, 32])
def test_layers_are_cut_and_mirrored_as_their_pictures_are(
    held_px: int, random_source: Sources, tiny_settings: TrainingSettings
) -> None:
    settings = tiny_settings.model_copy(update={"batch_size": 6, "flip": True})
    sources = [layered(random_source(9, size_px=held_px, seed=seed)) for seed in (0, 1)]
    loader = BatchLoader(PairSampler(*sources, settings, 0, ("target_a", "depth_a", "depth_b")), CPU)
    stored = {float(value) for value in np.unique(sources[0].layers["depth"])}
    for batch in first_batches(loader, 3):
        assert batch.target_a is not None
        assert batch.depth_a is not None
        assert batch.target_b is None
        torch.testing.assert_close(batch.target_a, batch.real_a, rtol=0, atol=0)
        assert batch.depth_a.shape == (6, 1, 16, 16)
        assert batch.depth_a.dtype == torch.float32
        if held_px == settings.held_size_px:
            levels = ((batch.real_a[:, :1] + 1) / 2 * 255).round() / 64
            known = batch.depth_a > 0
            torch.testing.assert_close(batch.depth_a[known], levels[known])
        assert set(batch.depth_a.unique().tolist()) <= stored, "no value between others"


def test_without_a_wish_there_are_no_layers(random_source: Sources, tiny_settings: TrainingSettings) -> None:
    batch = first_batches(BatchLoader(PairSampler(*[layered(random_source(4))] * 2, tiny_settings, 0), CPU), 1)[0]
    assert batch.depth_a is batch.depth_b is batch.target_a is batch.target_b is None


@pytest.mark.gpu
def test_the_gpu_sees_what_the_processor_sees(random_source: Sources, tiny_settings: TrainingSettings) -> None:
    sampler = PairSampler(random_source(5), random_source(7, seed=1), tiny_settings, seed=0)
    for here, there in zip(
        first_batches(BatchLoader(sampler, CPU)), first_batches(BatchLoader(sampler, torch.device("cuda"))), strict=True
    ):
        torch.testing.assert_close(there.real_a.cpu(), here.real_a)
        torch.testing.assert_close(there.alpha_b.cpu(), here.alpha_b)
