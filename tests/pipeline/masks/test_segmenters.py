"""The embedded segmenter on a drawn person."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import weights
from pipeline.errors import ConfigError, WeightsError
from pipeline.masks.segmenters import SelfieSegmenter, make_segmenter, published_version
from pipeline.studio.pictures import PICTURES as STUDIO
from tests.pipeline.masks.drawn_person import drawn_person


@pytest.fixture(scope="session")
def selfie_weights(pytestconfig: pytest.Config) -> Path:
    """The real weights: a home's in the project folder, else fetched into pytest's cache."""
    for home in (".venv/test-home", "demo-data", "data"):
        folder = pytestconfig.rootpath / home / "weights"
        if weights.status("selfie", folder).state == "ready":
            return folder
    folder = pytestconfig.rootpath / ".pytest_cache" / "weights"
    try:
        weights.ensure("selfie", folder)
    except WeightsError as error:
        pytest.skip(str(error))
    return folder


def test_selfie_finds_the_person(selfie_weights: Path) -> None:
    segmenter = make_segmenter("selfie", selfie_weights)
    people = [drawn_person(320, 400), drawn_person(500, 420)]
    wall = np.full((64, 90, 3), 128, np.uint8)
    alphas = segmenter.alpha([*(picture for picture, _ in people), wall])
    for (picture, truth), alpha in zip(people, alphas, strict=False):
        assert alpha.shape == picture.shape[:2]
        assert alpha.dtype == np.uint8
        found = alpha >= 128
        assert (found & truth).sum() / (found | truth).sum() > 0.85
    assert alphas[2].mean() < 13


def test_selfie_is_deterministic(selfie_weights: Path) -> None:
    picture, _ = drawn_person(200, 240)
    first, second = (make_segmenter("selfie", selfie_weights) for _ in range(2))
    np.testing.assert_array_equal(first.alpha([picture])[0], second.alpha([picture, picture])[1])
    assert first.version == second.version


def test_version_follows_the_weights(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    assert SelfieSegmenter(tmp_path / "a").version != SelfieSegmenter(tmp_path / "b").version
    assert SelfieSegmenter(tmp_path / "a", 1).version != SelfieSegmenter(tmp_path / "a", 2).version
    with pytest.raises(ConfigError, match="views = 3"):
        SelfieSegmenter(tmp_path / "a", 3)


def test_the_published_version_is_known_without_loading(selfie_weights: Path) -> None:
    for views in (1, 4):
        assert make_segmenter("selfie", selfie_weights, views).version == published_version("selfie", views)


def test_more_views_see_what_one_takes_for_a_person(selfie_weights: Path) -> None:
    """A rendered scene whose blurred lights one view takes for people."""
    scene = STUDIO / "shallow" / "2065.jpg"
    truth = np.asarray(Image.open(STUDIO / "shallow" / "2065_mask.png")) >= 128
    picture = np.asarray(Image.open(scene))
    alphas = {views: make_segmenter("selfie", selfie_weights, views).alpha([picture])[0] >= 128 for views in (1, 4)}
    agreement = {views: (alpha & truth).sum() / (alpha | truth).sum() for views, alpha in alphas.items()}
    assert agreement[4] > agreement[1] + 0.1


def test_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="selfie, deeplabv3_resnet101"):
        make_segmenter("sam", tmp_path)
