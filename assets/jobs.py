"""One job for each way of dividing assets: Dagster refuses to mix them in one."""

from collections.abc import Iterable, Iterator, Sequence

import dagster as dg

from pipeline.config import Project
from pipeline.curation.decisions import folder_version
from pipeline.operations.due import Due
from pipeline.operations.planning import NEVER_MADE
from pipeline.operations.stages import PHOTO_TABLES, TABLES_OF_ALL, tables_of_all
from resources.dagster_internals import AssetJob
from storage import Home

JOBS: dict[str, tuple[Sequence[str], str]] = {
    "collect": (PHOTO_TABLES, "List, fetch and fingerprint a month."),
    "dataset": (TABLES_OF_ALL, "From imports and fingerprints to the manifest."),
    "freeze": (("dataset_snapshot",), "Freeze a manifest."),
    "train": (("trained_model", "evaluation"), "Train and judge a model."),
    "report": (("comparison",), "Compare the models of a snapshot."),
}
"""By name: the assets in the order in which they are made, and what for."""
OF_A_SNAPSHOT = {"freeze", "train", "report"}
"""Jobs whose partitions are snapshots, alone or with a recipe."""
WHY_TAG = "bokehflow/why"
"""Says of each run why it was wanted."""


def jobs(project: Project) -> list[AssetJob]:
    """The jobs for Dagster, of the assets that the project has."""
    left_out = set(TABLES_OF_ALL) - set(tables_of_all(project))
    return [
        dg.define_asset_job(name, [asset for asset in assets if asset not in left_out], description=told)
        for name, (assets, told) in JOBS.items()
    ]


def job_of(asset: str) -> str:
    """Name of the job that makes the asset."""
    return next(name for name, (assets, _) in JOBS.items() if asset in assets)


def snapshots_of(due: Iterable[Due]) -> list[str]:
    """The snapshots in the partitions of what is due: those of a restored or copied home are not on Dagster's record."""
    return sorted({str(one.partition).rpartition("|")[2] for one in due if job_of(one.asset) in OF_A_SNAPSHOT})


def observed_before(assets: Sequence[str], home: Home) -> Iterator[dg.AssetObservation]:
    """What is to be reported before a run of these assets: the content of the reviewed CSVs, as Dagster's own."""
    if "curated_photos" in assets:
        yield dg.AssetObservation("review_decisions", tags={"dagster/data_version": folder_version(home.reviewed)})


def together(due: Sequence[Due]) -> list[Due]:
    """The first of what is due with what has never been made of the same partition: one run may make them all.

    What was made before is asked about again after what comes before it, since that may come out the same.
    """
    first, batch = due[0], [due[0]]
    for one in due[1:]:
        if first.partition is None or one.partition != first.partition or job_of(one.asset) != job_of(first.asset):
            continue
        if one.why == NEVER_MADE and one.asset != batch[-1].asset:
            batch.append(one)
    return batch
