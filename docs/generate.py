"""Writes docs/configuration.md from the models of the project file, and docs/api.md from docstrings.

Run with `.venv/bin/python docs/generate.py`; a test keeps pages and code equal.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Collection, Mapping
from dataclasses import is_dataclass
from itertools import pairwise
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pipeline import softness
from pipeline.config import Domain, OutsideMethod, Project, Query, Recipe, load_project
from pipeline.curation import hints
from pipeline.dataset import layout, snapshot
from pipeline.dataset.crop import centre_square, subject_square
from pipeline.dataset.shards import ShardReader
from pipeline.dedupe import hashes
from pipeline.depth import refocus
from pipeline.depth.files import read_depth_map
from pipeline.depth.metrics import scores as depth_scores
from pipeline.depth.units import DepthUnit
from pipeline.evaluation.compare import significance
from pipeline.evaluation.measure import baselines, distribution, faults, metrics
from pipeline.licenses import allowed_for, is_stricter, license_id, license_name
from pipeline.masks import quality
from pipeline.masks.person_masks import coverage, read_mask
from pipeline.masks.segmenter import Seen, Segmenter
from pipeline.masks.segmenters import make_segmenter
from pipeline.masks.subject import choose_subject
from pipeline.models import images, losses
from pipeline.models.large_photos import translate_photo
from pipeline.models.lens import Lens
from pipeline.models.networks import Generator, PatchDiscriminator, receptive_field_px
from pipeline.photos.decode import Decoded, decode, decode_reduced
from pipeline.training.application import Application
from pipeline.training.inference import load_generator
from pipeline.training.recipes import PROFILES, TrainingSettings, resolve
from storage.blobs import BlobStore
from storage.home import Home
from storage.tables import TableStore

FOLDER = Path(__file__).parent
INTRODUCTION = """\
# The project file

`bokehflow.toml` is TOML; `--config FILE` names another. Unknown keys and wrong types are refused with their line.
This page is written by `docs/generate.py` from the models in `pipeline/config.py`.
"""


def reference() -> str:
    """The whole page."""
    sections = [
        _section(f"[{name}]", field.annotation) for name, field in Project.model_fields.items() if _is_section(field)
    ]
    named = [
        _section("[domains.NAME]", Domain),
        _section("[[domains.NAME.queries]]", Query),
        _section("[[evaluation.methods]]", OutsideMethod),
        _section("[recipes.NAME]", Recipe),
        _profiles(),
    ]
    return "\n".join([INTRODUCTION, *sections, *named])


def _is_section(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _section(title: str, model: object) -> str:
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise TypeError(f"{title}: {model!r} is no model")
    told = descriptions(model)
    rows = [
        f"| `{field.alias or name}` | {_default(field)} | {_one_line(told.get(name))} |"
        for name, field in model.model_fields.items()
    ]
    return "\n".join([f"## `{title}`", "", "| key | default | meaning |", "|---|---|---|", *rows, ""])


def descriptions(model: type[BaseModel]) -> dict[str, str]:
    """What stands below each key in the source. Pydantic could read it too, and every command would pay for that."""
    found: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if issubclass(owner, BaseModel) and owner is not BaseModel:
            body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
            lines = body.body if isinstance(body, ast.ClassDef) else []
            for key, text in pairwise(lines):
                if isinstance(key, ast.AnnAssign) and isinstance(key.target, ast.Name) and isinstance(text, ast.Expr):
                    found[key.target.id] = str(ast.literal_eval(text.value))
    return found


def _profiles() -> str:
    """Every setting of a run with its value in each profile."""
    names, told = list(PROFILES), descriptions(TrainingSettings)
    rows = [
        f"| `{name}` | "
        + " | ".join(f"`{getattr(PROFILES[profile], name)}`" for profile in names)
        + f" | {_one_line(told.get(name))} |"
        for name in TrainingSettings.model_fields
    ]
    head = "| setting | " + " | ".join(names) + " | meaning |"
    return "\n".join(["## `[recipes.NAME.settings]`", "", head, "|---|" + "---|" * len(names) + "---|", *rows, ""])


def _default(field: FieldInfo) -> str:
    return "needed" if field.is_required() else f"`{field.get_default(call_default_factory=True)!r}`".replace("|", "\\|")


def _one_line(text: str | None) -> str:
    if not text:
        raise ValueError("every key needs a description")
    return " ".join(text.split()).replace("|", "\\|")


API_INTRODUCTION = """\
# For a notebook

