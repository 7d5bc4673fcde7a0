"""Runs of the models of depth: to the end, interrupted, and what their folders say."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.models import MODELS_OF_ONE_DOMAIN, OWN_OUTPUTS
from pipeline.models.disparity_generator import DisparityGenerator
from pipeline.models.pix2pix_networks import DefocusGenerator
from pipeline.training.inference import load_generator
from pipeline.training.jobs import TrainingJob
from pipeline.training.process import TrainingData, run_training
from pipeline.training.recipes import resolve
from pipeline.training.runs import Completion, RunFolder
from pipeline.training.sampling import ArrayImages

SIDE_PX = 32
SETTINGS = {"size_px": SIDE_PX, "steps": 6, "batch_size": 2, "generator_channels": 2}
FASTER = {"generator_channels": 8, "learning_rate": 5e-3}
GAN_ALONE = {"discriminator_channels": 8, "discriminator_layers": 2}


@pytest.fixture(scope="module")
def pictures() -> ArrayImages:
    """Bright discs, which are near, before a dark wall."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX]
    inside = np.stack([(rows - y) ** 2 + (columns - x) ** 2 < 80 for y, x in rng.uniform(8, 24, (5, 2))])
    rgb = np.where(inside[..., None], 200, 40) + rng.integers(0, 30, (5, SIDE_PX, SIDE_PX, 3))
    disparity = np.where(inside, 1.2, 0.4).astype(np.float32)
    return ArrayImages(rgb.astype(np.uint8), (255 * inside).astype(np.uint8), {"depth": disparity})


def job(folder: Path, model: str, **changed: object) -> TrainingJob:
    profile = {"pix2pix": "pix2pix_small", "defocus": "defocus"}.get(model, "depth")
    return TrainingJob(
        run_id="same",
        run_dir=folder,
        recipe=model,
        seed=1,
        model=model,
        settings=resolve(profile, {**SETTINGS, **changed}),
        snapshot_id="0123456789abcdef",
        manifest_path=folder,
        shards_dir=folder,
    )


def train(what: TrainingJob, source: ArrayImages, steps: int | None = None) -> Completion | None:
    asked = iter(range(1, 10**6))
    return run_training(
        what, lambda: TrainingData(source, source, source), lambda: steps is not None and next(asked) >= steps
    )


@pytest.mark.parametrize("model", sorted(MODELS_OF_ONE_DOMAIN))
def test_an_interrupted_run_ends_with_the_same_bytes(tmp_path: Path, pictures: ArrayImages, model: str) -> None:
    straight, interrupted = job(tmp_path / "straight", model), job(tmp_path / "interrupted", model)
    expected = train(straight, pictures)
    assert train(interrupted, pictures, 2) is None
    done = train(interrupted, pictures)
    assert expected is not None
    assert done is not None
    assert done.files == expected.files
    terms = {"l1", "gan_a", "discriminator_a"} if model in {"pix2pix", "defocus"} else {"depth", "depth_gradient"}
    assert terms <= done.final_losses.keys()
    generator, settings = load_generator(straight.run_dir, "best")
    assert isinstance(generator, DefocusGenerator if model == "defocus" else DisparityGenerator)
    assert settings.output == OWN_OUTPUTS[model]


def test_the_card_says_what_such_a_model_is(tmp_path: Path, pictures: ArrayImages) -> None:
    assert train(job(tmp_path, "depth"), pictures) is not None
    card = json.loads(RunFolder(tmp_path).card.read_text())
    assert card["training_images"] == {"a": 5, "b": 0}
    assert card["parameters"]["discriminator"] == 0
    page = RunFolder(tmp_path).card_page.read_text()
    assert "how far away" in page
    assert "shallow depth of field" not in page


def test_the_card_of_what_is_told_by_a_map_says_so(tmp_path: Path, pictures: ArrayImages) -> None:
    assert train(job(tmp_path, "defocus", steps=1, discriminator_channels=2), pictures) is not None
    page = RunFolder(tmp_path).card_page.read_text()
    assert "told by a map what should be sharp" in page
    assert "a map of what should be sharp" in page
    assert "5 pictures of ordinary and 0 of" in page


@pytest.mark.parametrize(
    ("model", "most", "changed"),
    [
        ("depth", 0.5, {"learning_rate": 0.02}),
        ("pix2pix", 0.5, {"discriminator_channels": 4}),
        ("pix2pix", 0.5, {"gan_weight": 0.0}),
        ("defocus", 0.95, {"gan_weight": 0.0, "steps": 80, "dropout": 0.0, **FASTER}),
        pytest.param(
            "pix2pix",
            0.9,
            {"l1_weight": 0.0, "steps": 60, "learning_rate": 2e-3, "dropout": 0.0, **GAN_ALONE},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_it_learns_what_is_near(
    tmp_path: Path, pictures: ArrayImages, model: str, most: float, changed: dict[str, object]
) -> None:
    few = {"learning_rate": 0.01, "generator_channels": 4} if model != "depth" else {}
    done = train(job(tmp_path, model, **{"steps": 40, "weight_average": 0.0, **few, **changed}), pictures)
    assert done is not None
    assert done.best["gap"] < most
