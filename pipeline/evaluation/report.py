"""The report of a snapshot: one HTML file that needs nothing else, for every model trained on it.

Pictures are embedded, styles are inline, there is no script, and a content security policy forbids every
request. The page is a function of its inputs, date included.
"""

import base64
import datetime
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jinja2
import pandas as pd
from PIL import Image

from pipeline import atomic
from pipeline.errors import DatasetError
from pipeline.evaluation import charts, summary
from pipeline.evaluation.judge import BASELINES, INPUT, TRUE_LENS
from pipeline.evaluation.metrics import margin_px
from pipeline.evaluation.pictures import Tiles, read_pictures
from pipeline.links import is_web

FunnelKind = Literal["stage", "loss", "waiting", "moved"]

MAX_USER_PHOTOS = 30
"""Flickr's terms allow no more on a page."""
FLICKR_NOTICE = "This product uses the Flickr API but is not endorsed or certified by SmugMug, Inc."
TILE_EDGE_PX = 256
MAX_COLUMNS = 8
LOSSLESS_EDGE_PX = 96
"""Tiles up to this size are embedded as PNG, since compression would show at so few pixels."""
PICTURE_BUDGET_BYTES = 6_000_000
"""Embedded pictures of all photos and scenes together; what does not fit is left out and counted."""

MODEL_ROLE, MASK_ROLE = "model", "mask"
TILE_LABELS = {
    INPUT: "Input",
    MASK_ROLE: "Mask",
    "average_5x5": "Average 5×5",
    "gaussian_9x9": "Gaussian 9×9",
    "gaussian_matched": "Gaussian as soft as B",
    TRUE_LENS: "True lens",
}
CARD_LABELS = {
    "run_id": "Run",
    "recipe": "Recipe",
    "model": "Architecture",
    "seed": "Seed",
    "snapshot_id": "Snapshot",
    "steps": "Steps",
    "seconds": "Training time, s",
    "domains": "Domains",
    "training_images": "Training pictures",
    "weights": "Weights",
    "parameters": "Parameters",
    "lineage": "Lineage",
    "versions": "Versions",
    "hardware": "Hardware",
    "digest": "Digest of the configuration",
    "settings_digest": "Digest of the settings",
    "files": "Digests of the model files",
}
FUNNEL: tuple[tuple[str, str, FunnelKind], ...] = (
    ("listed", "Listed", "stage"),
    ("rejected", "rejected", "loss"),
    ("pending", "pending", "waiting"),
    ("downloaded", "Downloaded", "stage"),
    ("duplicates", "duplicate", "loss"),
    ("queued", "Queued for review", "stage"),
    ("undecided", "undecided", "waiting"),
    ("dropped", "dropped", "loss"),
    ("moved", "moved to another domain", "moved"),
    ("kept", "Kept", "stage"),
)
CARD_LEFT_OUT = {"settings", "final_losses", "sample"}
"""Shown elsewhere on the page, or of no use outside the run's folder."""


@dataclass(frozen=True)
class ModelReport:
    """One trained model and how it was judged.

    `name` is the model's value in the column `method` of `evaluation`, like `cyclegan@0`. `card` is its
    model.json, `losses` has `step` and one column for each unweighted term, `pictures` is the folder that
    `judge_model` wrote.
    """

    name: str
    judged_px: int
    card: Mapping[str, object]
    evaluation: pd.DataFrame
    losses: pd.DataFrame
    pictures: Path


