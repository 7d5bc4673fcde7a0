"""The report of models of depth: one HTML file that needs nothing else.

It shows how far away everything is, as predicted and as it is, what a lens makes of it at every plane and aperture, and the
scores of both, beside what asks for no network. Built as `page` is: pictures, styles and one small script are inline.
"""

import base64
import hashlib
import importlib.resources
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from pipeline import atomic
from pipeline.errors import DatasetError
from pipeline.evaluation.compare import depth_outcomes as outcomes
from pipeline.evaluation.compare.headline import Headline
from pipeline.evaluation.compare.summary import merge
from pipeline.evaluation.measure.tiles import Tiles, read_pictures, told_of
from pipeline.evaluation.report import charts, gallery, number_sources
from pipeline.evaluation.report.gallery import Credit
from pipeline.evaluation.report.page import ModelReport, ReportInputs, environment
from pipeline.intervals import LEVEL
from pipeline.pillow import as_data_uri
from pipeline.plain_files import plain_path

FLICKR_NOTICE = "This product uses the Flickr API but is not endorsed or certified by SmugMug, Inc."
MOST_ROWS = 16
"""Pictures shown side by side."""
POINTED_PX = 32
"""Side of the map that tells which plane lies under the pointer."""
TILE_PX, SWEEP_QUALITY = 256, 82
FOCUS_MODEL = "refocus"


@dataclass(frozen=True)
class DepthRow:
    """A picture, its true depth, and of each model the predicted one and its error."""

    name: str
    credit: Credit | None
    tiles: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class _Sweep:
    """Refocused pictures of one picture by one map of depth: planes from far to near, apertures from narrow to wide."""

    picture: str
    by: str
    still: str
    frames: Sequence[Sequence[str]]
    planes: str
    metres: Sequence[str]
    """How far each plane is, where that is known."""


def write_depth_report(path: Path, inputs: ReportInputs) -> Path:
    """Write the report of models of depth to `path` atomically and return it.

    Raises `DatasetError` without models, and when pictures of one are missing.
    """
    if not inputs.models:
        raise DatasetError(f"snapshot {inputs.snapshot_id} has no evaluated model of depth to report on; train one")
    atomic.write_text(path, _render(inputs))
    return path