Everything that the pipeline does are functions that take arrays, tables and paths, and know nothing of Dagster. After
`bokehflow demo`:

```python
from pipeline.config import load_project
from pipeline.dataset.layout import list_snapshots
from pipeline.dataset.shards import ShardReader
from pipeline.dataset.snapshot import open_snapshot
from pipeline.evaluation.measure import metrics
from pipeline.masks.segmenters import make_segmenter
from pipeline.models.images import translate
from pipeline.photos.decode import decode
from pipeline.training.inference import load_generator
from storage import Home

home = Home.at("demo-data")
project = load_project(home.project_file())

# One photo: its bytes, its pixels, the person in it.
files = home.tables.read_all("photo_files").dropna(subset="sha256")
rgb = decode(home.blobs.read(files["sha256"].iloc[0]), project.photos.max_pixels).rgb
(person,) = make_segmenter("selfie", home.weights).see([rgb])
print(rgb.shape, person.alpha.mean() / 255, person.uncertainty)

# A snapshot's test photos, translated, and how far the subjects moved.
manifest = open_snapshot(home.snapshots, list_snapshots(home.snapshots)[0], home.shards)
test = manifest[manifest["split"] == "test"]
reader = ShardReader([home.shards / name for name in test["shard"]], list(test["row"]))
pictures, alphas = reader.batch(test.reset_index().index.to_numpy())
generator, settings = load_generator(next(home.runs.glob("*-mask_loss_overlay-0")))
translated = translate(generator, pictures, alphas)
subjects = alphas[..., None] > 127
print(metrics.l1(translated, pictures / 255, subjects).mean())
```