@dataclass(frozen=True)
class ReportInputs:
    """All that stands in a report.

    `counts` is domain → split → pictures. `domains` is the funnel as `status --json` prints it: for each domain
    `listed`, `pending`, `rejected` (reason → count), `downloaded`, `duplicates` (rule → count), `queued`,
    `undecided`, `kept`, `moved`, `dropped` (reason → count). `credits` has photo_id, title, owner_name,
    license_name and page_url of the test photos at least. `made_on` is the only thing that differs between two
    reports on the same models.
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


@dataclass(frozen=True)
class Credit:
    """Whose photo it is; unknown is null."""

    title: str | None
    owner: str | None
    license: str | None
    link: str | None


@dataclass(frozen=True)
class Tile:
    """One embedded picture."""

    label: str
    alt: str
    data_uri: str
    role: str


@dataclass(frozen=True)
class Side:
    """Everything shown of one photo or scene, side by side."""

    photo_id: str
    tiles: list[Tile]
    credit: Credit | None


@dataclass(frozen=True)
class Group:
    """Models judged at one size, which alone may be compared with one another."""

    judged_px: int
    margin_px: int
    models: list[str]
    photos: summary.Comparison
    faults: summary.Comparison
    sets: list[tuple[str, list[summary.SetScores]]]
    scenes: summary.Comparison | None
    strip: charts.Strip
    iou_photos: summary.Iou
    iou_scenes: summary.Iou


@dataclass(frozen=True)
class FunnelLine:
    """One line of a domain's funnel: a stage, or what left on the way to the next one."""

    label: str
    count: int
    share: float
    kind: FunnelKind


@dataclass(frozen=True)
class Fact:
    """A line of a model's lineage, with parts where the value is a mapping."""

    label: str
    value: str
    parts: list[tuple[str, str]]


@dataclass(frozen=True)
class ModelFacts:
    """A model's lineage."""

    name: str
    facts: list[Fact]
    settings: list[tuple[str, str]]


def write_report(path: Path, inputs: ReportInputs) -> Path:
    """Write the report to `path` atomically and return it; under 8 MB.

    Raises `DatasetError` without models, when two share a name, or when a model's pictures are missing.
    """
    names = [model.name for model in inputs.models]
    if not names:
        raise DatasetError(f"snapshot {inputs.snapshot_id} has no evaluated model to report on; train and evaluate one")
    if len(set(names)) < len(names):
        raise DatasetError(f"snapshot {inputs.snapshot_id}: two models share a name among {', '.join(sorted(names))}")
    atomic.write_text(path, _render(inputs, sorted(inputs.models, key=lambda model: model.name)))
    return path


