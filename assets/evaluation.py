"""Evaluation: each model judged on test photos and on known truth, and the report of a snapshot."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from glob import escape
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import numpy as np
import pandas as pd

from assets.automation import ON_NEW, ON_NEW_RESULT
from assets.common import check, stage_asset, table_result
from assets.dataset import FROZEN, segmented_masks
from assets.partitions import RECIPE, SNAPSHOT, SNAPSHOTS, key_parts, snapshot_recipes
from assets.sheets import SHEET_PICTURES, contact_sheet
from assets.training import run_id
from pipeline.config import Project
from pipeline.dataset.crop import Crop, Transform, parse_transform, picture_id
from pipeline.dataset.prepare import cut
from pipeline.dataset.shards import ShardReader
from pipeline.dataset.snapshot import attribution, open_snapshot, read_facts, read_snapshot
from pipeline.errors import DatasetError
from pipeline.evaluation.scenes import Cut, Frame, TrueMasks, load_scenes, load_true_masks, true_mask_file
from pipeline.file_names import child, inside
from pipeline.licenses import license_name
from pipeline.masks.person_masks import read_mask
from pipeline.masks.segmenter import Segmenter
from pipeline.masks.sources import configured_version
from pipeline.operations.made_from import code_revision
from pipeline.operations.versions import plan
from pipeline.training.recipes import canonical_digest
from pipeline.training.runs import RunFolder, completion_of, describe_run, generator_file
from pipeline.weights import WEIGHTS
from resources.home import HomeResource
from resources.segmenter import SegmenterResource
from storage import Home

if TYPE_CHECKING:
    # What judges and draws takes a second to import, which only those wait for who do it.
    from pipeline.evaluation.reference import Against
    from pipeline.evaluation.report import ModelReport, ReportInputs
    from pipeline.operations.judging import Stopwatch


def evaluation_assets(project: Project, folder: Path) -> list[dg.AssetsDefinition]:
    """The assets of this stage; `folder` is that of the project file."""
    truth = truth_folder(project, folder)

    @stage_asset(
        "evaluation",
        "evaluation",
        {"parquet"},
        deps=["trained_model"],
        partitions_def=snapshot_recipes(project),
        automation_condition=ON_NEW,
        description="Scores of the model and of the smoothing baselines, photo by photo, and pictures." + FROZEN,
        check_specs=[
            dg.AssetCheckSpec("better_than_doing_nothing", asset="evaluation"),
            dg.AssetCheckSpec("not_worse_than_the_reference", asset="evaluation"),
        ],
    )
    def evaluation(
        context: dg.AssetExecutionContext,
        home: dg.ResourceParam[HomeResource],
        segmenter: dg.ResourceParam[SegmenterResource],
    ) -> dg.MaterializeResult:
        from pipeline.operations.judging import Stopwatch

        data, key = home.open(), key_parts(context)
        watch = Stopwatch()
        with watch.timed("in all"):
            frame, photos = measured(project, data, key[SNAPSHOT], key[RECIPE], truth, segmenter.load(data), watch)
        run = child(data.runs, run_id(key[SNAPSHOT], key[RECIPE]))
        # Only now it is certain which weights could be had.
        version = f"{model_version(run)}-{yardstick_version(project, data, truth)}"
        info = data.tables.write("evaluation", frame, str(context.partition_key), version)
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

    @stage_asset(
        "comparison",
        "evaluation",
        {"html"},
        deps=[evaluation],
        partitions_def=SNAPSHOTS,
        automation_condition=ON_NEW_RESULT,
        description="The report: all models of a snapshot and the smoothing baselines side by side.",
        check_specs=[
            dg.AssetCheckSpec("every_model_is_in_it", asset="comparison"),
            dg.AssetCheckSpec("not_worse_than_the_reference", asset="comparison"),
        ],
    )
    def comparison(context: dg.AssetExecutionContext, home: dg.ResourceParam[HomeResource]) -> dg.MaterializeResult:
        from pipeline.evaluation.report import write_report

        data, snapshot = home.open(), context.partition_key
        path = child(data.reports, snapshot) / "index.html"
        inputs = report_inputs(project, data, snapshot)
        write_report(path, inputs)
        shown = {model.name for model in inputs.models}
        cards = json.dumps([dict(model.card) for model in inputs.models], sort_keys=True)
        return dg.MaterializeResult(
            metadata={
                "report": dg.MetadataValue.url(path.as_uri()),
                "path": dg.MetadataValue.path(str(path)),
                "models": [model.name for model in inputs.models],
                "results": dg.MetadataValue.md(_results(inputs.models)),
            },
            data_version=dg.DataVersion(sha256(cards.encode()).hexdigest()[:16]),
            check_results=[
                check("every_model_is_in_it", unevaluated(data, snapshot)[snapshot], dg.AssetCheckSeverity.WARN),
                reference_check(project.evaluation.reference, data, snapshot, sorted(shown)),
            ],
        )

    return [evaluation, comparison]


def _is_test(manifest: pd.DataFrame, project: Project) -> pd.Series:
    return (manifest["split"] == "test") & (manifest["domain"] == project.training.domain_a)


def measured(
    project: Project,
    home: Home,
    snapshot: str,
    recipe_key: str,
    truth: Path | None,
    segmenter: Segmenter,
    watch: "Stopwatch",
) -> tuple[pd.DataFrame, "SnapshotPhotos"]:
    """The table `evaluation` of a trained model, and the photos it was judged on; pictures go into the run's folder.

    Raises `DatasetError` for a snapshot that is not there, `TrainingError` for a run that is not finished.
    """
    # torch takes seconds to import, and the code location is imported for every step.
    from pipeline.evaluation.judge import judge_model
    from pipeline.models.large_photos import translate_pictures
    from pipeline.operations.judging import (
        costs_of,
        cycle_errors,
        on_best_device,
        overlay_of,
        shared,
        shared_version,
        yardstick_of,
    )
    from pipeline.training.inference import load_run

    run = child(home.runs, run_id(snapshot, recipe_key))
    manifest = open_snapshot(home.snapshots, snapshot, home.shards)
    trained = load_run(run)
    size_px, test = trained.settings.size_px, manifest[_is_test(manifest, project)]
    trained_on = [
        manifest[(manifest["domain"] == domain) & (manifest["split"] == "train")]
        for domain in (project.training.domain_b, project.training.domain_a)
    ]
    photos, shallow, ordinary = (SnapshotPhotos.of(home, rows) for rows in (test, *trained_on))
    known = (None, None)
    if truth is not None:
        known = load_scenes(truth, scene_frame(project, home, segmenter)), true_masks(home, manifest, truth)
    yardstick = yardstick_of(project, home, segmenter, shallow, ordinary)
    version = shared_version((test, *trained_on), known, segmenter, yardstick)
    with watch.timed("what all models share"):
        common = shared(home, snapshot, size_px, photos, known, yardstick, version)
    generators = on_best_device(trained.generators)
    translations = {direction: partial(translate_pictures, generator) for direction, generator in generators.items()}
    with watch.timed("cycle and identity"):
        errors = cycle_errors(translations, size_px, photos, shallow)
    with watch.timed("costs"):
        costs = costs_of(home, generators["a_to_b"])
    frame = judge_model(
        recipe_key,
        watch.wrapped("translation", translations["a_to_b"]),
        size_px,
        photos,
        RunFolder(run).translated,
        *known,
        yardstick=yardstick,
        overlay=overlay_of(trained),
        common=common,
        extra={**errors, **costs},
    )
    return frame, photos


@dataclass(frozen=True)
class SnapshotPhotos:
    """Pictures of a snapshot, read from its shards as they are needed."""

    ids: list[str]
    reader: ShardReader

    @classmethod
    def of(cls, home: Home, rows: pd.DataFrame) -> "SnapshotPhotos":
        """The pictures of these rows of a manifest."""
        reader = ShardReader([child(home.shards, shard) for shard in rows["shard"]], rows["row"].tolist())
        return cls(picture_ids(rows), reader)

    def first(self, count: int) -> list[tuple[str, np.ndarray]]:
        """Id and RGB of the first ones."""
        indices = np.arange(min(count, len(self.ids)))
        return list(zip(self.ids[:count], self.batch(indices)[0], strict=True))

    def batch(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """RGB and alpha, uint8."""
        return self.reader.batch(indices)


def picture_ids(rows: pd.DataFrame) -> list[str]:
    """What each picture of a manifest is called in scores: its photo's id, with the place of a tile."""
    return [picture_id(*pair) for pair in zip(rows["photo_id"], rows["transform"], strict=True)]


