"""Resizing as Pillow does it in floating point, and weights that are taken only where they are what they say."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from pipeline.evaluation.measure import inception
from pipeline.evaluation.measure.inception import load_inception, resized
from pipeline.evaluation.measure.instruments import INCEPTION_FILE, torch_cache


@pytest.mark.parametrize("side_px", [16, 37, 90])
def test_resizing_is_pillows_bicubic_channel_by_channel(side_px: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    for channel in range(3):
        floats = Image.fromarray(picture[..., channel].astype(np.float32), mode="F")
        expected = np.asarray(floats.resize((side_px, side_px), Image.Resampling.BICUBIC)).clip(0, 255)
        np.testing.assert_array_equal(resized(picture, side_px)[..., channel], expected)


def test_resizing_is_antialiased_and_not_rounded() -> None:
    """Stripes of one pixel become grey; a filter that skips pixels would keep some black or white."""
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    small = resized(stripes, 16)
    assert np.abs(small - 127.5).max() < 20
    tensor = torch.from_numpy(stripes).permute(2, 0, 1)[None].float()
    assert (functional.interpolate(tensor, size=(16, 16), mode="nearest") % 255 == 0).all()
    assert (small != np.round(small)).any()


def test_without_weights_there_is_no_inception(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert load_inception([tmp_path]) is None


@pytest.mark.parametrize("names", [(), ("TORCH_HOME",), ("XDG_CACHE_HOME",), ("TORCH_HOME", "XDG_CACHE_HOME")])
def test_torchs_cache_is_where_torch_has_it(monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]) -> None:
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in names:
        monkeypatch.setenv(name, f"~/{name}")
    assert torch_cache() == Path(torch.hub.get_dir())


def test_a_folder_of_caches_that_is_anothers_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after `su`, which keeps HOME; the name is one that nobody may look for, as root may look everywhere."""
    monkeypatch.setenv("TORCH_HOME", "/" + 300 * "x")
    assert load_inception([]) is None


def test_who_has_no_home_folder_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a number without a name, which containers give their users."""
    monkeypatch.setenv("TORCH_HOME", "~nobody-of-this-name/torch")
    assert torch_cache() is None
    assert load_inception([]) is None


def test_altered_weights_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / INCEPTION_FILE).write_bytes(b"something else")
    assert load_inception([tmp_path]) is None
    assert "should begin with 6726825d" in caplog.text


def test_the_network_of_torch_fidelity_gives_one_vector_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With random weights: the file's form, the size and the order of channels are what is tested."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3 as Extractor

    torch.manual_seed(0)
    monkeypatch.setattr("torch_fidelity.feature_extractor_inceptionv3.load_state_dict_from_url", lambda *a, **k: {})
    monkeypatch.setattr(Extractor, "load_state_dict", lambda self, state: None)
    state = Extractor("inception", ["2048"]).state_dict()
    monkeypatch.undo()
    torch.save(state, tmp_path / "weights.pth")
    network = inception.InceptionFeatures(tmp_path / "weights.pth")
    pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    found = network.features(pictures)
    assert found.shape == (2, 2048)
    np.testing.assert_allclose(network.features(pictures[1:]), found[1:], rtol=1e-3, atol=1e-5)
    assert network.features(pictures[:0]).shape == (0, 2048)
