"""A model of depth from a folder of pictures to a refocused photo, as a person types it."""

from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from pipeline.training.runs import RunFolder, completion_of
from tests.conftest import Run, bokehflow

SIDE_PX = 40
PROJECT = """
[domains.ordinary]
title = "A"
[domains.shallow]
title = "B"
[recipes.cyclegan]
model = "cyclegan"
profile = "smoke"
[recipes.pix2pix]
model = "pix2pix"
profile = "pix2pix_small"
settings = { size_px = 32, steps = 2, generator_channels = 2, discriminator_channels = 2, batch_size = 2 }
[recipes.depth]
model = "depth"
profile = "depth"
settings = { size_px = 32, steps = 3, generator_channels = 2, batch_size = 2 }
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a project file, beside a folder `scenes` of three pictures with depth, one of them without its map."""
    home, rng = tmp_path / "home", np.random.default_rng(0)
    home.mkdir()
    (home / "bokehflow.toml").write_text(PROJECT)
    for kind in ("rgb", "depth"):
        (tmp_path / "scenes" / kind).mkdir(parents=True)
    (tmp_path / "scenes" / "depth.toml").write_text('unit = "dioptre"\nsteps_per_unit = 10000\n')
    for number in range(3):
        rgb = rng.integers(0, 256, (SIDE_PX, SIDE_PX + 8, 3), dtype=np.uint8)
        depth = rng.integers(4_000, 12_000, (SIDE_PX, SIDE_PX + 8)).astype(np.uint16)
        Image.fromarray(rgb).save(tmp_path / "scenes" / "rgb" / f"{number}.png")
        if number < 2:
            Image.fromarray(depth).save(tmp_path / "scenes" / "depth" / f"{number}.png")
    return home


def test_without_masks_no_subject_is_laid_over(home: Path, tmp_path: Path, run: Run) -> None:
    (home / "bokehflow.toml").write_text(PROJECT + '[masks]\nsegmenter = "none"\n')
    photo = str(tmp_path / "scenes" / "rgb" / "0.png")
    outcome = run("translate", photo, "--model", "any", "--overlay", "--home", str(home))
    assert outcome.code == 1
    assert (
        "--overlay lays the subject over the result, and by [masks] segmenter = 'none' nobody is looked for" in outcome.said
    )


def test_for_a_model_that_is_not_there_no_weights_are_fetched(
    home: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resources.segmenter.SegmenterResource.load", Mock(side_effect=ConnectionError))
    photo = str(tmp_path / "scenes" / "rgb" / "0.png")
    outcome = run("translate", photo, "--model", "nothing", "--home", str(home))
    assert outcome.code == 1
    assert "the run 'nothing' does not exist" in outcome.said


def test_a_folder_trains_a_model_that_refocuses_photos(home: Path, tmp_path: Path) -> None:
    done = bokehflow(home, "train", "depth", "--pairs", str(tmp_path / "scenes"))
    assert done.returncode == 0, done.stderr
    assert "left out: 2.png: there is no map of that name" in done.stderr
    assert "2 pictures with depth" in done.stderr
    (run,) = [path.parent for path in (home / "runs").glob("*/complete.json")]
    completion = completion_of(RunFolder(run))
    assert completion is not None
    assert (completion.model, completion.steps) == ("depth", 3)
    again = bokehflow(home, "train", "depth", "--pairs", str(tmp_path / "scenes"))
    assert again.returncode == 0, again.stderr
    assert completion_of(RunFolder(run)) == completion
    photo = tmp_path / "scenes" / "rgb" / "2.png"
    seen = bokehflow(home, "refocus", str(photo), "--at", "10,10", "--model", run.name, "--out", str(tmp_path / "out"))
    assert seen.returncode == 0, seen.stderr
    with Image.open(tmp_path / "out" / "2-refocused.png") as refocused:
        assert refocused.size == (SIDE_PX + 8, SIDE_PX)


@pytest.mark.slow
def test_pix2pix_is_trained_in_the_same_way(home: Path, tmp_path: Path) -> None:
    done = bokehflow(home, "train", "pix2pix", "--pairs", str(tmp_path / "scenes"))
    assert done.returncode == 0, done.stderr
    (run,) = [path.parent for path in (home / "runs").glob("*/complete.json")]
    completion = completion_of(RunFolder(run))
    assert completion is not None
    assert {"l1", "gan_a", "discriminator_a"} == completion.final_losses.keys()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "depth"), "give one of --snapshot ID and --pairs FOLDER"),
        (("train", "cyclegan", "--pairs", "scenes"), "'cyclegan' translates pictures"),
        (("train", "depth", "--pairs", "nowhere"), "has no pictures in rgb/"),
    ],
)
def test_what_cannot_be_trained_says_why(
    home: Path, tmp_path: Path, run: Run, arguments: tuple[str, ...], words: str
) -> None:
    told = [str(tmp_path / "scenes") if part == "scenes" else part for part in arguments]
    outcome = run(*told, "--home", str(home))
    assert outcome.code == 1
    assert words.lower() in outcome.said.lower()
    assert "Traceback" not in outcome.said
