"""The ONNX file says what torch says, and where it came from."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch

from pipeline.errors import TrainingError
from pipeline.models.lens_generator import build_generator
from pipeline.models.networks import Generator, GeneratorConfig
from pipeline.training import onnx_export
from pipeline.training.onnx_export import export_onnx, input_words
from pipeline.training.recipes import resolve
from pipeline.training.state import generator_config


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.manual_seed(0)
    return Generator(GeneratorConfig(channels=4, blocks=1, upsampling="nearest", output="residual", skip_channels=4)).eval()


@pytest.fixture(scope="module", autouse=True)
def _traced_once() -> Iterator[None]:
    """What torch makes of the generator takes it seconds, and is the same for all tests."""
    export, made = torch.onnx.export, []

    def once(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 (whatever torch takes and gives)
        made[:] = made or [export(*arguments, **options)]
        return made[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.onnx, "export", once)
        yield


def test_the_file_runs_at_any_size_and_names_its_origin(generator: Generator, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    assert export_onnx(generator, path, {"run_id": "tiny", "seed": 0}) < 1e-5
    session = onnxruntime.InferenceSession(str(path))
    assert json.loads(session.get_modelmeta().custom_metadata_map["bokehflow"]) == {"run_id": "tiny", "seed": 0}
    images = torch.rand(3, 3, 36, 52) * 2 - 1
    (output,) = session.run(None, {"images": images.numpy()})
    torch.testing.assert_close(torch.from_numpy(output), generator(images).detach(), atol=1e-4, rtol=0)


def test_what_the_file_takes_is_told_in_words(generator: Generator) -> None:
    assert input_words(generator) == "float32 RGB in [-1, 1], any batch, sides multiples of 4, 64 px and more"
    of_depth = build_generator(generator_config(resolve("depth", {"generator_channels": 4})))
    assert input_words(of_depth) == "float32 RGB in [-1, 1], any batch, sides of 64 px and more"


def test_what_torch_says_of_sides_that_share_a_name_reaches_nobody(
    generator: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = torch.onnx.export

    def warning(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 (whatever torch takes and gives)
        warnings.warn("# The axis name: batch will not be used, since it shares the same shape constraints", stacklevel=1)
        return export(*arguments, **options)

    monkeypatch.setattr(torch.onnx, "export", warning)
    export_onnx(generator, tmp_path / "model.onnx", {})


def test_the_file_tells_no_path_of_this_machine(generator: Generator, tmp_path: Path) -> None:
    """It is published; torch notes from which lines each operator came."""
    export_onnx(generator, tmp_path / "model.onnx", {})
    written = (tmp_path / "model.onnx").read_bytes()
    for path in (onnx_export.__file__, torch.__file__):
        assert str(Path(path).parent).encode() not in written


def test_a_file_that_differs_is_not_kept(generator: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_export, "_difference", lambda *_: 0.5)
    with pytest.raises(TrainingError, match=r"differs from torch's by 0\.5"):
        export_onnx(generator, tmp_path / "model.onnx", {})
    assert not list(tmp_path.iterdir())
