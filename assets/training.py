"""Training: one run per snapshot and `recipe@seed`, in a process of its own."""

from importlib.metadata import version

import dagster as dg
import numpy as np
import pandas as pd

from assets.common import check, count_table, stage_asset
from assets.dataset import FROZEN
from assets.partitions import RECIPE, SNAPSHOT, key_parts, snapshot_recipes
from assets.plots import curves
from pipeline.config import Project
from pipeline.dataset.layout import PICTURES, read_facts
from pipeline.dataset.snapshot import open_snapshot
from pipeline.file_names import child
from pipeline.operations.made_from import code_revision, license_counts, strictest_name
from pipeline.training.jobs import ProcessIdentity, TrainingJob
from pipeline.training.runs import Completion, RunFolder, completion_of, has_other_settings, holds_another_result
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
        check_specs=[
            dg.AssetCheckSpec("losses_are_finite", asset="trained_model"),
            dg.AssetCheckSpec("blurs_backgrounds_alone", asset="trained_model"),
        ],
    )
    def trained_model(
        context: dg.AssetExecutionContext, home: dg.ResourceParam[HomeResource], trainer: dg.ResourceParam[TrainerResource]
    ) -> dg.MaterializeResult:
        data, key = home.open(), key_parts(context)
        manifest = open_snapshot(data.snapshots, key[SNAPSHOT], data.shards)
        job = training_job(project, data, key[SNAPSHOT], key[RECIPE])
        trained = training_rows(manifest, job)
        licences = license_counts(trained["license"])
        result = trainer.train(context, job.model_copy(update={"licences": licences}))
        run = RunFolder(job.run_dir)
        losses, done = pd.read_parquet(run.losses), completion_of(run)
        broken = [str(name) for name, values in losses.items() if not np.isfinite(values.dropna()).all()]
        return dg.MaterializeResult(
            metadata={
                **(result.metadata or {}),
                "losses": curves(losses),
                "best_check": done.best if done else {},
                "manifest_sha256": read_facts(data.snapshots, key[SNAPSHOT])["sha256"],
                "licences": count_table(licences, "licence"),
                "strictest_licence": strictest_name(trained["license"]),
                "code_revision": job.lineage["code_revision"],
            },
            data_version=result.data_version,
            check_results=[
                check("losses_are_finite", broken),
                check("blurs_backgrounds_alone", failure(key[RECIPE], done), dg.AssetCheckSeverity.WARN),
            ],
        )

    return [trained_model]


def training_job(project: Project, home: Home, snapshot: str, recipe_key: str) -> TrainingJob:
    """What the trainer is to do for `recipe@seed` on the snapshot."""
    name, seed = recipe_key.split("@")
    recipe = project.recipes[name]
    identifier = run_id(snapshot, recipe_key)
    return TrainingJob(
        run_id=identifier,
        run_dir=child(home.runs, identifier),
        recipe=name,
        seed=int(seed),
        model=recipe.model,
        settings=recipe.resolved(),
        snapshot_id=snapshot,
        manifest_path=child(home.snapshots, snapshot) / PICTURES,
        shards_dir=home.shards,
        weights_dir=home.weights,
        domain_a=project.training.domain_a,
        domain_b=project.training.domain_b,
        stop_failing=project.training.stop_failing,
        lineage={"bokehflow": version("bokehflow"), "code_revision": code_revision()},
        started_by=ProcessIdentity.current(),
    )


def failure(recipe_key: str, done: Completion | None) -> list[str]:
    """The way in which a finished run failed, if it did, in words."""
    if done is None or done.failing is None:
        return []
    return [f"{recipe_key} {done.failing}, by its last check; what to do is told in its log and in docs/training.md"]


def kept_model(job: TrainingJob) -> str | None:
    """In words that the run's folder has a finished model of other settings, which is kept; None where it has none."""
    if not (holds_another_result(job) and has_other_settings(job)):
        return None
    return (
        f"{job.recipe}@{job.seed} was trained on snapshot {job.snapshot_id} with other settings, and that model is kept; "
        f"to train it anew: bokehflow train {job.recipe} --seed {job.seed} --snapshot {job.snapshot_id} --anew"
    )


def training_rows(manifest: pd.DataFrame, job: TrainingJob) -> pd.DataFrame:
    """The rows of a snapshot's manifest that the job trains on."""
    return manifest[(manifest["split"] == "train") & manifest["domain"].isin([job.domain_a, job.domain_b])]


def run_id(snapshot: str, recipe_key: str) -> str:
    """Name of the run's folder, the same for the same snapshot, recipe and seed."""
    return f"{snapshot}-{recipe_key.replace('@', '-')}"
