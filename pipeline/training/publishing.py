"""A finished run as a folder that others can use: networks as ONNX and safetensors, the card, and how to run it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.atomic import is_temporary, sweep, write_bytes, write_text
from pipeline.bounded import read_json
from pipeline.counted import counted
from pipeline.errors import ConfigError
from pipeline.file_names import child
from pipeline.licenses import KNOWN, freedoms, license_id
from pipeline.models.images import STRIDE_PX
from pipeline.models.networks import Generator
from pipeline.plain_files import file_sha256, read_plain
from pipeline.spreadsheet import csv_text, harmless
from pipeline.training.card import kind_of
from pipeline.training.inference import Checkpoint, load_generator, provenance_of
from pipeline.training.onnx_export import LEAST_SIDE_PX, export_onnx, input_words
from pipeline.training.runs import RunFolder

PHOTO_COLUMNS = ["photo_id", "domain", "title", "owner", "owner_name", "license", "page_url"]
SUMS = "SHA256SUMS"
PUBLISHED = "published"
"""The key of `model.json` that a run's own does not have."""

HEAD = """---
library_name: onnx
pipeline_tag: {task}
license: other
license_name: that-of-its-training-photos
tags: [{tags}]
---

"""
USE = """
## How to run it

`pip install onnxruntime pillow numpy`; the file takes {words}.

```python
import numpy as np, onnxruntime
from PIL import Image, ImageOps

network = onnxruntime.InferenceSession("generator.onnx")
photo = ImageOps.exif_transpose(Image.open("me.jpg")).convert("RGB")
photo = ImageOps.scale(photo, {size_px} / min(photo.size))  # about the size that it was trained at
whole, box = photo.size, (0, 0, *(side // {stride_px} * {stride_px} for side in photo.size))
photo = photo.crop(box)
given = {{"images": np.asarray(photo, np.float32).transpose(2, 0, 1)[None] / 127.5 - 1}}
{alpha}(result,) = network.run(None, given)
pixels = ((result[0].transpose(1, 2, 0) + 1) * 127.5).round().clip(0, 255).astype(np.uint8)
Image.fromarray(pixels).save("result.png")
```

{meaning}{own_size}{page} `generator.safetensors` holds the
same weights for bokehflow's `build_generator`, whose settings stand in `model.json`.
"""
ITS_PHOTOS = """
## Its photos

`photos.csv` names each photo that it was trained on, with owner, licence and page. {restricted}
"""
TAGS = {
    "blur": "bokeh, portraits",
    "content": "unpaired-image-translation",
    "focus": "bokeh, refocusing",
    "depth": "monocular-depth",
}
TASKS = {"depth": "depth-estimation"}
GREY = (
    "The result is grey, the nearer the brighter: a grey g of 0 to 255 stands for a disparity of g / (255 − g), in 1/m\n"
    "where the training photos' depth was in metres, else up to scale and shift. "
)
OWN_SIZES = {
    "blur": "At a photo's own size, and with masks that it finds itself: `bokehflow translate`.",
    "content": "At a photo's own size: `bokehflow translate`.",
    "focus": "At a photo's own size, with the subject found and kept sharp: `bokehflow translate`.",
    "depth": "To blur a photo by it, at its own size: `bokehflow refocus --model`.",
}
MASK = """mask = Image.open("mask.png").convert("L").resize(whole).crop(box)  # {white}
given["alpha"] = np.asarray(mask, np.float32)[None, None] / 255
"""
PAGE = " In a browser: `index.html`."


def restrictions(photos: Sequence[Mapping[str, object]]) -> str:
    """In a sentence, of how many of the photos (with `license`, its name) the licence forbids what one may want to do, or is
    not known."""
    ids = [license_id(str(photo["license"] or "")) for photo in photos]
    allowed = [freedoms(one) for one in ids if one in KNOWN]
    words = {"derive": "changes", "sell": "commercial use"}
    found = [f"{count:,} do not allow {words[use]}" for use in words if (count := sum(use not in one for one in allowed))]
    if unknown := len(ids) - len(allowed):
        found.append(f"the licence of {unknown:,} is not known")
    return f"Of {counted(len(photos), 'photo')} {', '.join(found) or 'all allow changes and commercial use'}."


