"""Training: one run per snapshot and `recipe@seed`, in a process of its own."""

import dagster as dg
import numpy as np
import pandas as pd

from assets.building_blocks import check, count_table, stage_asset
from assets.dataset import FROZEN
from assets.partitions import RECIPE, SNAPSHOT, key_parts, snapshot_recipes
from assets.plots import curves
from pipeline.config import Project
from pipeline.dataset.layout import read_facts
from pipeline.dataset.snapshot import open_snapshot
from pipeline.operations.links import lineage_link
from pipeline.operations.made_from import strictest_name
from pipeline.operations.training import failure, ready_job, run_id, training_rows
from pipeline.parquet_files import parquet_path
from pipeline.training.runs import RunFolder, completion_of
from resources.home import HomeResource
from resources.trainer import TrainerResource


def training_assets(project: Project) -> list[dg.AssetsDefinition]:
    """The asset of this stage, for the project."""

    @stage_asset(
        project,
        "trained_model",
        "training",
        {"pytorch"},
        deps=["dataset_snapshot"],
        partitions_def=snapshot_recipes(project),
        pool="gpu",
        description="One training run: losses, sample pictures, checkpoints, generators, model card." + FROZEN,
        checks={
            "losses_are_finite": "No loss became infinite or NaN.",
            "blurs_backgrounds_alone": "The model blurs something, and not everything, on training pictures at its last "
            "check.",
        },
    )
    def trained_model(
        context: dg.AssetExecutionContext, home: dg.ResourceParam[HomeResource], trainer: dg.ResourceParam[TrainerResource]
    ) -> dg.MaterializeResult:
        data, key = home.open(), key_parts(context)
        manifest = open_snapshot(data.snapshots, key[SNAPSHOT], data.shards)
        job = ready_job(project, data, key[SNAPSHOT], key[RECIPE], manifest)
        result = trainer.train(context, job)
        run = RunFolder(job.run_dir)
        losses, done = pd.read_parquet(parquet_path(run.losses)), completion_of(run)
        broken = [str(name) for name, values in losses.items() if not np.isfinite(values.dropna()).all()]
        return dg.MaterializeResult(
            metadata={
                **(result.metadata or {}),
                "lineage": dg.MetadataValue.url(lineage_link("model", run_id(key[SNAPSHOT], key[RECIPE]))),
                "losses": curves(losses),
                "best_check": done.best if done else {},
                "manifest_sha256": read_facts(data.snapshots, key[SNAPSHOT])["sha256"],
                "licences": count_table(job.licences, "licence"),
                "strictest_licence": strictest_name(training_rows(manifest, job)["license"]),
                "code_revision": job.lineage["code_revision"],
            },
            data_version=result.data_version,
            check_results=[
                check("losses_are_finite", broken),
                check("blurs_backgrounds_alone", failure(key[RECIPE], done), dg.AssetCheckSeverity.WARN),
            ],
        )

    return [trained_model]