This page is written by `docs/generate.py` from the docstrings.
"""
API: Mapping[str, tuple[object, ...]] = {
    "The home and the project": (Home, TableStore, BlobStore, load_project),
    "Photos": (Decoded, decode, decode_reduced, license_id, license_name, allowed_for, is_stricter),
    "Duplicates and hints": (hashes.grey_fast, hashes.phash, hashes.phash_mirrored, hints.measure, hints.colourfulness),
    "Masks": (
        Segmenter, Seen, make_segmenter, choose_subject, read_mask, coverage,
        quality.iou, quality.alpha_error, quality.boundary_error,
    ),
    "Datasets": (
        layout.list_snapshots, layout.find_snapshot, layout.read_facts, snapshot.read_snapshot, snapshot.open_snapshot,
        ShardReader, centre_square, subject_square,
    ),
    "Models": (
        Generator, PatchDiscriminator, receptive_field_px, Lens, resolve, load_generator, images.translate, translate_photo,
        Application, images.to_model_range, images.from_model_range, images.overlaid,
    ),
    "Depth": (
        DepthUnit, read_depth_map, refocus.ThinLens, refocus.lens_of_strength, refocus.lens_of_camera, refocus.refocus_photo,
        depth_scores,
    ),
    "Losses": (
        losses.adversarial_loss, losses.discriminator_loss, losses.l1_loss, losses.masked_l1_loss,
        losses.perceptual_loss, losses.gradient_penalty, losses.weighted_sum,
    ),
    "Metrics": (
        metrics.l1, metrics.psnr_db, metrics.ssim, metrics.sharpness, metrics.relative_sharpness, metrics.mask_iou,
        faults.colour_shift, faults.checkerboard, faults.imagined, faults.blur_unevenness, faults.rim_sharpness, faults.leak,
        softness.softness, softness.standing, distribution.kid, distribution.fid, distribution.precision_recall,
        significance.paired_difference, significance.holm,
    ),
    "Baselines": (
        baselines.average_5x5, baselines.gaussian_9x9, baselines.gaussian, baselines.disc_held, baselines.paste_subject,
    ),
}  # fmt: skip
"""What somebody with a notebook asks for, by theme."""


MEMBERS: Mapping[type, Collection[str]] = {
    Home: ("at", "project_file"),
    TableStore: ("partitions", "read", "read_or_empty", "read_all", "info"),
    BlobStore: ("path", "has", "read"),
    Generator: ("__init__", "forward"),
    PatchDiscriminator: ("__init__", "forward"),
    Lens: ("__init__", "forward"),
}
"""What of these a notebook needs; the rest is for stages."""


def api() -> str:
    """The whole page of the API."""
    parts = [API_INTRODUCTION]
    for theme, objects in API.items():
        parts.append(f"## {theme}\n")
        parts += [_class(one) if isinstance(one, type) else _function(one) for one in objects]
    return "\n".join(parts)


def _class(one: type) -> str:
    """A class, how it is made, and its public methods and properties, or those of them that a notebook needs."""
    node = _node(one)
    assert isinstance(node, ast.ClassDef)
    members = [
        f"- `{_signature(inner, one.__name__)}`" + (f": {_first_paragraph(inner)}" if ast.get_docstring(inner) else "")
        for inner in node.body
        if isinstance(inner, ast.FunctionDef) and _is_shown(one, inner)
    ]
    made = [f"- `{_made(node)}`"] if is_dataclass(one) else []
    return "\n".join([f"### `{one.__module__}.{one.__name__}`\n\n{_docstring(one)}\n", *made, *members, ""])


def _made(node: ast.ClassDef) -> str:
    """How a value of a dataclass is made."""
    fields = [ast.unparse(one).replace("'", "") for one in node.body if isinstance(one, ast.AnnAssign)]
    return f"{node.name}({', '.join(fields)})"


def _is_shown(one: type, member: ast.FunctionDef) -> bool:
    if one in MEMBERS:
        return member.name in MEMBERS[one]
    return member.name == "__init__" or (not member.name.startswith("_") and bool(ast.get_docstring(member)))


def _first_paragraph(node: ast.FunctionDef) -> str:
    return " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split())


def _function(one: object) -> str:
    node = _node(one)
    assert isinstance(node, ast.FunctionDef)
    name = f"{one.__module__}.{node.name}"
    return f"### `{name}`\n\n```python\n{_signature(node)}\n```\n\n{_docstring(one)}\n"


def _node(one: object) -> ast.stmt:
    assert isinstance(one, type) or inspect.isfunction(one) or hasattr(one, "__wrapped__"), one
    return ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(one)))).body[0]  # pyright: ignore[reportArgumentType]


def _signature(node: ast.FunctionDef, of: str = "") -> str:
    """As it is written, without `self`: of `__init__` the class as it is called, of a property its name."""
    if any(ast.unparse(each) == "property" for each in node.decorator_list):
        return node.name
    arguments = re.sub(r"^(self|cls)(, )?", "", ast.unparse(node.args))
    name, result = (
        (of, "") if node.name == "__init__" else (node.name, f" -> {ast.unparse(node.returns or ast.Name('None'))}")
    )
    return f"{name}({arguments}){result}".replace("'", "")


def _docstring(one: object) -> str:
    """The docstring as Markdown: examples are fenced."""
    lines = (inspect.getdoc(one) or "").splitlines()
    if not lines:
        raise ValueError(f"{one!r} needs a docstring")
    text, inside = [], False
    for line in [*lines, ""]:
        if line.startswith(">>>") and not inside:
            text.append("```python")
            inside = True
        elif inside and not line.strip():
            text.append("```")
            inside = False
        text.append(line)
    return "\n".join(text).rstrip()


PAGES: Mapping[str, Callable[[], str]] = {"configuration.md": reference, "api.md": api}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
