"""A lens that finds its subject itself: taught by masks, asked for none."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from pipeline.models.images import translate
from pipeline.models.large_photos import translate_photo
from pipeline.models.lens import PLAN_CHANNELS
from pipeline.models.lens_generator import LensGenerator
from pipeline.models.networks import GeneratorConfig
from pipeline.models.subject_finder import SubjectFinder, finding_loss, views
from pipeline.training.onnx_export import export_onnx, input_words

SIDE_PX = 64
FINDS = GeneratorConfig(
    channels=4, blocks=1, output="lens", lens_side_px=SIDE_PX, plan_scale=2, lens_holds_subject=True, lens_finds_subject=True
)


def discs(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Red discs before a wall of noise in blue and green, in [-1, 1], and their alpha."""
    random = torch.Generator().manual_seed(seed)
    rows, columns = torch.meshgrid(torch.arange(SIDE_PX), torch.arange(SIDE_PX), indexing="ij")
    centre = 20 + 24 * torch.rand(count, 2, 1, 1, generator=random)
    alpha = ((rows - centre[:, 0]) ** 2 + (columns - centre[:, 1]) ** 2 < 14**2).float()[:, None]
    images = 2.0 * torch.rand(count, 3, SIDE_PX, SIDE_PX, generator=random) - 1.0
    images[:, 0] = 2.0 * alpha[:, 0] - 1.0
    return images, alpha


@pytest.fixture(scope="module")
def generator() -> LensGenerator:
    """One that has learnt what a red disc is, and would blur everything."""
    torch.manual_seed(0)
    generator = LensGenerator(FINDS)
    optimiser = torch.optim.Adam(generator.parameters(), 3e-3)
    for step in range(60):
        optimiser.zero_grad()
        generator.finding_loss(*discs(4, step)).backward()
        optimiser.step()
    blurring = torch.full((PLAN_CHANNELS,), -4.0)
    blurring[3] = 0.0
    with torch.no_grad():
        generator.last_convolution.weight.zero_()
        generator.last_convolution.bias.copy_(blurring)  # pyright: ignore[reportOptionalMemberAccess]
    return generator.eval()


def stored(images: torch.Tensor) -> np.ndarray:
    return np.round((images.permute(0, 2, 3, 1).numpy() + 1.0) * 127.5).astype(np.uint8)


def test_what_it_learnt_to_find_stays_and_the_rest_is_blurred(generator: LensGenerator) -> None:
    assert not generator.holds_subject
    images, alpha = discs(4, 1000)
    seen = torch.from_numpy(translate(generator, stored(images))).permute(0, 3, 1, 2) * 2.0 - 1.0
    inside = torch.nn.functional.max_pool2d(1.0 - alpha, 9, stride=1, padding=4) == 0
    outside = torch.nn.functional.max_pool2d(alpha, 9, stride=1, padding=4) == 0
    change = (seen - images).abs().mean(1, keepdim=True)
    assert change[inside].mean() < 0.05
    assert change[outside].mean() > 0.2


def test_a_given_alpha_counts_in_training_alone(generator: LensGenerator) -> None:
    images, alpha = discs(1, 1000)
    torch.testing.assert_close(generator(images, torch.zeros_like(alpha)), generator(images))
    generator.train()
    held, free = generator(images, torch.ones_like(alpha)), generator(images, torch.zeros_like(alpha))
    generator.eval()
    torch.testing.assert_close(held, images, atol=0.05, rtol=0)
    assert (free - images).abs().mean() > 0.2


def test_a_large_photo_is_held_where_the_small_one_is(generator: LensGenerator) -> None:
    images, alpha = discs(1, 1000)
    large = stored(torch.nn.functional.interpolate(images, scale_factor=3.0))[0]
    seen = translate_photo(generator, large)
    inside = torch.nn.functional.max_pool2d(1.0 - alpha, 9, stride=1, padding=4)[0, 0].repeat_interleave(3, 0)
    inside = inside.repeat_interleave(3, 1).numpy() == 0
    assert np.abs(seen - large / 255.0)[inside].mean() < 0.03


def test_views_move_pictures_and_alpha_together() -> None:
    images, alpha = discs(3)
    torch.manual_seed(1)
    seen, wanted = views(images, alpha)
    red = (seen[:, :1] - seen[:, :1].amin((2, 3), True)) / (seen[:, :1].amax((2, 3), True) - seen[:, :1].amin((2, 3), True))
    assert len(seen) == len(wanted) > len(images)
    torch.testing.assert_close(red, wanted, atol=1e-4, rtol=0)


def test_the_loss_is_least_where_the_subject_is_found() -> None:
    _, alpha = discs(2)
    right = finding_loss(20.0 * (2.0 * alpha - 1.0), alpha)
    assert right < 0.01 < finding_loss(torch.zeros_like(alpha), alpha) < finding_loss(20.0 * (1.0 - 2.0 * alpha), alpha)


@pytest.mark.parametrize(("height", "width"), [(3, 5), (24, 24), (31, 70), (100, 33)])
def test_any_size_has_logits(height: int, width: int) -> None:
    assert SubjectFinder()(torch.zeros(1, 3, height, width)).shape == (1, 1, height, width)


@pytest.mark.slow
def test_the_onnx_file_takes_the_photo_alone_at_any_size(generator: LensGenerator, tmp_path: Path) -> None:
    assert export_onnx(generator, tmp_path / "finds.onnx", {}) < 1e-3
    assert "alpha" not in input_words(generator)
    session = onnxruntime.InferenceSession(str(tmp_path / "finds.onnx"))
    for sides_px in ((64, 104), (200, 72), (88, 144)):
        images = torch.rand(2, 3, *sides_px, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8
        (output,) = session.run(None, {"images": images.numpy()})
        torch.testing.assert_close(torch.from_numpy(output), generator(images).detach(), atol=1e-3, rtol=0)
