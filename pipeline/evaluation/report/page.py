"""The report of a snapshot: one HTML file that needs nothing else, for every model trained on it.

Pictures are embedded, styles and the one small script are inline, and a content security policy forbids every
request and every other script. The page is a function of its inputs, date included.
"""

import base64
import datetime
import hashlib
import importlib.resources
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import jinja2
import pandas as pd

from pipeline import atomic
from pipeline.errors import DatasetError
from pipeline.evaluation.compare import outcomes, summary
from pipeline.evaluation.compare import study_claims as claims
from pipeline.evaluation.compare.headline import Headline, headline
from pipeline.evaluation.compare.reference import Against, against
from pipeline.evaluation.compare.significance import MIN_SEEDS, SIGNIFICANCE, p_words
from pipeline.evaluation.compare.softness import SoftnessTable, compare_softness
from pipeline.evaluation.measure import set_scores as sets
from pipeline.evaluation.measure.judged_size import BASELINES, INPUT
from pipeline.evaluation.measure.tiles import Tiles, read_pictures
from pipeline.evaluation.outside import Account
from pipeline.evaluation.people.choices import QUESTIONS
from pipeline.evaluation.people.scores import PeopleSay
from pipeline.evaluation.report import charts, cost_rows, gallery, limits, number_sources
from pipeline.evaluation.report.gallery import Side
from pipeline.evaluation.report.weight_curve import WeightCurve, weight_curve
from pipeline.intervals import LEVEL, RESAMPLES
from pipeline.regions import margin_px
from pipeline.tables import among

FLICKR_NOTICE = "This product uses the Flickr API but is not endorsed or certified by SmugMug, Inc."
MAX_FIGURE_COLUMNS = 4
MAX_COLUMNS = 8
REFERENCE_MODEL = "cyclegan"
"""The architecture that the study's groups are told by."""
SHORT_ID = 6
FEATURES = {
    sets.INCEPTION: ("Inception", "whole pictures"),
    sets.INCEPTION_BACKGROUND: ("Inception", "backgrounds alone"),
    sets.VGG: ("VGG-16", "whole pictures"),
    sets.VGG_BACKGROUND: ("VGG-16", "backgrounds alone"),
}
"""Whose features compare sets, and of what."""
OF_BACKGROUNDS = (sets.INCEPTION_BACKGROUND, sets.VGG_BACKGROUND)


@dataclass(frozen=True)
class ModelReport:
    """One trained model and how it was judged.

    `name` is the model's value in the column `method` of `evaluation`, like `cyclegan@0`. `card` is its model.json,
    `losses` has `step` and one column for each unweighted term, `pictures` is the folder that `judge_model` wrote,
    `evaluation_digest` the data version of the table. `snapshot_id` is empty for the report's own snapshot.
    """

    name: str
    judged_px: int
    card: Mapping[str, object]
    evaluation: pd.DataFrame
    losses: pd.DataFrame
    pictures: Path
    evaluation_digest: str = ""
    snapshot_id: str = ""
    role: str = "model"
    """Under which its pictures lie in the folder: a method from outside has its own."""
    outside: Account | None = None
    """Of a method from outside: what is known of it; None for a trained model."""

    @property
    def recipe(self) -> str:
        """The recipe's name."""
        return str(self.card.get("recipe", self.name))

    @property
    def seed(self) -> int:
        """The seed, 0 where the card names none."""
        seed = self.card.get("seed", 0)
        return seed if isinstance(seed, int) else 0


