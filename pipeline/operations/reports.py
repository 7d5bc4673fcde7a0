"""What the report of a snapshot shows, and by which yardstick each of its models was judged."""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.config import Project
from pipeline.dataset.exported import picture_ids
from pipeline.dataset.snapshot import attribution, read_facts, read_snapshot
from pipeline.errors import DatasetError
from pipeline.evaluation.measure.instruments import FACES_WEIGHTS, METHOD_VERSION, find_inception
from pipeline.file_names import child, expanded
from pipeline.hint_table import SUGGESTED
from pipeline.masks.sources import configured_version
from pipeline.models import MODELS_OF_DEPTH
from pipeline.operations.former_versions import former_judgement
from pipeline.operations.judged_pictures import is_test
from pipeline.operations.made_from import code_revision
from pipeline.operations.outside import method_version
from pipeline.operations.photo_tables import shown_titles
from pipeline.operations.training import run_folder, run_id
from pipeline.operations.training_images import plan
from pipeline.parquet_files import parquet_path
from pipeline.plain_files import is_there, read_plain_text
from pipeline.tables import among
from pipeline.training.recipes import canonical_digest
from pipeline.training.runs import RunFolder, completion_of, describe_run, model_version
from pipeline.weights import WEIGHTS
from resources.segmenter import SegmenterResource
from storage import Home, TableInfo
from storage.provenance import Provenance, differences

DEPTH_METHOD_VERSION = "depth 2"
"""Of the way in which models of depth are judged; a new one makes their evaluations due."""
logger = logging.getLogger(__name__)

MODEL, YARDSTICK = "trained_model", "yardstick"
"""Where the provenance of an evaluation holds the digest of the model and of all that it was judged by."""
OUTSIDE = "evaluation.methods"
"""And the digests of the methods from outside that were judged with it."""
INSTRUMENTS = {
    "segmenter": "segmenter",
    "network": "perceptual network",
    "faces": "face detector",
    "inception": "network of the kernel distance",
    "parser": "parser",
    "truth": "known truth",
    "scenes": "way in which scenes are prepared",
}
"""What models are judged by, in words that "… changed" can follow."""

if TYPE_CHECKING:
    # What judges and draws takes a second to import, which only those wait for who do it.
    from pipeline.evaluation.compare.reference import Against
    from pipeline.evaluation.people.scores import PeopleSay
    from pipeline.evaluation.report.page import ModelReport, ReportInputs


def credits_of(home: Home, rows: pd.DataFrame) -> pd.DataFrame:
    """Whose each picture is, by what it is called in scores; who reads a report knows their own photos by their files."""
    names = rows[["domain", "photo_id"]].assign(picture=picture_ids(rows))
    found = attribution(rows).merge(names, on=["domain", "photo_id"])
    found["title"] = shown_titles(home, found)
    return found.drop(columns="photo_id").rename(columns={"picture": "photo_id"})


def against_reference(home: Home, snapshot: str, recipe: str, reference: str) -> "Against | None":
    """How the model stands against the reference on the same pictures; None where they were judged at different sizes."""
    from pipeline.evaluation.compare.reference import against
    from pipeline.evaluation.compare.summary import merge

    tables = {one: home.tables.read("evaluation", f"{one}|{snapshot}") for one in (recipe, reference)}
    size = {one: _size_px(home, snapshot, one) for one in tables}
    return against(merge(tables), recipe, reference) if size[recipe] == size[reference] else None


def _size_px(home: Home, snapshot: str, recipe: str) -> int:
    return int(json.loads(read_plain_text(run_folder(home, snapshot, recipe).card))["settings"]["size_px"])


def report_inputs(project: Project, home: Home, snapshot: str, others: Sequence[str] = ()) -> "ReportInputs":
    """All that the report of a snapshot shows; with `others` their models stand beside its own.

    Raises `DatasetError` for an unknown snapshot, and for one of `others` without a model that was judged by the same
    yardstick.
    """
    from pipeline.evaluation.report.page import ReportInputs
    from pipeline.evaluation.report.sources_record import record_of

    snapshots = list(dict.fromkeys([snapshot, *others]))
    rows = {name: read_snapshot(home.snapshots, name) for name in snapshots}
    tests = {name: test_rows(project, of_it) for name, of_it in rows.items()}
    recipes = evaluated_recipes(home, *snapshots)
    models = {name: [model_report(home, name, one) for one in recipes[name]] for name in snapshots}
    if bare := [name for name in snapshots[1:] if not models[name]]:
        told = "; ".join(unevaluated(home, *snapshots)[bare[0]]) or "train and evaluate one"
        raise DatasetError(f"snapshot {bare[0]} has no evaluated model to compare with: {told}")
    facts = read_facts(home.snapshots, snapshot)
    people = [] if others else _people(home, snapshot, models[snapshot])
    return ReportInputs(
        project=project.project.name,
        snapshot_id=snapshot,
        snapshot_digest=facts["sha256"],
        config_digest=project.version(),
        counts=facts["counts"],
        domains=facts["made_from"].get("counts", {}),
        models=[without_outside(model, home) for of_it in models.values() for model in of_it],
        outside=[one for name, of_it in models.items() for one in outside_reports(home, name, of_it)],
        credits=pd.concat([credits_of(home, rows) for rows in tests.values()]).drop_duplicates("photo_id"),
        made_on=datetime.now(UTC).date(),
        code_revision=code_revision(),
        test_photos={name: _digests(rows) for name, rows in tests.items()},
        reference=project.evaluation.reference,
        people=people,
        unseen=rows[snapshot].loc[rows[snapshot]["curator"] == SUGGESTED, "photo_id"].nunique(),
        record=record_of({model.name: model.evaluation_digest for model in models[snapshot]}),
    )


