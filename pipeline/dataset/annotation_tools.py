"""Exports for tools in which people look and decide: Label Studio's tasks, and a dataset that FiftyOne imports.

Both show the pictures of a snapshot with what was decided so far. `pipeline.curation.annotated` reads what comes back.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import pandas as pd

from pipeline.atomic import write_text
from pipeline.dataset.exported import ExportedPicture, batches, credit, file_name, picture_ids, png
from pipeline.file_names import child
from pipeline.plain_files import read_plain_text

TASKS, LABEL_CONFIG = "tasks.json", "label_config.xml"
LABELS = "labels.json"
IMAGES, DATA = "images", "data"
DECISIONS = ("keep", "drop", "move", "skip")
REASONS = ("wrong_tag", "unfit_blur", "no_person", "edited", "inappropriate", "other")
"""As `pipeline.curation.decisions` reads them; a test compares."""
MODEL = "bokehflow"
SUBJECT = "subject"
_SIZES = (2, 5, 10, 16)
"""Bits of the four sizes in which the run lengths of a brush mask may be written."""


def write_label_studio(
    folder: Path,
    chosen: pd.DataFrame,
    shards: Path,
    prefix: str,
    hints: Mapping[str, Mapping[str, Any]],
) -> dict[str, int]:
    """`images/`, `tasks.json` with a prediction for each picture, and `label_config.xml`, the labelling interface.

    `prefix` stands before each picture's file in its task: where Label Studio finds them. `hints` by photo id go into the
    task's data.
    """
    tasks: list[dict[str, Any]] = []
    for rows, names, pictures in _written(folder, IMAGES, chosen, shards):
        for (_, row), name, picture in zip(rows.iterrows(), names, pictures, strict=True):
            data = {"image": f"{prefix}{IMAGES}/{name}", "picture": name.removesuffix(".png"), **_told(row)}
            if found := hints.get(data["photo_id"]):
                data["hints"] = dict(found)
            result = [_choice("decision", "keep"), _brush(picture.alpha)]
            tasks.append({"data": data, "predictions": [{"model_version": MODEL, "result": result}]})
    _write_json(child(folder, TASKS), tasks)
    domains = sorted(set(chosen["domain"]))
    child(folder, LABEL_CONFIG).write_text(label_config(domains), encoding="utf-8")
    return {"tasks": len(tasks)}


def write_fiftyone(folder: Path, chosen: pd.DataFrame, shards: Path) -> dict[str, int]:
    """`data/` and `labels.json`, the layout that FiftyOne calls FiftyOneImageClassificationDataset."""
    labels: dict[str, dict[str, Any]] = {}
    for rows, names, _ in _written(folder, DATA, chosen, shards):
        for (_, row), name in zip(rows.iterrows(), names, strict=True):
            labels[name.removesuffix(".png")] = {"label": "keep", "attributes": _told(row)}
    _write_json(child(folder, LABELS), {"classes": None, "labels": labels})
    return {"samples": len(labels)}


def _written(
    folder: Path, below: str, chosen: pd.DataFrame, shards: Path
) -> Iterable[tuple[pd.DataFrame, list[str], list[ExportedPicture]]]:
    """Write every picture into the folder `below`, and give rows, names and pictures some at a time."""
    names = picture_ids(chosen).map(file_name)
    chosen["file"] = f"{below}/" + names
    images = child(folder, below)
    images.mkdir()
    with ThreadPoolExecutor() as pool:
        for rows, pictures in batches(chosen, shards):
            here = names[rows.index].tolist()
            list(pool.map(lambda name, picture: child(images, name).write_bytes(png(picture.rgb)), here, pictures))
            yield rows, here, pictures


def _told(row: pd.Series) -> dict[str, Any]:
    """What a person sees beside the picture; the id is what a decision comes back by."""
    cells = {name: row[name] if isinstance(row[name], str) else None for name in row.index}
    owner = cells["owner_name"] or cells["owner"]
    told = {name: cells[name] for name in ("photo_id", "domain", "split", "title", "page_url", "curator") if name in cells}
    told = {name: cell for name, cell in told.items() if cell is not None}
    return {**told, "attribution": credit(cells["title"], owner, cells["license"], cells["page_url"])}


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def forget_in_tasks(folder: Path, photo_ids: set[str]) -> int:
    """Write `tasks.json` and `labels.json` anew without these photos; returns how many files changed."""
    changed = 0
    if child(folder, TASKS).exists():
        tasks = json.loads(read_plain_text(child(folder, TASKS)))
        kept = [task for task in tasks if task["data"]["photo_id"] not in photo_ids]
        changed += _rewrite(child(folder, TASKS), kept, len(kept) < len(tasks))
    if child(folder, LABELS).exists():
        labels = json.loads(read_plain_text(child(folder, LABELS)))
        left = {name: one for name, one in labels["labels"].items() if one["attributes"]["photo_id"] not in photo_ids}
        changed += _rewrite(child(folder, LABELS), {**labels, "labels": left}, len(left) < len(labels["labels"]))
    return changed


def _rewrite(path: Path, content: object, is_changed: bool) -> int:
    if is_changed:
        write_text(path, json.dumps(content, indent=1) + "\n")
    return int(is_changed)


# --- Label Studio -----------------------------------------------------------------------------------------------------


def label_config(domains: Sequence[str]) -> str:
    """The labelling interface: a decision, its reason or domain where it needs one, a note, and the subject's mask."""
    lines = [
        "<View>",
        '  <Image name="image" value="$image"/>',
        *_choices("decision", DECISIONS),
        *_choices("reason", REASONS, "drop"),
        *_choices("move_to", domains, "move"),
        '  <TextArea name="note" toName="image" maxSubmissions="1" placeholder="note; needed by the reason other"/>',
        '  <BrushLabels name="mask" toName="image">',
        f'    <Label value="{SUBJECT}"/>',
        "  </BrushLabels>",
        "</View>",
    ]
    return "\n".join(lines) + "\n"


