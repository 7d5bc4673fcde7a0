"""The ONNX file says what torch says, and where it came from."""

import json
from pathlib import Path

import onnxruntime
import pytest
import torch

from pipeline.errors import TrainingError
from pipeline.models.networks import Generator, GeneratorConfig
from pipeline.training import onnx_export
from pipeline.training.onnx_export import export_onnx


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.manual_seed(0)
    return Generator(GeneratorConfig(channels=4, blocks=1, upsampling="nearest", output="residual", skip_channels=4)).eval()


def test_the_file_runs_at_any_size_and_names_its_origin(generator: Generator, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    assert export_onnx(generator, path, {"run_id": "tiny", "seed": 0}) < 1e-5
    session = onnxruntime.InferenceSession(str(path))
    assert json.loads(session.get_modelmeta().custom_metadata_map["bokehflow"]) == {"run_id": "tiny", "seed": 0}
    images = torch.rand(3, 3, 36, 52) * 2 - 1
    (output,) = session.run(None, {"images": images.numpy()})
    torch.testing.assert_close(torch.from_numpy(output), generator(images).detach(), atol=1e-4, rtol=0)


def test_a_file_that_differs_is_not_kept(generator: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_export, "_difference", lambda *_: 0.5)
    with pytest.raises(TrainingError, match=r"differs from torch's by 0\.5"):
        export_onnx(generator, tmp_path / "model.onnx", {})
    assert not list(tmp_path.iterdir())