def _people(home: Home, snapshot: str, models: Sequence["ModelReport"]) -> "list[PeopleSay]":
    """What follows from the answers of people who compared these models; nothing where nobody did."""
    from pipeline.evaluation.compare.summary import merge
    from pipeline.evaluation.people.choices import QUESTIONS
    from pipeline.evaluation.people.scores import people_say
    from pipeline.operations.comparison_answers import choices_of

    choices, problems = choices_of(home, snapshot)
    for problem in problems:
        logger.warning("not counted: %s", problem)
    if not choices or not models:
        return []
    scores = merge({model.name: model.evaluation for model in models})
    known = set(scores["photo_id"])
    if strange := sum(one.photo_id not in known for one in choices):
        logger.warning("not counted: %d answers about photos that no model here was judged on", strange)
    choices = [one for one in choices if one.photo_id in known]
    return [said for question in QUESTIONS if (said := people_say(choices, question, scores))]


def write_reports(path: Path, inputs: "ReportInputs") -> list[Path]:
    """Write the report to `path`; where some models predict depth and others translate, the former's stands beside it.

    Either records all evaluations; the page at `path`, whose record tells whether the report is due, is written last. Raises
    what the pages raise.
    """
    from pipeline.evaluation.report.depth_page import write_depth_report
    from pipeline.evaluation.report.page import write_report

    of_depth = [model for model in inputs.models if predicts_depth(model)]
    others = [model for model in inputs.models if not predicts_depth(model)]
    beside = child(path.parent, f"{path.stem}-depth{path.suffix}") if others else path
    written = [write_depth_report(beside, replace(inputs, models=of_depth))] if of_depth else []
    return ([write_report(path, replace(inputs, models=others))] if others or not of_depth else []) + written


def predicts_depth(model: "ModelReport") -> bool:
    """Whether the model predicts depth instead of translating pictures."""
    return model.card.get("model") in MODELS_OF_DEPTH


def test_rows(project: Project, manifest: pd.DataFrame) -> pd.DataFrame:
    return manifest[is_test(manifest, project)]


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
    run = run_folder(home, snapshot, recipe)
    info, model = home.tables.info("evaluation", f"{recipe}|{snapshot}"), model_version(run)
    if info is None or not model or not run.translated.is_dir():
        return None
    found = judgement(info)
    return found.yardstick if (found.model, found.method) == (model, _method_version(run)) else None


def _method_version(run: RunFolder) -> str:
    """Of how models of the run's kind are judged."""
    return DEPTH_METHOD_VERSION if is_of_depth(run) else METHOD_VERSION


def is_of_depth(run: RunFolder) -> bool:
    """Whether the run's model predicts depth instead of translating pictures."""
    done = completion_of(run)
    return done is not None and done.model in MODELS_OF_DEPTH


@dataclass(frozen=True)
class Judgement:
    """What an evaluation says of itself: the digest of the model, the version of the method, the yardstick."""

    model: str
    method: str
    yardstick: str


def judgement(info: TableInfo) -> Judgement:
    told = info.provenance
    if told is None:
        return Judgement(*former_judgement(info))
    return Judgement(told.tables.get(MODEL, {}).get("", ""), told.code_version, told.notes.get(YARDSTICK, ""))


def why_judge_again(project: Project, home: Home, truth: Path | None, snapshot: str, recipe: str) -> list[str]:
    """In words why a finished model's evaluation is not the one that would be made now; empty where it is."""
    info, run = home.tables.info("evaluation", f"{recipe}|{snapshot}"), run_folder(home, snapshot, recipe)
    if info is None:
        return ["was never judged"]
    if not run.translated.is_dir():
        return ["its pictures are missing"]
    required = evaluation_provenance(project, home, truth, run)
    if info.provenance is not None:
        return differences(info.provenance, required, {})
    same = judged_by(home, snapshot, recipe) == required.notes[YARDSTICK]
    return [] if same else ["the model, or what it is judged by, changed; an older version kept no record of which"]


def evaluation_provenance(project: Project, home: Home, truth: Path | None, run: RunFolder) -> Provenance:
    """From what the evaluation of a finished run would be made now."""
    instruments = _instruments(project, home, truth)
    methods = [] if is_of_depth(run) else project.evaluation.methods
    outside = {method.name: method_version(method) for method in methods}
    versions = {INSTRUMENTS[name]: canonical_digest({name: value})[:16] for name, value in instruments.items() if value}
    return Provenance(
        _method_version(run),
        {"evaluation.perceptual": project.evaluation.perceptual},
        {MODEL: {"": model_version(run)}, **({OUTSIDE: outside} if outside else {})},
        versions,
        {YARDSTICK: yardstick_version(project, home, truth)},
    )


