"""The README of a published model: its words fit what the model is, and its code takes photos of any proportions."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.machine import here
from pipeline.models.networks import Generator
from pipeline.training import publishing
from pipeline.training.inference import load_generator
from pipeline.training.jobs import TrainingJob
from pipeline.training.process import TrainingData, run_training
from pipeline.training.recipes import resolve
from pipeline.training.sampling import ArrayImages

MakeJob = Callable[..., TrainingJob]
SIDE_PX = 32
OF_DEPTH = {"size_px": SIDE_PX, "steps": 1, "batch_size": 2, "generator_channels": 2}


def pictures(opacity: int) -> ArrayImages:
    random = np.random.default_rng(0)
    rgb = random.integers(0, 256, (5, SIDE_PX, SIDE_PX, 3), np.uint8)
    depth = random.uniform(0.3, 1.3, (5, SIDE_PX, SIDE_PX)).astype(np.float32)
    return ArrayImages(rgb, np.full((5, SIDE_PX, SIDE_PX), opacity, np.uint8), {"depth": depth})


@pytest.fixture
def published(make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Trains a step and publishes it; returns the README."""
    monkeypatch.setattr(publishing, "export_onnx", lambda *_: 0.0)

    def publish(opacity: int, **changed: object) -> str:
        job, source = make_job(settings={"steps": 1}).model_copy(update=changed), pictures(opacity)
        assert run_training(job, lambda: TrainingData(source, source, source)) is not None
        publishing.publish(job.run_dir, [], tmp_path / "published", "last", page=False)
        return (tmp_path / "published" / "README.md").read_text()

    return publish


def test_a_study_without_subjects_makes_no_portraits(published: Callable[..., str]) -> None:
    readme = published(0, domain_a="photos", domain_b="paintings")
    assert "Makes pictures of photos look as those of paintings do" in readme
    assert "tags: [unpaired-image-translation, cyclegan]" in readme
    assert not re.search("bokeh,|portrait|depth of field|masks that it finds", readme)


def test_one_that_was_killed_at_its_first_file_is_written_again(published: Callable[..., str], tmp_path: Path) -> None:
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / f".model.json.999999999-{here().mark}-0123abcd.tmp").write_text("{")
    assert published(0)
    assert not list(folder.glob(".*"))


def test_a_study_of_subjects_makes_portraits(published: Callable[..., str]) -> None:
    readme = published(200)
    assert "Makes portraits in focus throughout look as if taken with a shallow depth of field" in readme
    assert "tags: [bokeh, portraits, cyclegan]" in readme
    assert "pipeline_tag: image-to-image" in readme


@pytest.mark.parametrize(
    ("output", "words", "lens"),
    [("lens", "ends in a lens", "not calibrated"), ("residual", "invents what it blurs", "none")],
)
def test_the_card_knows_a_lens_that_was_not_calibrated(
    published: Callable[..., str], make_job: MakeJob, output: str, words: str, lens: str
) -> None:
    of_the_other = {"ends in a lens", "invents what it blurs"} - {words}
    readme = published(200, settings=make_job(settings={"steps": 1, "output": output}).settings)
    assert words in readme
    assert f"| Lens | {lens} |" in readme
    assert not any(other in readme for other in of_the_other)


def test_what_licences_forbid_is_told_of_those_that_are_known() -> None:
    licences = ["CC BY-NC 2.0", "CC BY-ND 2.0", "CC BY 4.0", None, "unknown"]
    assert publishing.restrictions([{"license": one} for one in licences]) == (
        "Of 5 photos 1 do not allow changes, 1 do not allow commercial use, the licence of 2 is not known."
    )
    assert publishing.restrictions([{"license": None}]) == "Of 1 photo the licence of 1 is not known."
    assert publishing.restrictions([{"license": "CC BY 4.0"}]).endswith("all allow changes and commercial use.")


class _Session:
    """Stands in for ONNX's, by torch."""

    generator: Generator

    def __init__(self, _: str) -> None: ...

    def run(self, _: None, given: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        with torch.inference_mode():
            return [self.generator(*(torch.from_numpy(value) for value in given.values())).numpy()]


@pytest.mark.parametrize("model", ["depth", "defocus"])
def test_the_code_takes_photos_of_any_proportions(
    published: Callable[..., str], make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    readme = published(255, model=model, settings=resolve(model, OF_DEPTH))
    assert f"tags: [{publishing.TAGS['focus' if model == 'defocus' else 'depth']}, {model}]" in readme
    assert ("g / (255 − g)" in readme) == (model == "depth")
    (code,) = re.findall(r"(?ms)^```python\n(.*?)^```$", readme)
    _Session.generator, _ = load_generator(make_job().run_dir)
    monkeypatch.setattr("onnxruntime.InferenceSession", _Session)
    monkeypatch.chdir(tmp_path)
    for size_px, made_px in (((640, 360), (112, 64)), ((300, 900), (64, 192)), ((40, 40), (64, 64))):
        Image.new("RGB", size_px, "teal").save("me.jpg")
        Image.new("L", size_px, 255).save("mask.png")
        exec(code, {})
        with Image.open("result.png") as result:
            assert result.size == made_px