def scene_frame(project: Project, home: Home, segmenter: Segmenter) -> Frame:
    """How a rendered scene is treated: as the project's photos are, from the segmenter to the crop.

    A folder of given masks has none of scenes; there the embedded segmenter stands in. Scenes, which are small, are not
    tiled: of a dataset of tiles the square in their middle is judged.
    """
    planned, source = plan(project), segmented_masks(project, home, segmenter)
    transform = planned if isinstance(planned, Crop) else Crop("centre", planned.size_px)

    def frame(sharp: np.ndarray) -> tuple[Cut, np.ndarray]:
        alpha = source.subject(sharp).alpha
        return _cutter(transform, alpha), alpha

    return frame


def true_masks(home: Home, manifest: pd.DataFrame, folder: Path) -> tuple[TrueMasks, np.ndarray]:
    """True masks of the photos that have one, cut exactly as their pictures were, and the alphas of these pictures."""
    known = manifest.drop_duplicates(["photo_id", "transform"])
    rows = known[known["photo_id"].map(lambda photo_id: true_mask_file(folder, str(photo_id)).exists()).astype(bool)]
    columns = zip(picture_ids(rows), rows["photo_id"], rows["transform"], rows["mask"], strict=True)
    cutters = {name: (photo, _frozen_cutter(home, transform, mask)) for name, photo, transform, mask in columns}
    photos = SnapshotPhotos.of(home, rows) if len(rows) else None
    alpha = photos.batch(np.arange(len(rows)))[1] if photos else np.empty((0, 0, 0), np.uint8)
    return load_true_masks(folder, cutters, alpha.shape[1]), alpha


