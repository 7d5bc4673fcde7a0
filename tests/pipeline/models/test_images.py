"""Value ranges and applying a generator to stored pictures."""

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.models import images
from pipeline.models.images import (
    from_model_range,
    images_from_uint8,
    masks_from_uint8,
    overlaid,
    to_model_range,
    translate,
)
from pipeline.models.networks import Generator, GeneratorConfig


class Identity(nn.Module):
    """Returns its input; a parameter tells where it lives."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1))

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return batch


def random_pictures(count: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def test_ranges_are_inverse() -> None:
    unit = torch.rand(100)
    torch.testing.assert_close(from_model_range(to_model_range(unit)), unit)


def test_stored_pictures_become_tensors() -> None:
    rgb = np.zeros((1, 2, 3, 3), np.uint8)
    rgb[0, 1, 2] = (255, 0, 51)
    tensor = images_from_uint8(rgb, torch.device("cpu"))
    assert tensor.shape == (1, 3, 2, 3)
    torch.testing.assert_close(tensor[0, :, 1, 2], torch.tensor([1.0, -1.0, -0.6]))
    alpha = masks_from_uint8(np.array([[[0, 255]]], np.uint8), torch.device("cpu"))
    assert alpha.tolist() == [[[[0.0, 1.0]]]]


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 11), (16, 13)])
def test_translating_by_the_identity_gives_the_pictures_back(height: int, width: int) -> None:
    rgb = random_pictures(3, height, width)
    output = translate(Identity(), rgb)
    assert output.dtype == np.float32
    np.testing.assert_allclose(output, rgb / 255.0, atol=1e-6)


def test_translation_does_not_depend_on_the_batch_size(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = Generator(GeneratorConfig(channels=4, blocks=1)).eval()
    rgb = random_pictures(5, 16, 16)
    at_once = translate(generator, rgb)
    monkeypatch.setattr(images, "CPU_BATCH_PIXELS", 2 * 16 * 16)
    np.testing.assert_allclose(translate(generator, rgb), at_once, atol=1e-5)


def test_no_pictures_translate_to_no_pictures() -> None:
    assert translate(Identity(), np.empty((0, 8, 8, 3), np.uint8)).shape == (0, 8, 8, 3)


def test_the_overlay_is_linear_in_alpha() -> None:
    generated, real = torch.zeros(1, 3, 1, 2), torch.ones(1, 3, 1, 2)
    alpha = torch.tensor([0.25, 1.0]).reshape(1, 1, 1, 2)
    assert overlaid(generated, real, alpha)[0, 0].tolist() == [[0.25, 1.0]]