@dataclass(frozen=True)
class ReportInputs:
    """All that stands in a report.

    `counts` is domain → split → pictures. `domains` is the funnel as `status --json` prints it: for each domain
    `listed`, `pending`, `rejected` (reason → count), `downloaded`, `duplicates` (rule → count), `queued`,
    `undecided`, `kept`, `moved`, `dropped` (reason → count). `credits` has photo_id, title, owner_name,
    license_name and page_url of the test photos at least. `test_photos` is snapshot → photo id → digest of pixels and
    mask, needed where models of several snapshots are compared. `reference` is the model that others are held against.
    `made_on` is the only thing that differs between two reports on the same models by the same code.
    """

    project: str
    snapshot_id: str
    snapshot_digest: str
    config_digest: str
    counts: Mapping[str, Mapping[str, int]]
    domains: Mapping[str, Mapping[str, int | Mapping[str, int]]]
    models: Sequence[ModelReport]
    credits: pd.DataFrame
    made_on: datetime.date
    code_revision: str = "unknown"
    test_photos: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    reference: str | None = None
    outside: Sequence[ModelReport] = ()
    """Methods from outside, for each snapshot and judged size of the models."""
    people: Sequence[PeopleSay] = ()
    """What people said when they compared methods, by question."""
    unseen: int = 0
    """How many photos of the snapshot nobody looked at before they were taken."""
    record: str = ""
    """From which evaluations the report is made, as `sources_record` writes it."""


@dataclass(frozen=True)
class Sets:
    """Test sets against domain B by one network's features, whole or without the subjects."""

    title: str
    network: str
    rows: list[summary.SetScores]


@dataclass(frozen=True)
class SoftnessPanel:
    """How soft backgrounds are, against a snapshot's domain B."""

    title: str
    table: SoftnessTable


@dataclass(frozen=True)
class OutcomeGroup:
    """Models that may be compared with one another: judged at one size, on pictures that they share."""

    title: str
    judged_px: int
    margin_px: int
    models: list[str]
    photos: summary.Comparison
    content: summary.Comparison | None
    weights: WeightCurve | None
    """Of the semantic loss, where there are several."""
    faults: summary.Comparison
    softness: list[SoftnessPanel]
    sets: list[Sets]
    scenes: summary.Comparison | None
    conditions: summary.Conditions | None
    strip: charts.Strip
    scatter: charts.Scatter | None
    pairs: summary.Pairs
    recipes: summary.Recipes
    outcomes: outcomes.Outcomes
    iou_photos: summary.Iou
    iou_scenes: summary.Iou
    scores: pd.DataFrame


def write_report(path: Path, inputs: ReportInputs) -> Path:
    """Write the report to `path` atomically and return it; under 8 MB.

    Raises `DatasetError` without models, when two share a name, or when a model's pictures are missing.
    """
    if not inputs.models:
        raise DatasetError(f"snapshot {inputs.snapshot_id} has no evaluated model to report on; train and evaluate one")
    models = _told_apart(inputs)
    models += _outside(inputs, models)
    names = [model.name for model in models]
    if len(set(names)) < len(names):
        raise DatasetError(f"snapshot {inputs.snapshot_id}: two models share a name among {', '.join(sorted(names))}")
    atomic.write_text(path, _render(inputs, models))
    return path


def _told_apart(inputs: ReportInputs) -> list[ModelReport]:
    """The models by name, those of the report's own snapshot first; of several snapshots each with its snapshot's."""
    models = [replace(model, snapshot_id=model.snapshot_id or inputs.snapshot_id) for model in inputs.models]
    models.sort(key=lambda model: (model.snapshot_id != inputs.snapshot_id, model.snapshot_id, model.name))
    if len({model.snapshot_id for model in models}) < 2:
        return models
    return [_renamed(model, f"{model.name}·{model.snapshot_id[:SHORT_ID]}") for model in models]


def _outside(inputs: ReportInputs, models: Sequence[ModelReport]) -> list[ModelReport]:
    """The methods from outside, each with its snapshot's and size's where there are several."""
    methods = [replace(one, snapshot_id=one.snapshot_id or inputs.snapshot_id) for one in inputs.outside]
    sizes, snapshots = ({getattr(one, name) for one in models} for name in ("judged_px", "snapshot_id"))
    found = []
    for method in sorted(methods, key=lambda one: (one.name, one.snapshot_id != inputs.snapshot_id, one.judged_px)):
        end = f"·{method.snapshot_id[:SHORT_ID]}" if len(snapshots) > 1 else ""
        end += f"·{method.judged_px}px" if len(sizes) > 1 else ""
        found.append(_renamed(method, method.name + end) if end else method)
    return found