def _frozen_cutter(home: Home, transform: str, mask: str) -> Cut:
    """How the picture with this transform was cut, by the alpha it was made with where that decided it."""
    parsed = parse_transform(transform)
    by_subject = isinstance(parsed, Crop) and parsed.crop == "subject"
    return _cutter(parsed, read_mask(inside(home.masks, mask)) if by_subject else None)


def _cutter(transform: Transform, alpha: np.ndarray | None) -> Cut:
    """Cuts pictures of any size to the square that `transform` takes; `alpha` None: it does not look at it."""

    def cut_square(pixels: np.ndarray) -> np.ndarray:
        looked_at = pixels if alpha is None else alpha
        square = transform.square(looked_at.reshape(*looked_at.shape[:2], -1)[..., 0])
        return cut(pixels, (pixels.shape[1], pixels.shape[0]), square, transform.size_px)

    return cut_square


def _credits(rows: pd.DataFrame) -> pd.DataFrame:
    """Whose each picture is, by what it is called in scores."""
    names = rows[["domain", "photo_id"]].assign(picture=picture_ids(rows))
    found = attribution(rows, license_name).merge(names, on=["domain", "photo_id"])
    return found.drop(columns="photo_id").rename(columns={"picture": "photo_id"})


def _worse(frame: pd.DataFrame, model: str) -> list[str]:
    """A model must neither blur nothing nor everything, keep the subject, and on scenes with known truth come nearer to the
    true lens than the input is."""
    from pipeline.evaluation.summary import headline

    result = headline(frame, model)
    return [f"{model}: {result.verdict_words} ({result.figure} {result.caption})"] if result.verdict == "bad" else []


def reference_check(reference: str | None, home: Home, snapshot: str, recipes: Sequence[str]) -> dg.AssetCheckResult:
    """Warns of each of the models that is significantly worse than the project file's reference on the same pictures.

    A model is worse where it loses in the subject or in the blur and wins in neither. Where the reference is missing
    nothing is held against anything, and the check says so.
    """
    name = "not_worse_than_the_reference"
    yardstick = judged_by(home, snapshot, reference) if reference else None
    others = [one for one in recipes if one != reference and judged_by(home, snapshot, one) == yardstick]
    if reference is None or not others or yardstick is None:
        why = "[evaluation] names no reference" if reference is None else f"nothing to hold against {reference} yet"
        return dg.AssetCheckResult(check_name=name, passed=True, severity=dg.AssetCheckSeverity.WARN, description=why)
    found = [_against(home, snapshot, recipe, reference) for recipe in others]
    result = check(name, [one.words for one in found if one and one.standing == "worse"], dg.AssetCheckSeverity.WARN)
    said = "\n".join(f"- {one.words}" for one in found if one) or "nothing that both were judged on"
    return result._replace(metadata={**result.metadata, "comparisons": dg.MetadataValue.md(said)})