def _render(inputs: ReportInputs, models: Sequence[ModelReport]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.evaluation"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sides, left_out = _sides(models, inputs.credits)
    lead, others = sides[:1], sides[1:]
    return environment.get_template("report.html").render(
        inputs=inputs,
        models=models,
        headlines=[(model.name, summary.headline(model.evaluation, model.name)) for model in models],
        groups=_groups(models),
        panels=charts.loss_panels({model.name: model.losses for model in models}),
        panel=charts,
        colours={model.name: index % charts.COLOURS for index, model in enumerate(models)},
        lead=lead[0] if lead else None,
        scenes=[side for side in others if side.credit is None],
        photos=[side for side in others if side.credit is not None],
        columns=min(MAX_COLUMNS, max((len(side.tiles) for side in sides), default=1)),
        left_out=left_out,
        funnels={domain: _funnel(counts) for domain, counts in inputs.domains.items()},
        facts=[_model_facts(model) for model in models],
        limits=_limits(models),
        notice=FLICKR_NOTICE,
    )


def _groups(models: Sequence[ModelReport]) -> list[Group]:
    sizes = sorted({model.judged_px for model in models})
    return [_group(size, [model for model in models if model.judged_px == size]) for size in sizes]


def _group(judged_px: int, models: Sequence[ModelReport]) -> Group:
    names = [model.name for model in models]
    scores = summary.merge({model.name: model.evaluation for model in models})
    scenes = summary.compare_scenes(scores, names)
    return Group(
        judged_px=judged_px,
        margin_px=margin_px(judged_px),
        models=names,
        photos=summary.compare_photos(scores, names),
        faults=summary.compare_faults(scores, names),
        sets=[
            ("whole pictures", summary.compare_sets(scores, names)),
            ("backgrounds alone", summary.compare_sets(scores, names, "background_")),
        ],
        scenes=scenes if scenes.pictures else None,
        strip=_strip(scores, names),
        iou_photos=summary.segmenter_iou(scores, scenes=False),
        iou_scenes=summary.segmenter_iou(scores, scenes=True),
    )


def _strip(scores: pd.DataFrame, models: Sequence[str]) -> charts.Strip:
    roles = {INPUT: "reference", **dict.fromkeys(BASELINES, "baseline"), **dict.fromkeys(models, "model")}
    metric = summary.SCENE_METRICS[0]
    values = {method: summary.scores_of(scores, metric.name, method, scenes=True) for method in roles}
    return charts.strip(values, summary.METHOD_LABELS, roles, metric.digits)


def _sides(models: Sequence[ModelReport], credits: pd.DataFrame) -> tuple[list[Side], int]:
    """What is shown, scenes first, and how many photos and scenes found no room."""
    shelves = {model.name: {tiles.photo_id: tiles for tiles in read_pictures(model.pictures)} for model in models}
    ids = dict.fromkeys(photo_id for shelf in shelves.values() for photo_id in shelf)
    scenes = [photo_id for photo_id in ids if photo_id.startswith(summary.SCENE_PREFIX)]
    photos = [photo_id for photo_id in ids if not photo_id.startswith(summary.SCENE_PREFIX)]
    known = credits.drop_duplicates("photo_id").set_index("photo_id")
    sides, room = [], PICTURE_BUDGET_BYTES
    for photo_id in [*scenes, *photos[:MAX_USER_PHOTOS]]:
        credit = None if photo_id.startswith(summary.SCENE_PREFIX) else _credit(known, photo_id)
        side = _side(photo_id, shelves, credit)
        room -= sum(len(tile.data_uri) for tile in side.tiles)
        if room < 0:
            break
        sides.append(side)
    return sides, len(ids) - len(sides)


def _side(photo_id: str, shelves: Mapping[str, Mapping[str, Tiles]], credit: Credit | None) -> Side:
    """Input, mask, baselines, then every model, then the truth; what models share is taken from the first."""
    found = {model: shelf[photo_id].files for model, shelf in shelves.items() if photo_id in shelf}
    shared = next(iter(found.values()))
    name = (credit.title if credit else None) or photo_id
    wanted = [(role, role, shared.get(role)) for role in (INPUT, MASK_ROLE, *BASELINES)]
    wanted += [(MODEL_ROLE, model, files.get(MODEL_ROLE)) for model, files in found.items()]
    wanted += [(TRUE_LENS, TRUE_LENS, shared.get(TRUE_LENS))]
    return Side(photo_id, [_tile(role, label, path, name) for role, label, path in wanted if path is not None], credit)


def _tile(role: str, label: str, path: Path, name: str) -> Tile:
    label = TILE_LABELS.get(label, label)
    return Tile(label, f"{label}: {name}", _data_uri(path), role)


def _data_uri(path: Path) -> str:
    try:
        with Image.open(path) as opened:
            image = opened.convert("RGB" if opened.mode != "L" else "L")
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read as a picture ({error}); evaluate the model again") from error
    image.thumbnail((TILE_EDGE_PX, TILE_EDGE_PX), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    if max(image.size) <= LOSSLESS_EDGE_PX:
        image.save(stream, "PNG", optimize=True)
        return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
    image.save(stream, "WEBP", quality=88, method=4)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _credit(known: pd.DataFrame, photo_id: str) -> Credit:
    if photo_id not in known.index:
        return Credit(None, None, None, None)
    row = known.loc[photo_id]
    title, owner, licence, link = (_known(row[name]) for name in ("title", "owner_name", "license_name", "page_url"))
    return Credit(title, owner, licence, link if link and is_web(link) else None)


def _known(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _funnel(counts: Mapping[str, int | Mapping[str, int]]) -> list[FunnelLine]:
    """Stages in order, each with what left the way there; shares are of all listed photos."""
    listed = max(1, _total(counts.get("listed", 0)))
    lines: list[FunnelLine] = []
    for key, label, kind in FUNNEL:
        value = counts.get(key, 0)
        parts = value.items() if isinstance(value, Mapping) else [("", value)]
        lines += [
            FunnelLine(f"{label}: {reason}" if reason else label, count, 100 * count / listed, kind)
            for reason, count in parts
            if count or kind == "stage"
        ]
    return lines


def _total(value: int | Mapping[str, int]) -> int:
    return sum(value.values()) if isinstance(value, Mapping) else value


def _model_facts(model: ModelReport) -> ModelFacts:
    others = sorted(set(model.card) - CARD_LABELS.keys() - CARD_LEFT_OUT)
    keys = [*(key for key in CARD_LABELS if key in model.card), *others]
    settings = model.card.get("settings")
    return ModelFacts(
        model.name,
        [_fact(CARD_LABELS.get(key, key.replace("_", " ")), model.card[key]) for key in keys],
        _parts(settings) if isinstance(settings, Mapping) else [],
    )


def _fact(label: str, value: object) -> Fact:
    return Fact(label, "", _parts(value)) if isinstance(value, Mapping) else Fact(label, _words(value), [])


def _parts(values: Mapping[object, object]) -> list[tuple[str, str]]:
    return [(str(key), _words(value)) for key, value in values.items()]


def _words(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", " ") if abs(value) >= 10_000 else str(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _limits(models: Sequence[ModelReport]) -> list[str]:
    """What the report cannot say; computed where it depends on the numbers of pictures and seeds."""
    return [*_limits_of_seeds(models), *_limits_of_pictures(models), *LIMITS_OF_MEASURES]


LIMITS_OF_MEASURES = (
    "Background sharpness alone is a false success: a model that blurs everything, or invents a smooth background, "
    "scores low. Read it together with the subject's scores and, where there are scenes, with the error to the truth.",
    "On photos the regions come from the segmenter's masks: where a mask is wrong, subject and background are "
    "confused in the scores as well.",
    "L1, PSNR, SSIM and LPIPS compare pictures. They do not say whether a face is still the same person, whether blur "
    "looks like a lens's, or what people would prefer.",
    "Kernel distance, precision and recall are those of VGG-16's features, not of Inception's: their values must not be "
    "compared with published ones.",
)


def _limits_of_seeds(models: Sequence[ModelReport]) -> Iterator[str]:
    recipes: dict[str, int] = {}
    for model in models:
        recipe = str(model.card.get("recipe", model.name))
        recipes[recipe] = recipes.get(recipe, 0) + 1
    few = [recipe for recipe, seeds in recipes.items() if seeds < 3]
    if few:
        yield (
            f"With fewer than three seeds a recipe cannot be ranked, only these models can ({', '.join(few)}): another "
            "seed of the same recipe may differ by as much as another recipe."
        )
    if len({model.judged_px for model in models}) > 1:
        yield "Models judged at different sizes stand in tables of their own; their scores must not be compared."


def _limits_of_pictures(models: Sequence[ModelReport]) -> Iterator[str]:
    photos = min(summary.compare_photos(model.evaluation, [model.name]).pictures for model in models)
    scenes = min(summary.compare_scenes(model.evaluation, [model.name]).pictures for model in models)
    if photos < summary.FEW_PICTURES:
        yield f"Only {photos} test photo{'' if photos == 1 else 's'}: means over so few are examples rather than estimates."
    if scenes:
        few = f", and there are only {scenes}" if scenes < summary.FEW_PICTURES else ""
        yield (
            "Rendered scenes are not photos: errors to the truth say how well a model does on pictures like these "
            f"renderings, with their materials, light and one kind of sitter{few}."
        )
    else:
        yield "There are no scenes with known truth here, so nothing says how close the blur is to that of a lens."