def _choices(name: str, values: Sequence[str], of_decision: str | None = None) -> list[str]:
    shown = f' visibleWhen="choice-selected" whenTagName="decision" whenChoiceValue="{of_decision}"' if of_decision else ""
    inner = [f"    <Choice value={quoteattr(value)}/>" for value in values]
    return [f'  <Choices name="{name}" toName="image" choice="single"{shown}>', *inner, "  </Choices>"]


def _choice(name: str, value: str) -> dict[str, Any]:
    return {"from_name": name, "to_name": "image", "type": "choices", "value": {"choices": [value]}}


def _brush(alpha: np.ndarray) -> dict[str, Any]:
    return {
        "from_name": "mask",
        "to_name": "image",
        "type": "brushlabels",
        "original_width": alpha.shape[1],
        "original_height": alpha.shape[0],
        "image_rotation": 0,
        "value": {"format": "rle", "rle": brush_rle(alpha), "brushlabels": [SUBJECT]},
    }


def brush_rle(alpha: np.ndarray) -> list[int]:
    """A mask uint8 `[height, width]` as Label Studio writes brushes: bytes of run lengths; the subject is alpha ≥ 128.

    The format is that of the package rle-pack: 32 bits for the number of values (each pixel is four, as RGBA), 5 for their
    size, four times 4 for the sizes of run lengths, then runs: a bit for "repeated", two for the size of the length, the
    length less one, the value.
    """
    values = np.where(alpha.reshape(-1) >= 128, 255, 0)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(values)) + 1, [values.size]])
    bits = [f"{4 * values.size:032b}", f"{8 - 1:05b}", *(f"{size - 1:04b}" for size in _SIZES)]
    for start, end in pairwise(starts.tolist()):
        bits += _runs(4 * (end - start), int(values[start]))
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8))


def _runs(length: int, value: int) -> Iterable[str]:
    longest = 2 ** _SIZES[-1]
    while length:
        run = min(length, longest)
        size = next(number for number, bits in enumerate(_SIZES) if run <= 2**bits)
        yield f"1{size:02b}{run - 1:0{_SIZES[size]}b}{value:08b}"
        length -= run
