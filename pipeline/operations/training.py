"""What the trainer is to do for a recipe and a seed, and what a finished run says."""

from importlib.metadata import version

import pandas as pd

from pipeline.config import Project
from pipeline.dataset.layout import PICTURES
from pipeline.file_names import child
from pipeline.models import layer_learnt_from
from pipeline.operations.made_from import code_revision, license_counts
from pipeline.operations.parsers import ensure_parser
from pipeline.parquet_files import parquet_path
from pipeline.picture_layers import BY_NAME
from pipeline.plain_files import all_at_hand, at_hand, may_lie_elsewhere
from pipeline.tables import among
from pipeline.training.jobs import ProcessIdentity, TrainingJob
from pipeline.training.runs import Completion, RunFolder, has_other_settings, holds_another_result
from storage import Home


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


def ready_job(project: Project, home: Home, snapshot: str, recipe_key: str, manifest: pd.DataFrame) -> TrainingJob:
    """`training_job` with the licences of the manifest's photos, and with `prepare` done."""
    job = training_job(project, home, snapshot, recipe_key)
    prepare(job)
    return job.model_copy(update={"licences": license_counts(training_rows(manifest, job)["license"])})


def prepare(job: TrainingJob) -> None:
    """Have ready what the trainer's process needs and cannot make: files that lie elsewhere, such as in a bucket, and a
    parser that is learnt from the rendered scenes.

    Raises `WeightsError` where another cannot be had.
    """
    if may_lie_elsewhere(job.shards_dir):
        for folder in filter(None, (job.run_dir, job.weights_dir)):
            all_at_hand(folder)
        for shard in set(pd.read_parquet(parquet_path(job.manifest_path), columns=["shard"])["shard"]):
            at_hand(child(job.shards_dir, shard))
    name = job.settings.parser_for(job.model)
    if name is not None and job.weights_dir is not None:
        ensure_parser(name, job.weights_dir)


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
    layer = layer_learnt_from(job.model)
    rows = manifest[(manifest["split"] == "train") & among(manifest["domain"], [job.domain_a, job.domain_b])]
    if layer is None:
        return rows
    digest = BY_NAME[layer].digest
    return rows[(rows["domain"] == job.domain_a) & rows[digest].notna()] if digest in rows else rows.head(0)


def run_folder(home: Home, snapshot: str, recipe_key: str) -> RunFolder:
    """The run's folder, whether it is there or not."""
    return RunFolder(child(home.runs, run_id(snapshot, recipe_key)))


def run_id(snapshot: str, recipe_key: str) -> str:
    """Name of the run's folder, the same for the same snapshot, recipe and seed."""
    return f"{snapshot}-{recipe_key.replace('@', '-')}"