def _against(home: Home, snapshot: str, recipe: str, reference: str) -> "Against | None":
    from pipeline.evaluation.reference import against
    from pipeline.evaluation.summary import merge

    tables = {one: home.tables.read("evaluation", f"{one}|{snapshot}") for one in (recipe, reference)}
    size = {one: _size_px(home, snapshot, one) for one in tables}
    return against(merge(tables), recipe, reference) if size[recipe] == size[reference] else None


def _size_px(home: Home, snapshot: str, recipe: str) -> int:
    return int(json.loads(RunFolder(child(home.runs, run_id(snapshot, recipe))).card.read_text())["settings"]["size_px"])


def _results(models: Sequence["ModelReport"]) -> str:
    """What came out for each model, as on top of the report."""
    from pipeline.evaluation.summary import headline

    found = [(model.name, headline(model.evaluation, model.name)) for model in models]
    return "\n".join(f"- {name}: {result.verdict_words} ({result.figure} {result.caption})" for name, result in found)


def _markdown(table: pd.DataFrame) -> str:
    lines = ["| " + " | ".join(map(str, table.columns)) + " |", "|" + "---|" * len(table.columns)]
    lines += [
        "| " + " | ".join(f"{value:.4f}" if isinstance(value, float) else str(value) for value in row) + " |"
        for row in table.itertuples(index=False)
    ]
    return "\n".join(lines)


def report_inputs(project: Project, home: Home, snapshot: str, others: Sequence[str] = ()) -> "ReportInputs":
    """All that the report of a snapshot shows; with `others` their models stand beside its own.

    Raises `DatasetError` for an unknown snapshot, and for one of `others` without a model that was judged by the same
    yardstick.
    """
    from pipeline.evaluation.report import ReportInputs

    snapshots = list(dict.fromkeys([snapshot, *others]))
    tests = {name: _test_rows(project, read_snapshot(home.snapshots, name)) for name in snapshots}
    recipes = evaluated_recipes(home, *snapshots)
    models = {name: [_model_report(home, name, one) for one in recipes[name]] for name in snapshots}
    if bare := [name for name in snapshots[1:] if not models[name]]:
        told = "; ".join(unevaluated(home, *snapshots)[bare[0]]) or "train and evaluate one"
        raise DatasetError(f"snapshot {bare[0]} has no evaluated model to compare with: {told}")
    facts = read_facts(home.snapshots, snapshot)
    return ReportInputs(
        project=project.project.name,
        snapshot_id=snapshot,
        snapshot_digest=facts["sha256"],
        config_digest=project.version(),
        counts=facts["counts"],
        domains=facts["made_from"].get("counts", {}),
        models=[model for of_it in models.values() for model in of_it],
        credits=pd.concat([_credits(rows) for rows in tests.values()]).drop_duplicates("photo_id"),
        made_on=datetime.now(UTC).date(),
        code_revision=code_revision(),
        test_photos={name: _digests(rows) for name, rows in tests.items()},
        reference=project.evaluation.reference,
    )


def _test_rows(project: Project, manifest: pd.DataFrame) -> pd.DataFrame:
    return manifest[_is_test(manifest, project)]


def _digests(rows: pd.DataFrame) -> dict[str, str]:
    """Picture → digest of its pixels and its mask: equal where two snapshots hold the very same picture."""
    return dict(zip(picture_ids(rows), rows["pixels_sha256"] + rows["alpha_sha256"], strict=True))


def evaluated_recipes(home: Home, *snapshots: str) -> dict[str, list[str]]:
    """Keys `recipe@seed` of the models of each snapshot that may stand side by side.

    Their evaluations are those of the models as they are now, all by the yardstick of the newest one of the first
    snapshot that has any.
    """
    judged = {name: _judged(home, name) for name in snapshots}
    first = next((found for found in judged.values() if found), [])
    yardstick = max(first, key=lambda one: one.judged_s).yardstick if first else ""
    return {name: [one.recipe for one in found if one.yardstick == yardstick] for name, found in judged.items()}


@dataclass(frozen=True)
class _Judged:
    """A model as it is now with an evaluation: by which yardstick, and when, in Unix seconds."""

    recipe: str
    yardstick: str
    judged_s: float


def _judged(home: Home, snapshot: str) -> list[_Judged]:
    keys = [key.split("|") for key in home.tables.partitions("evaluation")]
    found = [(recipe, judged_by(home, snapshot, recipe)) for recipe, of in keys if of == snapshot]
    infos = {recipe: home.tables.info("evaluation", f"{recipe}|{snapshot}") for recipe, _ in found}
    return [
        _Judged(recipe, yardstick, info.made_s)
        for recipe, yardstick in found
        if yardstick is not None and (info := infos[recipe])
    ]


