"""A trained model as one HTML file, which applies it to photos in a browser and needs no server.

The networks run in onnxruntime-web; what `models.large_photos` does around them, the page's script does again. Everything
is in the file, compressed, so that it works from a disk, from any web server, and without internet.
"""

import base64
import gzip
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from pipeline.atomic import write_bytes
from pipeline.errors import TrainingError
from pipeline.file_names import child
from pipeline.models.disparity_generator import DisparityGenerator
from pipeline.models.images import LEAST_EDGE_PX, STRIDE_PX
from pipeline.models.large_photos import LEAST_RADIUS_PX
from pipeline.models.lens import SMALLEST_RADIUS_PX, radii_px
from pipeline.models.lens_generator import LensGenerator
from pipeline.models.networks import Generator
from pipeline.plain_files import read_plain
from pipeline.training.onnx_export import export_onnx, export_plan


@dataclass(frozen=True)
class SalientNetwork:
    """A network that finds what stands out of a picture: RGB, normalised, squeezed into a square, to opacity."""

    onnx: bytes
    side_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def write_page(
    generator: Generator,
    size_px: int,
    card: Mapping[str, str | int],
    runtime: Mapping[str, bytes],
    salient: SalientNetwork | None,
    path: Path,
) -> int:
    """Write the page of a generator that was trained at `size_px`; returns its size in bytes.

    `card` is what the page says of the model, its name as `run_id` first of all. `runtime` are the files of onnxruntime-web:
    `ort`, the script with all that it loads, and `wasm`. `salient` must be there where the generator `holds_subject`.
    Raises `TrainingError` for a model of depth.
    """
    if isinstance(generator, DisparityGenerator):
        raise TrainingError(f"{card['run_id']} predicts depth; a page is for models that change photos")
    with tempfile.TemporaryDirectory(prefix="bokehflow-page-") as folder:
        network = child(Path(folder), "model.onnx")
        export = export_plan if isinstance(generator, LensGenerator) else export_onnx
        export(generator, network, dict(card))  # pyright: ignore[reportArgumentType]
        parts = {**runtime, "model": read_plain(network)}
    settings = _settings(generator, size_px, str(card["run_id"]))
    if generator.holds_subject:
        if salient is None:
            raise ValueError("this generator holds the subject, which a network must find")
        parts["salient"] = salient.onnx
        settings["salient"] = {"side": salient.side_px, "mean": salient.mean, "std": salient.std}
    loader = jinja2.PackageLoader("pipeline.training", "page")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    page = environment.get_template("page.html").render(
        settings=settings,
        facts={name.replace("_", " "): value for name, value in card.items()},
        settings_json=_safe(json.dumps(settings)),
        parts={name: _safe(_packed(data)) for name, data in parts.items()},
        script=_safe(loader.get_source(environment, "page.js")[0]),
    )
    write_bytes(path, page.encode())
    return len(page.encode())


def _settings(generator: Generator, size_px: int, name: str) -> dict[str, object]:
    settings: dict[str, object] = {
        "name": name, "stride_px": STRIDE_PX, "least_edge_px": LEAST_EDGE_PX, "size_px": size_px
    }  # fmt: skip
    if not isinstance(generator, LensGenerator):
        return {**settings, "kind": "painted", "words": f"It paints the photo anew, {size_px} pixels high or wide."}
    config = generator.config
    strength = float(generator.strength) if config.lens_calibrated else 1.0
    return {
        **settings,
        "kind": "lens",
        "words": "It blurs the background as a lens does, and leaves the subject alone."
        if config.lens_holds_subject
        else "It blurs as a lens does, where it takes what it sees for background.",
        "lens_side_px": config.lens_side_px,
        "radii_px": [strength * radius for radius in radii_px(config.lens_side_px)],
        "bounded": config.lens_bounded,
        "highlights": config.lens_highlights,
        "single_disc": config.lens_single_disc,
        "keeps_grain": config.lens_keeps_grain,
        "opens_points": config.lens_opens_points,
        "holds": config.lens_holds_subject,
        "finds": generator.finder is not None,
        "smallest_radius_px": SMALLEST_RADIUS_PX,
        "least_radius_px": LEAST_RADIUS_PX,
    }


def _packed(data: bytes) -> str:
    """Compressed, the same at any time, as text."""
    return base64.b64encode(gzip.compress(data, mtime=0)).decode()


def _safe(text: str) -> Markup:
    """Text for inside a script element, which nothing in it may end."""
    return Markup(text.replace("</", "<\\/"))
