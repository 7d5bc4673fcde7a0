"""Training: one run per snapshot and `recipe@seed`, in a process of its own."""

import os
from importlib.metadata import version
from pathlib import Path
from subprocess import run

import dagster as dg
import numpy as np
import pandas as pd

from assets.common import check, stage_asset
from assets.dataset import FROZEN
from assets.partitions import RECIPE, SNAPSHOT, key_parts, snapshot_recipes
from assets.plots import curves
from pipeline.config import Project
from pipeline.dataset.snapshot import read_snapshot
from pipeline.training.jobs import ProcessIdentity, TrainingJob
from pipeline.training.runs import RunFolder
from resources.home import HomeResource
from resources.trainer import TrainerResource
from storage import Home


def training_assets(project: Project) -> list[dg.AssetsDefinition]:
    """The asset of this stage, for the project."""

    @stage_asset(
        "trained_model",
        "training",
        {"pytorch"},
        deps=["dataset_snapshot"],
        partitions_def=snapshot_recipes(project),
        pool="gpu",
        description="One training run: losses, sample pictures, checkpoints, generators, model card." + FROZEN,
        check_specs=[dg.AssetCheckSpec("losses_are_finite", asset="trained_model")],
    )
    def trained_model(
        context: dg.AssetExecutionContext, home: HomeResource, trainer: TrainerResource
    ) -> dg.MaterializeResult:
        data, key = home.open(), key_parts(context)
        read_snapshot(data.snapshots, key[SNAPSHOT])
        job = training_job(project, data, key[SNAPSHOT], key[RECIPE])
        result = trainer.train(context, job)
        losses = pd.read_parquet(RunFolder(job.run_dir).losses)
        broken = [str(name) for name, values in losses.items() if not np.isfinite(values.dropna()).all()]
        return dg.MaterializeResult(
            metadata={**(result.metadata or {}), "losses": curves(losses)},
            data_version=result.data_version,
            check_results=[check("losses_are_finite", broken)],
        )

    return [trained_model]


def training_job(project: Project, home: Home, snapshot: str, recipe_key: str) -> TrainingJob:
    """What the trainer is to do for `recipe@seed` on the snapshot."""
    name, seed = recipe_key.split("@")
    recipe = project.recipes[name]
    identifier = run_id(snapshot, recipe_key)
    return TrainingJob(
        run_id=identifier,
        run_dir=home.runs / identifier,
        recipe=name,
        seed=int(seed),
        model=recipe.model,
        settings=recipe.resolved(),
        snapshot_id=snapshot,
        manifest_path=home.snapshots / snapshot / "manifest.parquet",
        shards_dir=home.shards,
        weights_dir=home.weights,
        domain_a=project.training.domain_a,
        domain_b=project.training.domain_b,
        lineage={"bokehflow": version("bokehflow"), "code_revision": code_revision()},
        started_by=ProcessIdentity.current(),
    )


def run_id(snapshot: str, recipe_key: str) -> str:
    """Name of the run's folder, the same for the same snapshot, recipe and seed."""
    return f"{snapshot}-{recipe_key.replace('@', '-')}"


def code_revision() -> str:
    """Git's name of the code that runs, with `+` where files differ from it; `unknown` outside a checkout."""
    checkout = Path(__file__).parents[1]
    command = ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    if not (checkout / ".git").exists():
        return "unknown"
    done = run(command, cwd=checkout, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    return done.stdout.strip() or "unknown"
