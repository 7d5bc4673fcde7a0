"""`train`, `translate` and `export-model`, as a person types them."""

import csv
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from pipeline.errors import ConfigError
from pipeline.models.large_photos import translate_photo
from pipeline.operations.status import models_of
from pipeline.training.inference import load_generator
from pipeline.training.onnx_export import LEAST_SIDE_PX
from pipeline.training.publishing import publish, seal
from pipeline.training.runs import RunFolder, completion_of
from storage import Home
from tests.conftest import REPOSITORY, Run, bokehflow

PHOTO = next((REPOSITORY / "pipeline" / "studio" / "pictures" / "scoring").glob("*_sharp.jpg"))


@pytest.fixture(scope="module")
def snapshot(finished_demo: Path) -> str:
    (found,) = [path.name for path in (finished_demo / "snapshots").iterdir() if not path.name.startswith(".")]
    return found


def test_a_trial_of_other_seed_and_length_is_a_run_of_its_own(finished_demo: Path, snapshot: str) -> None:
    done = bokehflow(finished_demo, "train", "cyclegan", "--snapshot", snapshot, "--seed", "5", "--steps", "3")
    assert done.returncode == 0, done.stderr
    folder = RunFolder(finished_demo / "runs" / f"{snapshot}-cyclegan-5-3steps")
    completion = completion_of(folder)
    assert completion is not None
    assert (completion.steps, completion.seed) == (3, 5)
    assert "3 steps" in done.stderr
    assert any(run["run"] == folder.root.name for run in models_of(Home(finished_demo)))


def test_a_configured_recipe_that_is_trained_has_nothing_left_to_do(finished_demo: Path, snapshot: str) -> None:
    before = RunFolder(finished_demo / "runs" / f"{snapshot}-cyclegan-0").completion.stat().st_mtime_ns
    done = bokehflow(finished_demo, "train", "cyclegan", "--snapshot", snapshot)
    assert done.returncode == 0, done.stderr
    assert RunFolder(finished_demo / "runs" / f"{snapshot}-cyclegan-0").completion.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "nothing", "--snapshot", "0123"), "there is no recipe 'nothing'"),
        (("train", "cyclegan", "--snapshot", "0123456789abcdef", "--steps", "3"), "0123456789abcdef"),
        (("translate", str(PHOTO), "--model", "nothing"), "the run 'nothing' does not exist; there are: "),
        (("export-model", "nothing"), "the run 'nothing' does not exist"),
    ],
)
def test_what_does_not_exist_is_named(finished_demo: Path, run: Run, arguments: tuple[str, ...], words: str) -> None:
    outcome = run(*arguments, "--home", str(finished_demo))
    assert outcome.code == 1
    assert words in outcome.said
    assert "Traceback" not in outcome.said


def test_photos_of_ones_own_are_translated_and_bad_ones_named(finished_demo: Path, snapshot: str, tmp_path: Path) -> None:
    (tmp_path / "no-photo.jpg").write_text("<html>")
    Image.new("RGB", (2, 40), "red").save(tmp_path / "tiny.png")
    os.mkfifo(tmp_path / "pipe.jpg")
    bad = [str(tmp_path / name) for name in ("no-photo.jpg", "tiny.png", "missing.jpg", "pipe.jpg")]
    Image.new("RGB", (200, 160), "grey").save(tmp_path / "wall.png")
    photos = [*bad, str(PHOTO), str(tmp_path / "wall.png")]
    run, out = f"{snapshot}-cyclegan-0", tmp_path / "out"
    done = bokehflow(finished_demo, "translate", *photos, "--model", "cyclegan@0", "--overlay", "--out", str(out))
    assert done.returncode == 1
    assert all(name in done.stderr for name in bad)
    assert "tiny.png: too_small: 2 × 40 pixels" in done.stderr
    assert "4 of 6 photos could not be translated" in done.stderr
    assert done.stderr.count("nobody is found in it") == done.stderr.count("wall.png: nobody is found in it") == 1
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr
    with Image.open(out / f"{PHOTO.stem}-{run}.png") as result, Image.open(PHOTO) as photo:
        assert result.size == photo.size
        assert not np.array_equal(np.asarray(result), np.asarray(photo.convert("RGB")))


def test_a_published_model_runs_as_its_readme_says(finished_demo: Path, snapshot: str, tmp_path: Path) -> None:
    run, folder = f"{snapshot}-cyclegan-0", tmp_path / "published"
    done = bokehflow(finished_demo, "publish-model", run, str(folder))
    assert done.returncode == 0, done.stderr
    readme = (folder / "README.md").read_text()
    assert re.search(r"Of \d+ photos \d+ do not allow changes, \d+ do not allow commercial use\.", readme)
    (code,) = re.findall(r"(?ms)^```python\n(.*?)^```$", readme)
    assert len(code.splitlines()) <= 13
    generator, settings = load_generator(finished_demo / "runs" / run)
    photo = Image.open(PHOTO).convert("RGB")
    photo = ImageOps.scale(photo, max(settings.size_px, LEAST_SIDE_PX) / min(photo.size))
    photo = photo.crop((0, 0, photo.width // 8 * 8, photo.height // 8 * 8))
    photo.save(folder / "me.jpg", quality=100)
    with Image.open(folder / "me.jpg") as stored:
        wanted = translate_photo(generator, np.array(stored)) * 255
    alone = subprocess.run([sys.executable, "-I", "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert alone.returncode == 0, alone.stderr
    with Image.open(folder / "result.png") as result:
        assert np.abs(np.asarray(result) - wanted).max() <= 1
    for name in ("me.jpg", "result.png"):
        (folder / name).unlink()
    sums = dict(line.split("  ")[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert sums.keys() == {"README.md", "generator.onnx", "generator.safetensors", "model.json", "photos.csv"}
    assert all(hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest for name, digest in sums.items())
    rows = list(csv.DictReader((folder / "photos.csv").read_text(encoding="utf-8-sig").splitlines()))
    assert {row["domain"] for row in rows} == {"ordinary", "shallow"}
    assert all(row["owner"] and row["license"] for row in rows)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("do not touch")
    with pytest.raises(ConfigError, match="holds something else"):
        publish(finished_demo / "runs" / run, [], tmp_path / "mine", "last", page=False)
    assert (tmp_path / "mine" / "thesis.txt").exists()
    own = finished_demo / "runs" / run
    card = (own / "model.json").read_bytes()
    with pytest.raises(ConfigError, match="holds something else"):
        publish(own, [], own, "last", page=False)
    assert (own / "model.json").read_bytes() == card, "a run's own folder is no published model"
    (folder / "index.html").write_text("the page of an earlier model")
    (folder / "notes").mkdir()
    publish(own, [], folder, "last", page=False)
    seal(folder)
    assert {line.split("  ")[1] for line in (folder / "SHA256SUMS").read_text().splitlines()} == sums.keys()
