"""The smoke profile learns on the studio's pictures: shown by the error to the true lens, not by sharpness alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter, ImageOps

from pipeline.models.images import translate
from pipeline.studio.pictures import PICTURES
from pipeline.training.loader import BatchLoader
from pipeline.training.loop import TrainingState, build_model, train_steps
from pipeline.training.recipes import PROFILES
from pipeline.training.sampling import ArrayImages, PairSampler

STORED_SIZE_PX = 128
REQUIRED_REDUCTION = 0.30
SUBJECT_ERROR_LIMIT = 0.02


def square(path: Path, size_px: int) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(ImageOps.fit(image, (size_px, size_px), Image.Resampling.LANCZOS))


def training_pictures(domain: str) -> ArrayImages:
    paths = sorted((PICTURES / domain).glob("*.jpg"))
    masks = [path.with_name(f"{path.stem}_mask.png") for path in paths]
    rgb = np.stack([square(path, STORED_SIZE_PX) for path in paths])
    return ArrayImages(rgb, np.stack([square(path, STORED_SIZE_PX) for path in masks]))


def surely_background(mask: np.ndarray) -> np.ndarray:
    """Pixels none of whose neighbours belongs to the subject."""
    return np.asarray(Image.fromarray(mask).filter(ImageFilter.MaxFilter(3))) < 5


def surely_subject(mask: np.ndarray) -> np.ndarray:
    """Pixels all of whose neighbours belong to the subject."""
    return np.asarray(Image.fromarray(mask).filter(ImageFilter.MinFilter(3))) > 250


@pytest.mark.slow
def test_the_smoke_profile_brings_the_background_towards_the_true_lens() -> None:
    settings = PROFILES["smoke"]
    state = TrainingState(build_model("cyclegan", settings, seed=0), settings, 0, torch.device("cpu"))
    sampler = PairSampler(training_pictures("ordinary"), training_pictures("shallow"), settings, seed=0)
    loader = BatchLoader(sampler, torch.device("cpu"))
    for metrics in train_steps(state, loader):
        assert all(torch.isfinite(term) for term in metrics.terms.values())

    seeds = sorted(path.stem.removesuffix("_mask") for path in (PICTURES / "scoring").glob("*_mask.png"))
    sharp, shallow, masks = (
        np.stack([square(PICTURES / "scoring" / f"{seed}_{ending}", settings.size_px) for seed in seeds])
        for ending in ("sharp.jpg", "shallow.jpg", "mask.png")
    )
    background = np.stack([surely_background(mask) for mask in masks])
    subject = np.stack([surely_subject(mask) for mask in masks])
    truth, translated = shallow / 255.0, translate(state.results()["a_to_b"], sharp)
    untouched = np.abs(sharp / 255.0 - truth)[background].mean()
    reached = np.abs(translated - truth)[background].mean()
    assert 1 - reached / untouched >= REQUIRED_REDUCTION
    assert np.abs(translated - truth)[subject].mean() < SUBJECT_ERROR_LIMIT