def truth_folder(project: Project, folder: Path) -> Path | None:
    """The folder of rendered scenes with known truth; `folder` is that of the project file."""
    return folder / expanded(project.evaluation.truth) if project.evaluation.truth else None


def yardstick_version(project: Project, home: Home, truth: Path | None) -> str:
    """Digest of what models are judged by now, beside the method: settings, weights, and which files the truth has.

    Files are told by name and size, so that a copy of them is the same yardstick.
    """
    return canonical_digest(_instruments(project, home, truth))[:8]


def _instruments(project: Project, home: Home, truth: Path | None) -> dict[str, object]:
    segmenter, perceptual = SegmenterResource(project.masks), project.evaluation.perceptual
    instruments: dict[str, object] = {
        "segmenter": [segmenter.name, segmenter.published_version()],
        "network": WEIGHTS["vgg16"].sha256 if perceptual else None,
        "faces": WEIGHTS[FACES_WEIGHTS].sha256 if is_there(child(home.weights, WEIGHTS[FACES_WEIGHTS].file_name)) else None,
        "inception": perceptual and find_inception([home.weights]) is not None,
    }
    if project.evaluation.parser is not None:
        instruments["parser"] = project.evaluation.parser
    if truth is not None:
        files = sorted(path for path in truth.rglob("*") if path.is_file())
        instruments["truth"] = [(path.relative_to(truth).as_posix(), path.stat().st_size) for path in files]
        instruments["scenes"] = [configured_version(project.masks), plan(project).name]
    return instruments


def outside_names(home: Home, snapshot: str, recipe: str) -> dict[str, str]:
    """The methods from outside that an evaluation was made with, each with its digest."""
    info = home.tables.info("evaluation", f"{recipe}|{snapshot}")
    return dict(info.provenance.tables.get(OUTSIDE, {})) if info and info.provenance else {}


def without_outside(model: "ModelReport", home: Home) -> "ModelReport":
    """The model without the scores of methods from outside, which have columns of their own."""
    names = outside_names(home, model.snapshot_id, model.name)
    table = model.evaluation
    return replace(model, evaluation=table[~among(table["method"], names)]) if names else model


def outside_reports(home: Home, snapshot: str, models: Sequence["ModelReport"]) -> "Iterator[ModelReport]":
    """Methods from outside at each size that models of the snapshot were judged at, as the newest evaluation has them."""
    infos = {model.name: home.tables.info("evaluation", f"{model.name}|{snapshot}") for model in models}
    made_s = {name: info.made_s if info else 0.0 for name, info in infos.items()}
    newest = sorted(models, key=lambda model: made_s[model.name], reverse=True)
    done: set[tuple[str, int]] = set()
    for model in newest:
        for method, version in outside_names(home, snapshot, model.name).items():
            if (method, model.judged_px) not in done:
                done.add((method, model.judged_px))
                yield _outside_report(home, model, method, version)


def _outside_report(home: Home, model: "ModelReport", method: str, version: str) -> "ModelReport":
    """A method from outside as the evaluation of `model` has it."""
    from pipeline.evaluation.outside import Account
    from pipeline.operations.outside_judging import method_folder, read_account

    others = set(outside_names(home, model.snapshot_id, model.name)) - {method}
    methods = model.evaluation["method"].astype(str)
    table = model.evaluation[~methods.str.contains("@") & ~among(methods, others)]
    account = read_account(method_folder(home.evaluations, model.snapshot_id, method, version), model.judged_px)
    of_photos = table[~table["photo_id"].str.contains(r"^(?:set|scene):")]
    judged = of_photos.loc[(of_photos["method"] == method) & of_photos["value"].notna(), "photo_id"].nunique()
    facts = (
        replace(account, judged=judged)
        if account
        else Account("not on record any more", method, version, of_photos["photo_id"].nunique(), judged)
    )
    return replace(
        model,
        name=method,
        card={"recipe": method, "seed": 0},
        evaluation=table,
        losses=model.losses.iloc[:0],
        role=method,
        outside=facts,
    )


def model_report(home: Home, snapshot: str, recipe: str) -> "ModelReport":
    from pipeline.evaluation.report.page import ModelReport

    run = run_folder(home, snapshot, recipe)
    info = home.tables.info("evaluation", f"{recipe}|{snapshot}")
    card = json.loads(read_plain_text(run.card))
    return ModelReport(
        name=recipe,
        judged_px=card["settings"]["size_px"],
        card=card,
        evaluation=home.tables.read("evaluation", f"{recipe}|{snapshot}"),
        losses=pd.read_parquet(parquet_path(run.losses)),
        pictures=run.translated,
        evaluation_digest=info.data_version if info else "",
        snapshot_id=snapshot,
    )