def publish(
    run: Path, photos: Sequence[Mapping[str, object]], folder: Path, checkpoint: Checkpoint, page: bool
) -> Generator:
    """Write the run's model into `folder`, which is empty or holds an earlier such one; returns its generator.

    `photos` are the rows of those that it was trained on; `page` says that `index.html` is going to lie beside. The digests
    come last: a folder without them is not whole. Raises `ConfigError` for a folder of something else, `TrainingError` for
    a run that is not finished.
    """
    if folder.is_dir():  # what one that was killed had begun
        sweep([path for path in folder.iterdir() if is_temporary(path.name, is_shared=True)])
    if folder.exists() and any(folder.iterdir()) and not _is_published(folder):
        raise ConfigError(f"{folder}: holds something else; name a folder that is empty or not there yet")
    generator, settings = load_generator(run, checkpoint)
    for name in (SUMS, "index.html"):  # of an earlier one
        child(folder, name).unlink(missing_ok=True)
    files, provenance = RunFolder(run), provenance_of(run, checkpoint)
    card = {**json.loads(read_plain(files.card)), PUBLISHED: provenance}
    write_text(child(folder, "model.json"), json.dumps(card, indent=2, ensure_ascii=False) + "\n")
    export_onnx(generator, child(folder, "generator.onnx"), provenance)
    weights = files.generator("a_to_b") if checkpoint == "last" else files.best_generator("a_to_b")
    write_bytes(child(folder, "generator.safetensors"), read_plain(weights))
    rows = [[harmless(row[name]) for name in PHOTO_COLUMNS] for row in photos]
    write_text(child(folder, "photos.csv"), csv_text([PHOTO_COLUMNS, *rows]))
    # Its last paragraph is about the run's folder.
    words = read_plain(files.card_page).decode().rstrip().rsplit("\n\n", 1)[0] + "\n"
    kind = card.get("kind") or kind_of(card["model"])  # runs of earlier revisions do not tell it
    use = _use(kind, generator, settings.size_px, page) + ITS_PHOTOS.format(restricted=restrictions(photos))
    write_text(child(folder, "README.md"), _head(kind, card["model"]) + words + use)
    return generator


def _head(kind: str, model: str) -> str:
    return HEAD.format(task=TASKS.get(kind, "image-to-image"), tags=f"{TAGS[kind]}, {model.replace('_', '-')}")


def _use(kind: str, generator: Generator, size_px: int, page: bool) -> str:
    """How to run it. The short side is scaled, since that of a long photo would become less than the network takes."""
    white = "what should be sharp is white" if kind == "focus" else "the person white"
    return USE.format(
        words=input_words(generator),
        size_px=max(size_px, LEAST_SIDE_PX),
        stride_px=max(STRIDE_PX, generator.stride_px),
        alpha=MASK.format(white=white) if generator.holds_subject else "",
        meaning=GREY if kind == "depth" else "",
        own_size=OWN_SIZES[kind],
        page=PAGE if page else "",
    )


def _is_published(folder: Path) -> bool:
    """Whether a model was written here before; a run's own folder, which has a `model.json` too, is none of these."""
    try:
        told = read_json(child(folder, "model.json"))
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and PUBLISHED in told


def seal(folder: Path) -> None:
    """Write the digests of all files of a published model."""
    paths = sorted(path for path in folder.iterdir() if path.is_file() and path.name != SUMS and path.name[0] != ".")
    write_text(child(folder, SUMS), "".join(f"{file_sha256(path)}  {path.name}\n" for path in paths))