def _render(inputs: ReportInputs) -> str:
    models = inputs.models
    shelves = {model.name: {tiles.photo_id: tiles for tiles in read_pictures(model.pictures)} for model in models}
    scores = merge({model.name: model.evaluation for model in models})
    script = _script()
    sweeps = list(_sweeps(shelves))
    names = [model.name for model in models]
    anchors = {name: f"model-{index}" for index, name in enumerate(names, 1)}
    return (
        environment()
        .get_template("depth.html")
        .render(
            inputs=inputs,
            models=models,
            headlines=[(model, _headline(model)) for model in models],
            is_of_focus=any(model.card.get("model") == FOCUS_MODEL for model in models),
            tables=outcomes.tables_of(scores, names),
            labels={**outcomes.LABELS, **{name: name for name in names}},
            rows=_rows(shelves, inputs.credits),
            sweeps=sweeps,
            data=[
                {
                    "picture": one.picture,
                    "by": one.by,
                    "still": one.still,
                    "frames": one.frames,
                    "planes": one.planes,
                    "metres": one.metres,
                }
                for one in sweeps
            ],
            panels=charts.loss_panels({model.name: model.losses for model in models}),
            panel=charts,
            colours={name: index % charts.COLOURS for index, name in enumerate(names)},
            anchors=anchors,
            facts=[number_sources.model_facts(model.name, anchors[model.name], model.card) for model in models],
            has_views=not outcomes.view_scores(scores).empty,
            level=LEVEL,
            notice=FLICKR_NOTICE if inputs.credits["photo_id"].astype(str).str.startswith("flickr:").any() else "",
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )


def _script() -> str:
    folder = importlib.resources.files("pipeline.evaluation.report")
    return folder.joinpath("templates/depth.js").read_text(encoding="utf-8")


def _headline(model: ModelReport) -> Headline:
    """What a model that is trained for pictures is asked first is whether these obey."""
    of_focus = outcomes.focus_headline(model.evaluation, model.name) if model.card.get("model") == FOCUS_MODEL else None
    return of_focus or outcomes.depth_headline(model.evaluation, model.name)


def _rows(shelves: Mapping[str, Mapping[str, Tiles]], credits: pd.DataFrame) -> list[DepthRow]:
    """Scenes first, then photos in the order of a hash of their ids."""
    ids = list(dict.fromkeys(picture for shelf in shelves.values() for picture in shelf))
    known = credits.drop_duplicates("photo_id").set_index("photo_id")
    scenes = [one for one in ids if gallery.is_scene(one)]
    photos = sorted((one for one in ids if not gallery.is_scene(one)), key=gallery.chance)
    found = []
    for picture in [*scenes, *photos][:MOST_ROWS]:
        files = {model: shelf[picture].files for model, shelf in shelves.items() if picture in shelf}
        first = next(iter(files.values()))
        metres = told_of(first["true_depth"])
        true_depth = "True depth" + (f", {metres}" if metres else "")
        tiles = [("Picture", _picture(first["input"])), (true_depth, _picture(first["true_depth"]))]
        for model, of_model in files.items():
            tiles += [(f"{model}: depth", _picture(of_model["depth"])), (f"{model}: error", _picture(of_model["error"]))]
        is_scene = gallery.is_scene(picture)
        name = picture.removeprefix(outcomes.SCENE)
        found.append(DepthRow(name, None if is_scene else gallery.credit_of(known, picture), tiles))
    return found


def _sweeps(shelves: Mapping[str, Mapping[str, Tiles]]) -> Iterator[_Sweep]:
    """By each model's depth, and once by the true one."""
    seen: set[str] = set()
    for model, shelf in shelves.items():
        for picture, tiles in shelf.items():
            for by, told in (("model", model), ("true", outcomes.LABELS[outcomes.TRUE_DEPTH])):
                if f"planes-{by}" not in tiles.files or (by == "true" and picture in seen):
                    continue
                yield _sweep(picture, by, told, tiles)
            seen.add(picture)


def _sweep(picture: str, by: str, told: str, tiles: Tiles) -> _Sweep:
    frames: dict[int, dict[int, str]] = {}
    for role, file in tiles.files.items():
        if role.startswith(f"sweep-{by}-"):
            plane, strength = map(int, role.split("-")[2:])
            frames.setdefault(plane, {})[strength] = _picture(file, SWEEP_QUALITY)
    ordered = [[of_plane[strength] for strength in sorted(of_plane)] for _, of_plane in sorted(frames.items())]
    name = picture.removeprefix(outcomes.SCENE)
    planes = tiles.files[f"planes-{by}"]
    still = _picture(tiles.files["input"], SWEEP_QUALITY)
    return _Sweep(name, told, still, ordered, _pointed(planes), told_of(planes).split())


def _pointed(path: Path) -> str:
    """Row by row, for `POINTED_PX` squared places, the digit of the plane that lies there."""
    with Image.open(plain_path(path)) as image:
        small = image.resize((POINTED_PX, POINTED_PX), Image.Resampling.NEAREST)
        return "".join(str(digit) for digit in np.asarray(small).flatten().tolist())


def _picture(path: Path, quality: int = 90) -> str:
    """As a data URI."""
    try:
        with Image.open(plain_path(path)) as opened:
            image = opened.convert("RGB")
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read as a picture ({error}); evaluate the model again") from error
    image.thumbnail((TILE_PX, TILE_PX), Image.Resampling.LANCZOS)
    return as_data_uri(image, "WEBP", quality=quality, method=4)
