"""Evaluation: each model judged on test photos and on known truth, and the report of a snapshot."""

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pandas as pd

from assets.building_blocks import check, stage_asset, table_result
from assets.contact_sheets import SHEET_PICTURES, contact_sheet
from assets.dataset import FROZEN
from assets.partitions import RECIPE, SNAPSHOT, SNAPSHOTS, key_parts, snapshot_recipes
from pipeline.config import Project
from pipeline.file_names import child
from pipeline.operations.links import report_link
from pipeline.operations.reports import (
    against_reference,
    evaluation_provenance,
    is_of_depth,
    judged_by,
    predicts_depth,
    report_inputs,
    truth_folder,
    unevaluated,
    write_reports,
)
from pipeline.operations.training import run_folder
from resources.home import HomeResource
from resources.segmenter import SegmenterResource
from storage import Home

if TYPE_CHECKING:
    # What judges and draws takes a second to import, which only those wait for who do it.
    from pipeline.evaluation.report.page import ModelReport


def evaluation_assets(project: Project, folder: Path) -> list[dg.AssetsDefinition]:
    """The assets of this stage; `folder` is that of the project file."""
    return [evaluation_asset(project, truth_folder(project, folder)), comparison_asset(project)]


def evaluation_asset(project: Project, truth: Path | None) -> dg.AssetsDefinition:
    """The asset `evaluation`; `truth` is the folder of what is known of scenes and masks, if there is one."""

    @stage_asset(
        project,
        "evaluation",
        "evaluation",
        {"parquet"},
        deps=["trained_model"],
        partitions_def=snapshot_recipes(project),
        description="Scores of the model and of the smoothing baselines, photo by photo, and pictures." + FROZEN,
        checks={
            "better_than_doing_nothing": "The model comes nearer to the goal than its input is, and keeps the subject.",
            "not_worse_than_the_reference": "The model is not significantly worse than the project file's `reference`. It "
            "blocks nothing.",
        },
    )
    def evaluation(
        context: dg.AssetExecutionContext,
        home: dg.ResourceParam[HomeResource],
        segmenter: dg.ResourceParam[SegmenterResource],
    ) -> dg.MaterializeResult:
        from pipeline.operations.judging import Stopwatch, evaluate_model

        data, key = home.open(), key_parts(context)
        watch, run = Stopwatch(), run_folder(data, key[SNAPSHOT], key[RECIPE])
        with watch.timed("in all"):
            if is_of_depth(run):
                from pipeline.operations.depth_evaluation import evaluate_depth_model

                frame, photos = evaluate_depth_model(project, data, key[SNAPSHOT], key[RECIPE], truth, watch)
            else:
                people = segmenter.load(data)
                frame, photos = evaluate_model(project, data, key[SNAPSHOT], key[RECIPE], truth, people, watch)
        # Only now it is certain which weights could be had.
        provenance = evaluation_provenance(project, data, truth, run)
        info = data.tables.write("evaluation", frame, str(context.partition_key), provenance)
        means = (
            frame[~frame["photo_id"].str.startswith("set:")]
            .groupby(["method", "metric"])["value"]
            .mean()
            .unstack("metric")
            .reset_index()
        )
        shown = {
            "means": dg.MetadataValue.md(_markdown(means)),
            "seconds": dg.MetadataValue.md(_markdown(pd.DataFrame(watch.seconds.items(), columns=["spent on", "s"]))),
            "test photos": contact_sheet(photos.first(SHEET_PICTURES)),
        }
        return table_result(
            info,
            shown,
            [
                check("better_than_doing_nothing", _worse(frame, key[RECIPE]), dg.AssetCheckSeverity.WARN),
                reference_check(project.evaluation.reference, data, key[SNAPSHOT], [key[RECIPE]]),
            ],
        )

    return evaluation


