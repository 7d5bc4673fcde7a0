"""DeepLab: its weights missing or altered, and the shapes that go through it."""

from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest

from pipeline.errors import WeightsError
from pipeline.masks.segmenters import make_segmenter
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


@pytest.mark.slow
def test_deeplab_runs_on_pictures_of_several_sizes(tmp_path: Path) -> None:
    import torch
    from torchvision.models.segmentation import deeplabv3_resnet101

    from pipeline.masks.segmenters import DeepLabSegmenter

    torch.manual_seed(0)
    untrained = deeplabv3_resnet101(weights=None, weights_backbone=None, num_classes=21, aux_loss=True).state_dict()
    segmenter = DeepLabSegmenter(tmp_path, load=lambda path: untrained)
    pictures = [drawn_person(120, 160)[0], drawn_person(90, 60)[0], drawn_person(120, 160)[0]]
    alphas = segmenter.alpha(pictures)
    assert [alpha.shape for alpha in alphas] == [(160, 120), (60, 90), (160, 120)]
    assert all(alpha.dtype == np.uint8 for alpha in alphas)
    np.testing.assert_allclose(alphas[0], alphas[2], atol=1)
    assert segmenter.version == "586e9e4e-1"
