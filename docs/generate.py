"""Writes docs/configuration.md from the models of the project file, docs/tables.md from the tables' columns, and docs/api.md
from docstrings.

Run with `.venv/bin/python docs/generate.py`; a test keeps pages and code equal.
"""

import ast
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pandas as pd
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pipeline import softness
from pipeline.config import CurationRule, Domain, OutsideMethod, Project, Query, Recipe, load_project
from pipeline.curation import hints
from pipeline.dataset import layout, snapshot
from pipeline.dataset.crop import centre_square, subject_square
from pipeline.dataset.shards import ShardReader
from pipeline.dedupe import hashes
from pipeline.depth import refocus
from pipeline.depth.files import read_depth_map
from pipeline.depth.metrics import scores as depth_scores
from pipeline.depth.units import DepthMap, DepthUnit
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
from pipeline.tables import TABLES, Column, Table
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
A dash is the default of a key that is not set. This page is written by `docs/generate.py` from the models in
`pipeline/config.py`.
"""


ENVIRONMENT = """\
## The environment

What differs by machine or person, and what is secret, stands in no file.

| variable | says |
|---|---|
| `BOKEHFLOW_HOME`, `BOKEHFLOW_CONFIG` | home and project file of every command that is given none |
| `FLICKR_API_KEY`, `FLICKR_API_SECRET` | key and secret of Flickr |
| `BOKEHFLOW_FILES` | `private`, the default: only you can read what is written; `group`: your group too |
| `BOKEHFLOW_LISTEN` | `0.0.0.0` opens the pages of a container to its network ([SECURITY.md](../SECURITY.md)) |
| `BOKEHFLOW_CACHE` | where one works on a home [in object storage](deploy.md#one-bucket) |
| `BOKEHFLOW_CACHE_GB` | how much of it may lie there |
| `AWS_…`, `GOOGLE_…`, `AZURE_…` | keys, region and endpoint of that storage |
| `BOKEHFLOW_ENGINE_ADDRESS` | where the cluster of `[compute] engine` is ([more](deploy.md#several-machines)) |
| `BOKEHFLOW_POSTGRES_HOST`, `_PORT`, `_USER`, `_PASSWORD`, `_DB` | [PostgreSQL](deploy.md#dagsters-records-in-postgresql) |
| `HF_TOKEN`, `HF_ENDPOINT` | token and server for `snapshot publish` ([more](snapshots.md#publishing)) |
| `MLFLOW_TRACKING_URI`, `MLFLOW_EXPERIMENT_NAME` | where trainings appear in [MLflow](training.md#in-mlflow) |
| `OPENLINEAGE_URL`, `OPENLINEAGE_NAMESPACE` and others | where [lineage](snapshots.md#openlineage) is told |
| `HTTPS_PROXY`, `NO_PROXY`, `REQUESTS_CA_BUNDLE` | proxies and certificates, for calls of an API and for pictures |
| `NUMBA_CACHE_DIR` | where compiled loops are kept ([more](deploy.md#one-machine)) |
"""


def reference() -> str:
    """The whole page."""
    sections = [
        _section(f"[{name}]", field.annotation) for name, field in Project.model_fields.items() if _is_section(field)
    ]
    named = [
        _section("[domains.NAME]", Domain),
        _section("[[domains.NAME.queries]]", Query),
        _section("[[curation.rules]]", CurationRule),
        _section("[[evaluation.methods]]", OutsideMethod),
        _section("[recipes.NAME]", Recipe),
        _profiles(),
    ]
    return "\n".join([INTRODUCTION, *sections, *named, ENVIRONMENT])


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
        + " | ".join(_toml(getattr(PROFILES[profile], name)) for profile in names)
        + f" | {_one_line(told.get(name))} |"
        for name in TrainingSettings.model_fields
    ]
    head = "| setting | " + " | ".join(names) + " | meaning |"
    return "\n".join(["## `[recipes.NAME.settings]`", "", head, "|---|" + "---|" * len(names) + "---|", *rows, ""])


def _default(field: FieldInfo) -> str:
    return "needed" if field.is_required() else _toml(field.get_default(call_default_factory=True))


def _toml(value: object) -> str:
    """A value as one would write it into the project file; a dash for none."""
    return "–" if value is None else f"`{_written(value)}`".replace("|", "\\|")


def _written(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_written(one)}" for key, one in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


def _one_line(text: str | None) -> str:
    if not text:
        raise ValueError("every key needs a description")
    return " ".join(text.split()).replace("|", "\\|")


TABLES_INTRODUCTION = """\
# The tables

What a home knows of its photos lies in `tables/` as Parquet files, a folder for each table, named after the asset that
writes it. From a [notebook](api.md):

```python
from storage import Home

home = Home.at("demo-data")
files = home.tables.read_all("photo_files")  # all its files in one frame
rejected = files[files["reason"].notna()]
```

`photo_listing`, `photo_files` and `fingerprints` have a file for each domain and upload month, `evaluation` one for each
snapshot and `recipe@seed`, the others one. Unknown is null, never a default. Times that end in `_s` are Unix seconds in UTC,
ids are texts. `sha256` names the bytes of a file in `blobs/`.

This page is written by `docs/generate.py` from `pipeline/tables.py`.
"""
COMMON: Mapping[str, str] = {
    "photo_id": "Source and number, such as `flickr:4951…`",
    "domain": "Name of the domain",
    "month": "Upload month (UTC), like `2024-03`",
    "owner": "The owner's id at the source",
    "owner_name": "The name to attribute the photo to",
    "title": "The photo's title",
    "tags": "Separated by spaces",
    "license": "Id of a licence that `pipeline.licenses` knows, or words",
    "page_url": "Where the source shows the photo",
    "image_url": "Address of the file",
    "date_upload_s": "When it was uploaded",
    "date_taken": "When it was taken, as the source says it",
    "sha256": "Of the file's bytes, by which it lies in `blobs/`",
    "size_bytes": "Of the file",
    "width_px": "Of the picture, upright",
    "height_px": "Of the picture, upright",
    "format": "Pillow's name of the file format",
    "frames": "Pictures in the file, of which the first counts",
    "phash_mirrored": "Of the mirrored picture",
    "split_key": "What decides the side of the split; near-duplicates share it",
    "transform": "Crop or tile, size and version of the preparation",
    "pixels_sha256": "Of the prepared picture's RGB",
    "alpha_sha256": "Of its alpha",
    "source_sha256": "Of the photo's file",
    "shard": "File in `shards/`",
    "row": "Of the shard, from 0",
    "mask_sha256": "Digest of the mask's file",
    "depth_source_sha256": "Digest of the map",
    "detail": "The reason, or what was seen, for a person",
    "fetched_at_s": "When the source was asked",
    "last_update_s": "When the owner last changed it, as the source says",
    "etag": "Of the server's answer, by which it is asked whether the file is still the same",
    "median_m": "Metres; null where depth is relative",
    "farthest_m": "Metres; null where depth is relative",
    "curator": "Who decided that it stays",
}
"""What a column means wherever a table says nothing else of it."""
TYPES: Mapping[type, str] = {str: "text", int: "integer", pd.Int64Dtype: "integer", float: "number", bool: "yes or no"}


def tables() -> str:
    """The page of all tables."""
    return "\n".join([TABLES_INTRODUCTION, *(_table(name, table) for name, table in TABLES.items())])


def _table(name: str, table: Table) -> str:
    rows = [f"| `{column}` | {_holds(facts)} | {_told(column, facts)} |" for column, facts in table.shown.items()]
    key = ", ".join(f"`{column}`" for column in table.key)
    head = [f"## `{name}`", "", _docstring(table.rows), "", f"A row is identified by {key}.", ""]
    return "\n".join([*head, "| column | holds | meaning |", "|---|---|---|", *rows, ""])


def _holds(column: Column) -> str:
    return f"{TYPES[column.dtype]}{', or null' if column.nullable else ''}"


def _told(name: str, column: Column) -> str:
    """What a column means, with the words that may stand in it."""
    words = "".join(f", `{word}`" for word in column.isin or ())
    told = _one_line(column.description or COMMON.get(name)) + words.replace(",", ":", 1)
    return re.sub(r"docs/(\w+\.md)", r"[\1](\1)", told)


API_INTRODUCTION = """\
# For a notebook

All that the pipeline does is done by functions that take arrays, tables and paths, and know nothing of Dagster. What a
home's tables hold stands in [tables](tables.md). After `bokehflow demo`:

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
        DepthUnit, read_depth_map, DepthMap, refocus.fitted_to, refocus.ThinLens, refocus.lens_of_strength,
        refocus.lens_of_camera, refocus.refocus_photo, depth_scores,
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
    Home: (
        *(
            "at",
            "project_file",
            "blobs",
            "tables",
            "thumbnails",
            "reviewed",
            "masks",
            "shards",
            "snapshots",
            "weights",
            "runs",
        ),
    ),
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
        parts += [f"## {theme}\n", *_types(objects)]
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
    fields = [ast.unparse(_plain(one)) for one in node.body if isinstance(one, ast.AnnAssign)]
    return f"{node.name}({', '.join(fields)})"


class _PlainAnnotations(ast.NodeTransformer):
    """Takes the quotation marks off annotations that are written as text; defaults keep theirs."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.arg(node.arg, _unquoted(node.annotation))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = _unquoted(node.returns)
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = _unquoted(node.annotation) or node.annotation
        return node


def _unquoted(annotation: ast.expr | None) -> ast.expr | None:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return ast.parse(annotation.value, mode="eval").body
    return annotation


def _plain(node: ast.stmt) -> ast.stmt:
    return _PlainAnnotations().visit(node)


def _types(objects: Sequence[object]) -> list[str]:
    """A table of the package's own types in the signatures of a theme, but for those that stand there themselves."""
    shown = {one.__name__ for one in objects if isinstance(one, type)}
    told: dict[str, str] = {}
    for one in objects:
        module = sys.modules[inspect.unwrap(one).__module__]  # pyright: ignore[reportArgumentType, reportAttributeAccessIssue]
        for name in sorted({name for function in _functions(one) for name in _annotated(function)} - shown):
            if (meaning := _meaning(name, module)) and told.setdefault(name, meaning) != meaning:
                raise ValueError(f"{name} stands for two types on one page: {meaning}; {told[name]}")
    rows = [f"| `{name}` | {told[name]} |" for name in sorted(told)]
    return ["\n".join(["| in signatures | stands for |", "|---|---|", *rows, ""])] if rows else []


def _functions(one: object) -> list[ast.FunctionDef]:
    """Whose signatures are shown: the function itself, or the members of the class."""
    node = _plain(_node(one))
    if isinstance(node, ast.ClassDef) and isinstance(one, type):
        return [inner for inner in node.body if isinstance(inner, ast.FunctionDef) and _is_shown(one, inner)]
    return [node] if isinstance(node, ast.FunctionDef) else []


def _annotated(function: ast.FunctionDef) -> Iterator[str]:
    """The names in its annotations."""
    annotations = [*(argument.annotation for argument in function.args.args), function.returns]
    for annotation in filter(None, annotations):
        yield from (part.id for part in ast.walk(annotation) if isinstance(part, ast.Name))


def _meaning(name: str, module: ModuleType) -> str | None:
    """What a name of ours stands for, with the text below it; None for one of another package, or a type variable."""
    lines = ast.parse(inspect.getsource(module)).body
    for line, below in pairwise([*lines, ast.Pass()]):
        if isinstance(line, ast.ClassDef) and line.name == name:
            return f"`{module.__name__}.{name}`: {_first_paragraph(line)}"
        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == name:
            written = ast.unparse(line.value).replace("'", '"').replace('" ', '"').replace("np.ndarray", "ndarray")
            text = f": {' '.join(ast.literal_eval(below.value).split())}" if isinstance(below, ast.Expr) else ""
            return None if written.startswith("TypeVar") else f"`{written}`{text}"
        if isinstance(line, ast.ImportFrom) and any(each.name == name for each in line.names):
            ours = (line.module or "").partition(".")[0] in ("pipeline", "storage")
            return _meaning(name, sys.modules[str(line.module)]) if ours else None
    return None


def _is_shown(one: type, member: ast.FunctionDef) -> bool:
    if one in MEMBERS:
        return member.name in MEMBERS[one]
    return member.name == "__init__" or (not member.name.startswith("_") and bool(ast.get_docstring(member)))


def _first_paragraph(node: ast.FunctionDef | ast.ClassDef) -> str:
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
    node = _PlainAnnotations().visit(node)
    arguments = re.sub(r"^(self|cls)(, )?", "", ast.unparse(node.args))
    name, result = (
        (of, "") if node.name == "__init__" else (node.name, f" -> {ast.unparse(node.returns or ast.Name('None'))}")
    )
    return f"{name}({arguments}){result}".replace("'", '"')


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


PAGES: Mapping[str, Callable[[], str]] = {"configuration.md": reference, "tables.md": tables, "api.md": api}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