def comparison_asset(project: Project) -> dg.AssetsDefinition:
    """The asset `comparison`."""

    @stage_asset(
        project,
        "comparison",
        "evaluation",
        {"html"},
        deps=["evaluation"],
        partitions_def=SNAPSHOTS,
        description="The report: all models of a snapshot and the smoothing baselines side by side.",
        checks={
            "every_model_is_in_it": "Every trained model of the snapshot was judged, and is in the report.",
            "not_worse_than_the_reference": "The model is not significantly worse than the project file's `reference`. It "
            "blocks nothing.",
        },
    )
    def comparison(context: dg.AssetExecutionContext, home: dg.ResourceParam[HomeResource]) -> dg.MaterializeResult:
        data, snapshot = home.open(), context.partition_key
        path = child(data.reports, snapshot) / "index.html"
        inputs = report_inputs(project, data, snapshot)
        written = write_reports(path, inputs)
        shown = {model.name for model in inputs.models}
        cards = json.dumps([dict(model.card) for model in inputs.models], sort_keys=True)
        return dg.MaterializeResult(
            metadata={
                "report": dg.MetadataValue.url(report_link(snapshot)),
                "path": dg.MetadataValue.path(str(path)),
                **{one.stem: dg.MetadataValue.url(one.as_uri()) for one in written if one != path},
                "models": [model.name for model in inputs.models],
                "results": dg.MetadataValue.md(_results(inputs.models)),
            },
            data_version=dg.DataVersion(sha256(cards.encode()).hexdigest()[:16]),
            check_results=[
                check("every_model_is_in_it", unevaluated(data, snapshot)[snapshot], dg.AssetCheckSeverity.WARN),
                reference_check(project.evaluation.reference, data, snapshot, sorted(shown)),
            ],
        )

    return comparison


def _worse(frame: pd.DataFrame, model: str) -> list[str]:
    """A model must neither blur nothing nor everything, keep the subject, and on scenes with known truth come nearer to the
    true lens than the input is."""
    from pipeline.evaluation.compare.depth_outcomes import depth_headline, is_of_depth_scores
    from pipeline.evaluation.compare.headline import headline

    result = depth_headline(frame, model) if is_of_depth_scores(frame) else headline(frame, model)
    return [f"{model}: {result.verdict_words} ({result.figure} {result.caption})"] if result.verdict == "bad" else []


def reference_check(reference: str | None, home: Home, snapshot: str, recipes: Sequence[str]) -> dg.AssetCheckResult:
    """Warns of each of the models that is significantly worse than the project file's reference on the same pictures.

    A model is worse where it loses in the subject or in the blur and wins in neither. Where the reference is missing
    nothing is held against anything, and the check says so.
    """
    name = "not_worse_than_the_reference"
    yardstick = judged_by(home, snapshot, reference) if reference else None
    others = [one for one in recipes if one != reference and judged_by(home, snapshot, one) == yardstick]
    others = [one for one in others if not is_of_depth(run_folder(home, snapshot, one))]
    if reference is None or not others or yardstick is None:
        why = "[evaluation] names no reference" if reference is None else f"nothing to hold against {reference} yet"
        return dg.AssetCheckResult(check_name=name, passed=True, severity=dg.AssetCheckSeverity.WARN, description=why)
    found = [against_reference(home, snapshot, recipe, reference) for recipe in others]
    result = check(name, [one.words for one in found if one and one.standing == "worse"], dg.AssetCheckSeverity.WARN)
    said = "\n".join(f"- {one.words}" for one in found if one) or "nothing that both were judged on"
    return result._replace(metadata={**result.metadata, "comparisons": dg.MetadataValue.md(said)})


def _results(models: Sequence["ModelReport"]) -> str:
    """What came out for each model, as on top of the report."""
    from pipeline.evaluation.compare.depth_outcomes import depth_headline
    from pipeline.evaluation.compare.headline import headline

    found = [
        (model.name, (depth_headline if predicts_depth(model) else headline)(model.evaluation, model.name))
        for model in models
    ]
    return "\n".join(f"- {name}: {result.verdict_words} ({result.figure} {result.caption})" for name, result in found)


def _markdown(table: pd.DataFrame) -> str:
    lines = ["| " + " | ".join(map(str, table.columns)) + " |", "|" + "---|" * len(table.columns)]
    lines += [
        "| " + " | ".join(f"{value:.4f}" if isinstance(value, float) else str(value) for value in row) + " |"
        for row in table.itertuples(index=False)
    ]
    return "\n".join(lines)
