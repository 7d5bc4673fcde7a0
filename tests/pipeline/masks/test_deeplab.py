"""DeepLab: its weights missing or altered, and the shapes that go through it."""

from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch

from pipeline.config import MasksSection
from pipeline.errors import WeightsError
from pipeline.masks.segmenters import DeepLabSegmenter, make_segmenter, published_version
from pipeline.models.torchvision_networks import segmentation_network
from tests.pipeline.masks.drawn_person import drawn_person


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refuse)


@pytest.mark.usefixtures("offline")
def test_deeplab_offline_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"deeplabv3_resnet101_coco-\w+\.pth: missing.*no route to host.*by hand"):
        make_segmenter("deeplabv3_resnet101", tmp_path)


def test_deeplab_altered_weights(tmp_path: Path) -> None:
    (tmp_path / "deeplabv3_resnet101_coco-586e9e4e.pth").write_bytes(b"something else")
    with pytest.raises(WeightsError, match=r"altered.*586e9e4e.*delete the file"):
        make_segmenter("deeplabv3_resnet101", tmp_path)


@pytest.mark.usefixtures("offline")
def test_the_small_one_has_weights_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"deeplabv3_mobilenet_v3_large-\w+\.pth: missing"):
        make_segmenter("deeplabv3_mobilenet", tmp_path)


def untrained(name: str, path: Path) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return segmentation_network(name).state_dict()


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("deeplabv3_mobilenet", "fc3c493d-2"),
        pytest.param("deeplabv3_resnet101", "586e9e4e-2", marks=pytest.mark.slow),
    ],
)
def test_deeplab_runs_on_pictures_of_several_sizes(tmp_path: Path, name: str, version: str) -> None:
    segmenter = DeepLabSegmenter(name, tmp_path, load=untrained)
    pictures = [drawn_person(120, 160)[0], drawn_person(90, 60)[0], drawn_person(120, 160)[0]]
    alphas = segmenter.alpha(pictures)
    assert [alpha.shape for alpha in alphas] == [(160, 120), (60, 90), (160, 120)]
    assert all(alpha.dtype == np.uint8 for alpha in alphas)
    np.testing.assert_allclose(alphas[0], alphas[2], atol=1)
    np.testing.assert_allclose(segmenter.alpha(pictures[1:2])[0], alphas[1], atol=1)
    assert segmenter.version == version == published_version(name, MasksSection())


@pytest.mark.gpu
def test_deeplab_is_on_the_gpu_in_batches(tmp_path: Path) -> None:
    segmenter = DeepLabSegmenter("deeplabv3_resnet101", tmp_path, load=untrained)
    pictures = [drawn_person(400, 300)[0]] * 8
    torch.cuda.reset_peak_memory_stats()
    alphas = segmenter.alpha(pictures)
    assert torch.cuda.max_memory_allocated() > 2**28
    np.testing.assert_allclose(alphas[0], alphas[7], atol=1)
