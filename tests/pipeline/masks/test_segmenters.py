"""The embedded segmenter on a drawn person."""

from pathlib import Path

import numpy as np
import pytest

from pipeline import weights
from pipeline.errors import ConfigError, WeightsError
from pipeline.masks.segmenters import SelfieSegmenter, make_segmenter
from tests.pipeline.masks.drawn_person import drawn_person


@pytest.fixture(scope="session")
def selfie_weights(pytestconfig: pytest.Config) -> Path:
    """The real weights: a home's in the project folder, else fetched into pytest's cache."""
    for home in ("demo-data", "data"):
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


def test_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="selfie, deeplabv3_resnet101"):
        make_segmenter("sam", tmp_path)
