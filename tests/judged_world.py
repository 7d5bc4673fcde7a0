"""A home with frozen snapshots and models that look trained and judged: cards, scores and pictures, made in no time."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.dataset.snapshot import read_snapshot
from pipeline.evaluation.measure.instruments import METHOD_VERSION
from pipeline.evaluation.measure.tiles import picture_folder
from pipeline.operations.reports import MODEL, YARDSTICK
from pipeline.operations.training import run_folder
from pipeline.tables import conform
from pipeline.training.jobs import TrainingJob
from pipeline.training.runs import Completion, RunFolder, model_version
from storage import Home
from storage.provenance import Provenance
from tests.pipeline.dataset.frozen_world import SIZE_PX, World

CONFIG = """
[domains.ordinary]
queries = [{ text = "a" }]
[domains.shallow]
queries = [{ text = "b" }]
[recipes.cyclegan]
model = "cyclegan"
[recipes.mask_loss]
model = "mask_loss"
[evaluation]
reference = "cyclegan@0"
"""
LOSSES = {"step": [0, 1, 2], "cycle_a": [0.3, 0.2, 0.1]}


def judged_home(root: Path) -> tuple[Home, World]:
    """An empty home with a project file, and the world that freezes snapshots in it."""
    root.mkdir()
    (root / "bokehflow.toml").write_text(CONFIG)
    return Home(root), World(root)


def photos_of_the_test_split(home: Home, snapshot: str) -> list[str]:
    """Ids of the snapshot's test photos."""
    manifest = read_snapshot(home.snapshots, snapshot)
    return manifest.loc[(manifest["split"] == "test") & (manifest["domain"] == "ordinary"), "photo_id"].tolist()


def train(home: Home, snapshot: str, recipe: str, job: TrainingJob | None = None) -> RunFolder:
    """A run that says that it is complete, of this job where one is given."""
    name, seed = recipe.split("@")
    run = run_folder(home, snapshot, recipe)
    run.root.mkdir(parents=True)
    facts = {"run_id": run.root.name, "recipe": name, "model": name, "seed": int(seed), "snapshot_id": snapshot}
    done = Completion.model_validate(
        {
            **facts, "digest": job.digest if job else "d" * 64, "steps": 3, "seconds": 1.0, "final_losses": {},
            "best": {}, "sample": "s",
            "files": {"generator_a_to_b.safetensors": "ab" * 32},
        }
    )  # fmt: skip
    run.job.write_text(json.dumps({"digest": done.digest, "job": job.model_dump(mode="json") if job else facts}))
    run.card.write_text(
        json.dumps({**done.model_dump(), "settings": {"size_px": SIZE_PX}, "lineage": {"code_revision": "c0de"}})
    )
    run.completion.write_text(done.model_dump_json())
    pd.DataFrame(LOSSES).to_parquet(run.losses)
    return run


def judge(
    home: Home,
    snapshot: str,
    recipe: str,
    ssim: float,
    sharpness: float,
    yardstick: str = "",
    provenance: Provenance | None = None,
) -> None:
    """Scores around these, photo by photo, and pictures, of a model that `train` made, by a yardstick or with provenance."""
    run = run_folder(home, snapshot, recipe)
    photos = photos_of_the_test_split(home, snapshot)
    wobble = np.linspace(-0.01, 0.01, len(photos))
    rows = [
        *_rows(photos, "input", 1.0 + 0 * wobble, 1.0 + 0 * wobble),
        *_rows(photos, recipe, ssim + wobble, sharpness - wobble),
    ]
    frame = pd.DataFrame(rows, columns=["photo_id", "method", "metric", "value"])
    told = Provenance(METHOD_VERSION, {}, {MODEL: {"": model_version(run)}}, notes={YARDSTICK: yardstick})
    home.tables.write("evaluation", conform("evaluation", frame), f"{recipe}|{snapshot}", provenance or told)
    with picture_folder(run.translated) as writer:
        for index, photo_id in enumerate(photos):
            for offset, role in enumerate(("input", "mask", "model")):
                noise = np.random.default_rng(10 * index + offset).integers(0, 256, (SIZE_PX, SIZE_PX, 3), np.uint8)
                writer.add(photo_id, role, noise)


def _rows(photos: Sequence[str], method: str, ssim: np.ndarray, sharpness: np.ndarray) -> list[tuple[str, str, str, float]]:
    scores = {"subject_ssim": ssim, "background_sharpness": sharpness}
    return [
        (photo_id, method, metric, float(value))
        for metric, values in scores.items()
        for photo_id, value in zip(photos, values, strict=True)
    ]
