"""What discriminators are shown: the background's sharpness, whatever is photographed and with which light."""

import pytest
import torch

from pipeline.models.lens import disc
from pipeline.models.networks import DiscriminatorConfig, PatchDiscriminator
from pipeline.models.sharpness_bands import BAND_CHANNELS, absolute_laplacian, bands, common_background, local_contrast

BANDS = DiscriminatorConfig(channels=4, strided_layers=2, norm="none", sight="bands")


def wall(seed: int = 0) -> torch.Tensor:
    """A rough wall of 96 by 96 px, [1, 3, 96, 96] in [-.5, .5]."""
    return torch.rand(1, 1, 96, 96, generator=torch.Generator().manual_seed(seed)).expand(1, 3, -1, -1) - 0.5


def everywhere() -> torch.Tensor:
    return torch.ones(1, 1, 96, 96)


def test_laplacian_is_zero_on_a_ramp_and_four_at_a_point() -> None:
    ramp = torch.linspace(-1, 1, 8).expand(1, 3, 8, 8)
    assert absolute_laplacian(ramp)[..., 1:-1].abs().max() < 1e-6
    point = torch.zeros(1, 3, 5, 5)
    point[..., 2, 2] = 1.0
    assert absolute_laplacian(point)[0, 0].tolist() == [
        [0, 0, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 1, 4, 1, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 0, 0, 0],
    ]


def test_local_contrast_is_the_standard_deviation_of_the_window_around() -> None:
    grey = wall()[:, :1]
    window = grey[0, 0, 40 - 4 : 40 + 5, 50 - 4 : 50 + 5]  # a twelfth of 96 px, and the pixel in the middle
    assert local_contrast(grey)[0, 0, 40, 50].item() == pytest.approx(window.std(correction=0).item(), rel=1e-4)


def test_bands_fall_with_blur_and_hardly_with_contrast_or_brightness() -> None:
    torch.manual_seed(0)
    sharp = bands(wall(), everywhere())
    soft = bands(
        torch.nn.functional.conv2d(wall().transpose(0, 1), disc(3.0, 3)[None, None], padding=3).transpose(0, 1), everywhere()
    )
    pale = bands(0.5 * wall() + 0.3, everywhere())
    assert sharp.shape == (1, BAND_CHANNELS, 48, 48)
    fallen, paled = (sharp - soft)[:, :3].mean((0, 2, 3)), (sharp - pale)[:, :3].mean((0, 2, 3)).abs()
    assert (fallen[:2] > 0.5).all()
    assert (paled < 0.2 * fallen[0]).all()


def test_nothing_of_the_subjects_is_shown() -> None:
    alpha = torch.zeros(1, 1, 96, 96)
    alpha[..., 40:60, 30:50] = 1.0
    background = common_background(alpha, torch.zeros_like(alpha))
    assert background[..., 38:62, 29:51].sum() == 0
    assert background.mean() > 0.9
    other = wall()
    other[..., 44:56, 34:46] = wall(1)[..., 44:56, 34:46]
    seen = []
    for images in (wall(), other):
        torch.manual_seed(0)
        seen.append(bands(images, background)[..., 22:28, 17:23])
    assert torch.equal(*seen)


def test_the_subjects_of_both_sides_are_left_out() -> None:
    first, second = torch.zeros(1, 1, 96, 96), torch.zeros(1, 1, 96, 96)
    first[..., :20], second[..., -20:] = 1.0, 0.4
    background = common_background(first, second)
    assert background[..., :20].sum() == background[..., -20:].sum() == 0
    assert torch.equal(background, common_background(second, first))


def test_a_discriminator_of_bands_must_be_told_the_background() -> None:
    discriminator = PatchDiscriminator(BANDS)
    assert discriminator(wall(), everywhere()).shape == (1, 1, 10, 10)
    with pytest.raises(ValueError, match="background"):
        discriminator(wall())