def _renamed(model: ModelReport, name: str) -> ModelReport:
    methods = {model.name + end: name + end for end in ("", summary.PLAIN, summary.OVERLAID)}
    return replace(model, name=name, evaluation=model.evaluation.replace({"method": methods}))


def _render(inputs: ReportInputs, models: Sequence[ModelReport]) -> str:
    colours = _colours(models)
    shelves = {model.name: shelf_of(model) for model in models}
    trained = [model for model in models if model.outside is None]
    common = _common_photos(inputs, models)
    groups = _groups(models, common, _pictured(shelves))
    columns = _figure_columns(groups, shelves)
    sides, left_out = gallery.collect_sides(shelves, inputs.credits, [photo_id for _, photo_id in columns])
    by_id = {side.photo_id: side for side in sides}
    in_figure = [photo_id for _, photo_id in columns if photo_id in by_id]
    others = [side for side in sides if side.photo_id not in in_figure]
    script = (
        importlib.resources.files("pipeline.evaluation.report").joinpath("templates/report.js").read_text(encoding="utf-8")
    )
    anchors = {model.name: f"model-{index}" for index, model in enumerate(models, 1)}
    return (
        environment()
        .get_template("report.html")
        .render(
            inputs=inputs,
            models=trained,
            outside=[model for model in models if model.outside is not None],
            headlines=_headlines(models, groups, inputs.reference),
            groups=groups,
            questions=QUESTIONS,
            of_content=all(summary.is_of_content(group.scores) for group in groups),
            colour_distances=_colour_distances(models),
            panels=charts.loss_panels({model.name: model.losses for model in trained}, colours),
            claims=_claims(trained),
            claim=claims,
            models_table=[_costs(models, cost_rows.PRICES), _costs(models, cost_rows.WAYS_BACK)],
            panel=charts,
            colours={
                name + end: colour for name, colour in colours.items() for end in ("", summary.PLAIN, summary.OVERLAID)
            },
            anchors={
                name + end: anchor for name, anchor in anchors.items() for end in ("", summary.PLAIN, summary.OVERLAID)
            },
            figure=gallery.figure([(words, by_id[photo_id]) for words, photo_id in columns if photo_id in by_id]),
            scenes=[side for side in others if side.credit is None],
            photos=[side for side in others if side.credit is not None],
            columns=_columns(max((len(side.tiles) for side in sides), default=1)),
            left_out=left_out,
            table=_photo_table(groups, inputs.credits, by_id),
            table_metrics=_table_metrics(groups),
            data=_viewer_data(groups, inputs.credits, sides),
            funnels={domain: number_sources.funnel_lines(counts) for domain, counts in inputs.domains.items()},
            facts=[number_sources.model_facts(model.name, anchors[model.name], model.card) for model in trained],
            limits=_limits(inputs, models, groups, common),
            notice=FLICKR_NOTICE if any(photo_id.startswith("flickr:") for photo_id in by_id) else "",
            significance={"alpha": SIGNIFICANCE, "level": LEVEL, "resamples": RESAMPLES, "seeds": MIN_SEEDS},
            method_label=summary.method_label,
            anchor_of=gallery.anchor_of,
            references=_references(models),
            photo_names={side.photo_id: side.name for side in sides},
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )


def shelf_of(model: ModelReport) -> dict[str, Tiles]:
    """Its pictures by photo, its own under the role `model`; those of methods from outside are in columns of their own.

    Where nobody was looked for, masks are black all over and left out.
    """
    shared = gallery.TILE_LABELS.keys() - ({gallery.MASK_ROLE} if summary.is_of_content(model.evaluation) else set())
    found = {}
    for tiles in read_pictures(model.pictures):
        if model.role in tiles.files:
            own = {role: path for role, path in tiles.files.items() if role in shared}
            found[tiles.photo_id] = Tiles(tiles.photo_id, {**own, gallery.MODEL_ROLE: tiles.files[model.role]})
    return found


def _columns(tiles: int) -> int:
    """Columns of so many tiles, in as few rows of equal length as fit."""
    return -(-tiles // -(-tiles // MAX_COLUMNS))


@cache
def environment() -> jinja2.Environment:
    """Of all pages of scores; one for the process, since a page of theirs takes longer to compile than to fill in."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.evaluation.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"sort_keys": True, "separators": (",", ":"), "ensure_ascii": False}
    environment.filters["p"] = p_words
    environment.filters["signed"] = lambda value, digits: f"{value:+.{digits}f}".replace("-", "−")
    return environment


def _colours(models: Sequence[ModelReport]) -> dict[str, int]:
    """A colour for each recipe (and snapshot), which its seeds share."""
    kinds = list(dict.fromkeys((model.snapshot_id, model.recipe) for model in models))
    return {model.name: kinds.index((model.snapshot_id, model.recipe)) % charts.COLOURS for model in models}


def _common_photos(inputs: ReportInputs, models: Sequence[ModelReport]) -> set[str] | None:
    """Test photos that all snapshots have with the same pixels and mask; None with a single snapshot."""
    snapshots = list(dict.fromkeys(model.snapshot_id for model in models))
    if len(snapshots) < 2:
        return None
    known = [set(inputs.test_photos.get(snapshot, {}).items()) for snapshot in snapshots]
    return {photo_id for photo_id, _ in set.intersection(*known)}


def _groups(models: Sequence[ModelReport], common: set[str] | None, pictured: set[str]) -> list[OutcomeGroup]:
    """By size; where snapshots share no photo, by snapshot too."""
    keys = sorted({(model.judged_px, "" if common or common is None else model.snapshot_id) for model in models})
    return [
        _group(
            f"snapshot {snapshot}" if snapshot else "",
            [model for model in models if model.judged_px == size and snapshot in ("", model.snapshot_id)],
            common,
            pictured,
        )
        for size, snapshot in keys
    ]


def _group(title: str, models: Sequence[ModelReport], common: set[str] | None, pictured: set[str]) -> OutcomeGroup:
    names = [model.name for model in models]
    scores = summary.merge({model.name: _on_common(model.evaluation, common) for model in models})
    scenes = summary.compare_scenes(scores, names)
    return OutcomeGroup(
        title=title,
        judged_px=models[0].judged_px,
        margin_px=margin_px(models[0].judged_px),
        models=names,
        photos=summary.compare_photos(scores, names),
        content=_content(scores, names),
        weights=weight_curve(models, scores),
        faults=summary.compare_faults(scores, names),
        softness=_softness(models),
        sets=_sets(models),
        scenes=scenes if scenes.pictures else None,
        conditions=summary.by_condition(scores, names),
        strip=_strip(scores, names),
        scatter=_scatter(scores, names),
        pairs=summary.compare_pairs(scores, names),
        recipes=summary.compare_recipes(scores, _runs(models)),
        outcomes=outcomes.sort_photos(scores, names, _references(models), pictured),
        iou_photos=summary.segmenter_iou(scores, scenes=False),
        iou_scenes=summary.segmenter_iou(scores, scenes=True),
        scores=scores,
    )


def _content(scores: pd.DataFrame, names: Sequence[str]) -> summary.Comparison | None:
    """What is left of what inputs show; None where no parser looked."""
    found = summary.compare_content(scores, names)
    return found if found.metrics else None


def _on_common(table: pd.DataFrame, common: set[str] | None) -> pd.DataFrame:
    """Without the photos that only some snapshots have; scenes and sets stay."""
    if not common:
        return table
    is_photo = ~table["photo_id"].str.startswith((summary.SCENE_PREFIX, summary.SET_PREFIX))
    return table[~is_photo | among(table["photo_id"], common)]


def _by_snapshot(models: Sequence[ModelReport]) -> Iterator[tuple[str, pd.DataFrame, list[str]]]:
    """In words which snapshot, where there are several; the scores of its models, and their names."""
    for snapshot in dict.fromkeys(model.snapshot_id for model in models):
        of_it = [model for model in models if model.snapshot_id == snapshot]
        where = f", snapshot {snapshot}" if len({model.snapshot_id for model in models}) > 1 else ""
        yield where, summary.merge({model.name: model.evaluation for model in of_it}), [model.name for model in of_it]


def _softness(models: Sequence[ModelReport]) -> list[SoftnessPanel]:
    """Each snapshot's models against its own domain B."""
    found = [(where, compare_softness(scores, names)) for where, scores, names in _by_snapshot(models)]
    return [SoftnessPanel(f"Method{where}", table) for where, table in found if table]


def _sets(models: Sequence[ModelReport]) -> list[Sets]:
    """Each snapshot's models against its own domain B."""
    found = []
    for where, scores, names in _by_snapshot(models):
        for prefix, (network, what) in FEATURES.items():
            if prefix in OF_BACKGROUNDS and summary.is_of_content(scores):
                continue  # of studies without subjects all is background, and measured as a whole above
            found.append(Sets(what + where, network, summary.compare_sets(scores, names, prefix)))
    return [one for one in found if one.rows]


def _colour_distances(models: Sequence[ModelReport]) -> list[tuple[str, str, float]]:
    """Method, label and distance of its colours to domain B's; none where no parser looked."""
    found = {}
    for model in models:
        table = model.evaluation
        for method, value in table.loc[table["metric"] == "colour_distance", ["method", "value"]].itertuples(index=False):
            found.setdefault(str(method), float(value))
    order = [INPUT, *(model.name for model in models)]
    return [(method, summary.method_label(method), found[method]) for method in order if method in found]


def _runs(models: Sequence[ModelReport]) -> dict[str, list[str]]:
    """Recipe (of one snapshot) → its models."""
    several = len({model.snapshot_id for model in models}) > 1
    runs: dict[str, list[str]] = {}
    for model in (one for one in models if one.outside is None):
        runs.setdefault(model.recipe + (f"·{model.snapshot_id[:SHORT_ID]}" if several else ""), []).append(model.name)
    return runs


def _references(models: Sequence[ModelReport]) -> dict[str, str]:
    """For each model the run of `cyclegan` on its snapshot, of the same seed or else the first."""
    found = {}
    for model in models:
        runs = [one for one in models if one.card.get("model") == REFERENCE_MODEL and one.snapshot_id == model.snapshot_id]
        if runs:
            found[model.name] = next((one for one in runs if one.seed == model.seed), runs[0]).name
    # A second seed of `cyclegan` is held against nothing: it is the measure itself.
    measures = {model.name for model in models if model.card.get("model") == REFERENCE_MODEL}
    return {name: name if name in measures else reference for name, reference in found.items()}


def _strip(scores: pd.DataFrame, models: Sequence[str]) -> charts.Strip:
    roles = {INPUT: "reference", **dict.fromkeys(BASELINES, "baseline"), **dict.fromkeys(models, "model")}
    metric = summary.TRUTH
    values = {method: summary.scores_of(scores, metric.name, method, scenes=True) for method in roles}
    return charts.strip(values, summary.METHOD_LABELS, roles, metric.digits)


def _scatter(scores: pd.DataFrame, models: Sequence[str]) -> charts.Scatter | None:
    """Preservation (subject SSIM, up) against blur (lost background sharpness, right)."""
    methods = [INPUT, *BASELINES, *models]
    blur = {name: 1 - summary.scores_of(scores, summary.BLUR.name, name, scenes=False) for name in methods}
    kept = {name: summary.scores_of(scores, summary.SUBJECT.name, name, scenes=False) for name in methods}
    return charts.scatter(blur, kept, [INPUT, *BASELINES], {name: summary.method_label(name) for name in methods})


def _headlines(
    models: Sequence[ModelReport], groups: Sequence[OutcomeGroup], reference: str | None
) -> list[tuple[str, Headline, Against | None]]:
    """Each model's result, and how it stands against the configured reference of its own snapshot."""
    found = []
    for model in models:
        (group,) = [one for one in groups if model.name in one.models]
        rivals = [one.name for one in models if one.name.split("·")[0] == reference and one.snapshot_id == model.snapshot_id]
        rival = rivals[0] if rivals and rivals[0] in group.models and rivals[0] != model.name else None
        against_it = against(group.scores, model.name, rival) if rival else None
        result = headline(model.evaluation, model.name)
        if model.outside is not None:
            result = replace(result, sentences=[model.outside.words, *result.sentences])
        found.append((model.name, result, against_it))
    return found


def _claims(models: Sequence[ModelReport]) -> list[claims.OverlayClaim]:
    found = []
    for snapshot in dict.fromkeys(model.snapshot_id for model in models):
        found += claims.overlay_claims([_run(model) for model in models if model.snapshot_id == snapshot])
    return found


def _run(model: ModelReport) -> claims.Run:
    settings = model.card.get("settings")
    known = {str(key): value for key, value in settings.items()} if isinstance(settings, Mapping) else {}
    return claims.Run(model.name, str(model.card.get("model", "")), model.seed, known, model.losses)


def _costs(models: Sequence[ModelReport], measures: Sequence[cost_rows.Measure]) -> cost_rows.ModelTable | None:
    scores = pd.concat([model.evaluation for model in models], ignore_index=True)
    return cost_rows.model_table(scores, [model.name for model in models], measures)


def _pictured(shelves: Mapping[str, Mapping[str, Tiles]]) -> set[str]:
    return {photo_id for shelf in shelves.values() for photo_id in shelf if not gallery.is_scene(photo_id)}


def _figure_columns(groups: Sequence[OutcomeGroup], shelves: Mapping[str, Mapping[str, Tiles]]) -> list[tuple[str, str]]:
    """Words and photo for each column of the study's figure: the groups' most typical, then further photos."""
    chosen: dict[str, list[str]] = {}
    for group in groups:
        for outcome in group.outcomes.outcomes:
            if outcome.typical is not None:
                words = outcome.group.capitalize() + (f": {outcome.typical.model}" if outcome.typical.model else "")
                chosen.setdefault(outcome.typical.photo_id, []).append(words)
    columns = [(" · ".join(dict.fromkeys(words)), photo_id) for photo_id, words in chosen.items()]
    further = [photo_id for photo_id in sorted(_pictured(shelves), key=gallery.chance) if photo_id not in chosen]
    head = "Further example" if columns else "Example"
    return [*columns, *((head, photo_id) for photo_id in further)][: max(len(columns), MAX_FIGURE_COLUMNS)]


TABLE_METRICS = (
    summary.SUBJECT,
    summary.BLUR,
    *(metric for metric in summary.PHOTO_METRICS if metric.name == "subject_colour_shift"),
    *(metric for metric in summary.FAULT_METRICS if metric.name == "imagined"),
)
"""What the page tells of single photos."""
SCENE_TABLE_METRICS = (summary.TRUTH, *(metric for metric in summary.SCENE_METRICS if metric.name == "truth_subject_l1"))


def _table_metrics(groups: Sequence[OutcomeGroup]) -> Sequence[summary.Metric]:
    """What the page tells of single photos: of those without subjects, how much of their content is kept."""
    return summary.CONTENT_METRICS if all(summary.is_of_content(group.scores) for group in groups) else TABLE_METRICS


@dataclass(frozen=True)
class PhotoRow:
    """One test photo under every model: a line of values for each."""

    photo_id: str
    anchor: str
    credit: gallery.Credit
    pictured: bool
    lines: list[tuple[str, list[str]]]


def _photo_table(groups: Sequence[OutcomeGroup], credits: pd.DataFrame, shown: Mapping[str, Side]) -> list[PhotoRow]:
    known = credits.drop_duplicates("photo_id").set_index("photo_id")
    lines: dict[str, list[tuple[str, list[str]]]] = {}
    for group in groups:
        methods = summary.with_variants(group.scores, group.models)
        for photo_id, method, values in _single_scores(group.scores, methods, _table_metrics(groups), scenes=False):
            lines.setdefault(photo_id, []).append((method, values))
    return [
        PhotoRow(
            photo_id, gallery.anchor_of(photo_id), gallery.credit_of(known, photo_id), photo_id in shown, lines[photo_id]
        )
        for photo_id in sorted(lines)
    ]


def _single_scores(
    scores: pd.DataFrame, methods: Sequence[str], metrics: Sequence[summary.Metric], scenes: bool
) -> list[tuple[str, str, list[str]]]:
    """Photo or scene, method, and the values of the metrics as words, where the method has any."""
    found = []
    for method in methods:
        columns = [summary.scores_of(scores, metric.name, method, scenes) for metric in metrics]
        photos = sorted({str(one) for column in columns for one in column.index})
        for photo_id in (one for one in photos if not one.startswith(summary.SET_PREFIX)):
            cells = zip(metrics, columns, strict=True)
            found.append((photo_id, method, [_value_words(column.get(photo_id), metric.digits) for metric, column in cells]))
    return found


def _value_words(value: object, digits: int) -> str:
    return f"{value:.{digits}f}" if isinstance(value, float) and value == value else "–"


def _viewer_data(groups: Sequence[OutcomeGroup], credits: pd.DataFrame, sides: Sequence[Side]) -> list[dict[str, object]]:
    """What the script knows of photos and scenes beside their pictures: names, and scores by method.

    Those with pictures come first, in the order in which the page shows them.
    """
    known = credits.drop_duplicates("photo_id").set_index("photo_id")
    names = {side.photo_id: side.name for side in sides}
    scores: dict[str, list[tuple[str, list[str]]]] = {photo_id: [] for photo_id in names}
    of_photos = _table_metrics(groups)
    for scenes, metrics in ((False, of_photos), (True, SCENE_TABLE_METRICS)):
        for group in groups:
            methods = [*BASELINES, *summary.with_variants(group.scores, group.models)]
            for photo_id, method, values in _single_scores(group.scores, methods, metrics, scenes):
                if photo_id in names or not scenes:
                    scores.setdefault(photo_id, []).append((summary.method_label(method), values))
    return [
        {
            "anchor": gallery.anchor_of(photo_id),
            "name": names.get(photo_id) or gallery.credit_of(known, photo_id).title or photo_id,
            "metrics": [one.label for one in (SCENE_TABLE_METRICS if gallery.is_scene(photo_id) else of_photos)],
            "scores": lines,
        }
        for photo_id, lines in scores.items()
    ]


def _limits(
    inputs: ReportInputs, models: Sequence[ModelReport], groups: Sequence[OutcomeGroup], common: set[str] | None
) -> list[str]:
    snapshots = list(dict.fromkeys(model.snapshot_id for model in models))
    counts = {snapshot: len(inputs.test_photos.get(snapshot, {})) for snapshot in snapshots}
    of_content = all(summary.is_of_content(group.scores) for group in groups)
    return [
        *limits.limits_of_review(inputs.unseen),
        *limits.limits_of_snapshots(counts, len(common or ())),
        *limits.limits_of_seeds(_runs(models)),
        *limits.limits_of_outside({model.name: model.outside.words for model in models if model.outside is not None}),
        *limits.limits_of_sizes([model.judged_px for model in models]),
        *limits.limits_of_pictures({model.name: model.evaluation for model in models}),
        *(limits.LIMITS_OF_CONTENT if of_content else limits.LIMITS_OF_MEASURES),
        *([limits.LIMIT_OF_VGG] if any(one.network == "VGG-16" for group in groups for one in group.sets) else []),
    ]
