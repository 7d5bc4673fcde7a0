"""LPIPS and features: what must hold with any weights, and LPIPS' own values with the published ones."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from pipeline.evaluation.measure import perceptual
from pipeline.evaluation.measure.distribution import kid
from pipeline.evaluation.measure.perceptual import STAGES, PerceptualNetwork
from pipeline.regions import background_region
from pipeline.studio.pictures import PICTURES

WEIGHTS = Path(__file__).parents[4] / ".venv" / "test-home" / "weights"
CHANNELS = (64, 128, 256, 512, 512)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> PerceptualNetwork:
    """VGG-16 with random weights and heads."""
    generator, state, inputs = torch.Generator().manual_seed(0), {}, 3
    for stage, (places, outputs) in enumerate(zip(STAGES, CHANNELS, strict=True)):
        for place in places:
            weight = torch.randn(outputs, inputs, 3, 3, generator=generator) * (2 / (9 * inputs)) ** 0.5
            state[f"{place}.weight"], state[f"{place}.bias"], inputs = weight, torch.zeros(outputs), outputs
        state[f"lin{stage}"] = torch.rand(1, outputs, 1, 1, generator=generator)
    monkeypatch.setattr(perceptual, "vgg16_state", lambda folder: state)
    return PerceptualNetwork(Path())


def pictures(count: int = 2, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(count, 32, 32, 3))
    return np.clip(0.5 + ndimage.gaussian_filter(noise, 2, axes=(1, 2)) * 1.5, 0, 1)


def test_equal_pictures_have_no_distance_and_it_grows_with_the_blur(network: PerceptualNetwork) -> None:
    look = network.look(pictures())
    assert network.distance(look, look) == pytest.approx(0)
    distances = [
        network.distance(look, network.look(ndimage.gaussian_filter(pictures(), sigma, axes=(1, 2)))) for sigma in (1, 4)
    ]
    assert (distances[0] > 0).all()
    assert (distances[1] > distances[0]).all()


def test_scores_do_not_depend_on_the_batch(network: PerceptualNetwork) -> None:
    first, second = pictures(3), pictures(3, seed=1)
    whole = network.distance(network.look(first), network.look(second))
    alone = [network.distance(network.look(first[i : i + 1]), network.look(second[i : i + 1]))[0] for i in range(3)]
    np.testing.assert_allclose(whole, alone, rtol=1e-4)
    levels = (first * 255).astype(np.uint8)
    np.testing.assert_allclose(network.features(levels, batch=2), network.features(levels), rtol=1e-3, atol=1e-5)


def test_a_region_counts_what_is_inside(network: PerceptualNetwork) -> None:
    one, other = pictures(1), pictures(1)
    other[:, :, 24:] = 0
    left, right, nowhere = (np.zeros((1, 32, 32, 1), bool) for _ in range(3))
    left[:, :, :8], right[:, :, 24:] = True, True
    looks = network.look(one), network.look(other)
    assert network.distance(*looks, regions=left)[0] < 0.5 * network.distance(*looks, regions=right)[0]
    assert np.isnan(network.distance(*looks, regions=nowhere)).all()


def test_the_whole_picture_as_region_is_the_plain_distance(network: PerceptualNetwork) -> None:
    looks = network.look(pictures()), network.look(pictures(seed=1))
    everywhere = np.ones((2, 32, 32, 1), bool)
    np.testing.assert_allclose(network.distance(*looks, regions=everywhere), network.distance(*looks), rtol=1e-5)


def test_lpips_by_hand_for_one_stage(network: PerceptualNetwork) -> None:
    """The first stage's share, computed with NumPy from its activations."""
    first, second = network.look(pictures(1)), network.look(pictures(1, seed=1))
    one, other = (look.stages[0].numpy() for look in (first, second))
    np.testing.assert_allclose(np.square(one).sum(1), 1, rtol=1e-4)
    head = network._heads[0].numpy().reshape(1, -1, 1, 1)
    expected = (head * (one - other) ** 2).sum(1).mean()
    rest = network.distance(perceptual.Look([first.stages[0], *second.stages[1:]], first.features, first.texture), second)
    assert rest[0] == pytest.approx(expected, rel=1e-4)


def test_background_features_are_means_over_the_background_by_hand(network: PerceptualNetwork) -> None:
    look = network.look(pictures())
    region = np.zeros((2, 32, 32, 1), bool)
    region[0, :, :16] = True
    found = network.background_features(look, region)
    np.testing.assert_allclose(found[0], look.texture[0, :, :, :2].mean((1, 2)), rtol=1e-5)
    assert np.isnan(found[1]).all()


@pytest.mark.skipif(not (WEIGHTS / "vgg16_lpips.ckpt").exists(), reason="`bokehflow weights` fetches them")
def test_backgrounds_are_told_apart_whatever_the_subject_is() -> None:
    """Hiding every subject must not look like another kind of background; blurring the backgrounds must."""
    files = sorted((PICTURES / "scoring").glob("*_sharp.jpg"))[:12]
    sharp, soft = (
        np.stack([read(Path(str(path).replace("sharp", view))) for path in files]) for view in ("sharp", "shallow")
    )
    mask = np.stack([read(Path(str(path).replace("sharp.jpg", "mask.png"))) for path in files])[..., :1]
    network, background = PerceptualNetwork(WEIGHTS), background_region(mask, 3)
    hidden = np.where(mask >= 0.5, 0.5, sharp)
    plain, blurred, greyed = (network.background_features(network.look(one), background) for one in (sharp, soft, hidden))
    assert abs(kid(plain, greyed) - kid(plain, plain)) < 0.2 * (kid(plain, blurred) - kid(plain, plain))


def read(path: Path) -> np.ndarray:
    """A picture at 96 px, [96, 96, 3] in [0, 1]."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((96, 96)), np.float32) / 255


@pytest.mark.skipif(not (WEIGHTS / "vgg16_lpips.ckpt").exists(), reason="`bokehflow weights --perceptual` fetches them")
def test_the_published_network_ranks_a_blur_below_other_content() -> None:
    network = PerceptualNetwork(WEIGHTS)
    look = network.look(pictures(1))
    blur = network.distance(look, network.look(ndimage.gaussian_filter(pictures(1), 1, axes=(1, 2))))[0]
    content = network.distance(look, network.look(pictures(1, seed=3)))[0]
    assert 0 < blur < content < 1