def unevaluated(home: Home, *snapshots: str) -> dict[str, list[str]]:
    """For each snapshot a line for each of its runs that cannot stand in their report: unfinished, not judged as it is
    now, or judged by another yardstick."""
    known = evaluated_recipes(home, *snapshots)
    return {name: list(_left_out(home, name, known[name])) for name in snapshots}


def _left_out(home: Home, snapshot: str, known: Sequence[str]) -> Iterator[str]:
    for path in sorted(home.runs.glob(f"{escape(snapshot)}-*/job.json")):
        run = describe_run(path.parent)
        if run is None or run["run"] != run_id(snapshot, recipe := f"{run['recipe']}@{run['seed']}"):
            continue
        if not run["complete"]:
            yield f"{recipe} is not trained to its end ({run['steps']} steps so far)"
        elif judged_by(home, snapshot, recipe) is None:
            yield f"{recipe} is trained and not evaluated"
        elif recipe not in known:
            again = f"bokehflow train {run['recipe']} --seed {run['seed']} --snapshot {snapshot}"
            yield f"{recipe} was judged by other settings, truth or weights than the newest; judged anew by: {again}"


def judged_by(home: Home, snapshot: str, recipe: str) -> str | None:
    """By which yardstick this very model was judged; None where scores or pictures of it as it is now are not there."""
    run = child(home.runs, run_id(snapshot, recipe))
    info, model = home.tables.info("evaluation", f"{recipe}|{snapshot}"), model_version(run)
    if info is None or not model or not RunFolder(run).translated.is_dir():
        return None
    is_it = f"{info.inputs_version}-".startswith(f"{model}-")
    return info.inputs_version.removeprefix(model).removeprefix("-") if is_it else None


def truth_folder(project: Project, folder: Path) -> Path | None:
    """The folder of rendered scenes with known truth; `folder` is that of the project file."""
    return folder / Path(project.evaluation.truth) if project.evaluation.truth else None


def yardstick_version(project: Project, home: Home, truth: Path | None) -> str:
    """Digest of what models are judged by now, beside the method: settings, weights, and which files the truth has.

    Files are told by name and size, so that a copy of them is the same yardstick.
    """
    from pipeline.evaluation.faces import WEIGHTS_NAME
    from pipeline.evaluation.inception import find_inception

    segmenter, perceptual = SegmenterResource.of(project.masks), project.evaluation.perceptual
    instruments = {
        "segmenter": [segmenter.name, segmenter.published_version()],
        "network": WEIGHTS["vgg16"].sha256 if perceptual else None,
        "faces": WEIGHTS[WEIGHTS_NAME].sha256 if child(home.weights, WEIGHTS[WEIGHTS_NAME].file_name).exists() else None,
        "inception": perceptual and find_inception([home.weights]) is not None,
    }
    if truth is not None:
        files = sorted(path for path in truth.rglob("*") if path.is_file())
        instruments["truth"] = [(path.relative_to(truth).as_posix(), path.stat().st_size) for path in files]
        instruments["scenes"] = [configured_version(project.masks), plan(project).name]
    return canonical_digest(instruments)[:8]


def model_version(run: Path) -> str:
    """Digest of a finished run's generator with the version of how it is judged; nothing while it is unfinished."""
    if (done := completion_of(RunFolder(run))) is None:
        return ""
    from pipeline.evaluation.judge import METHOD_VERSION

    return f"{done.files[generator_file('a_to_b')]}-{METHOD_VERSION}"


def _model_report(home: Home, snapshot: str, recipe: str) -> "ModelReport":
    from pipeline.evaluation.report import ModelReport

    run = RunFolder(child(home.runs, run_id(snapshot, recipe)))
    info = home.tables.info("evaluation", f"{recipe}|{snapshot}")
    card = json.loads(run.card.read_text())
    return ModelReport(
        name=recipe,
        judged_px=card["settings"]["size_px"],
        card=card,
        evaluation=home.tables.read("evaluation", f"{recipe}|{snapshot}"),
        losses=pd.read_parquet(run.losses),
        pictures=run.translated,
        evaluation_digest=info.data_version if info else "",
        snapshot_id=snapshot,
    )
