"""The layers of a training picture: `rgb` and `alpha`, which every one has, and those that it may have beside them.

This is the one list of them. Shards, manifests, exports, the loader and whatever else handles layers go through it, so that
a new layer is an entry here, its columns in `pipeline.tables` and two fields of `Batch`.

A recipe gets a layer by its model naming it: `LAYERS = ("depth_a",)` in the class asks for the layer `depth` of domain A. It
is then trained on the pictures that have one, and finds it in `batch.depth_a`, cut and mirrored as `batch.real_a` is:
disparity float32 `[batch, 1, height, width]`, 0 where it is unknown. `batch.target_a` is a picture as `batch.real_a` is.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import pandas as pd  # lineage, which takes less time than importing it, asks for names alone

KEPT_AS = Literal["map", "photo"]
RELATIVE, METRIC = "relative", "dioptre"
"""Units of depth: disparity whose scale and shift nobody knows, and 1/m."""
DEPTH_UNIT_FORM = r"(m|mm|dioptre|disparity)(?:/([0-9]{1,9}(?:\.[0-9]{1,9})?))?"
"""What a person writes of the numbers in a file of depth: the quantity, and how many steps make one of it."""
DEPTH_UNIT_WORDS = "mm, m, dioptre (1/m) or disparity (relative: larger is nearer), with steps as in m/5000 or dioptre/10000"
_NUMBER = r"-?[0-9]{1,17}(?:\.[0-9]{1,20})?(?:e[+-]?[0-9]{1,2})?"
ENCODING_FORM = rf"(?:{METRIC}|{RELATIVE}) {_NUMBER} {_NUMBER}"
"""What the text of an `Encoding` looks like."""


@dataclass(frozen=True)
class Layer:
    """A layer: in shards it is `kind`, `[size, size]` for one channel and `[size, size, channels]` for more.

    `kept_as`: what an optional one is made from, a map in a folder of its own or another photo's bytes.
    """

    name: str
    digest: str
    kind: type[np.uint8] | type[np.uint16]
    channels: int
    what: str
    kept_as: KEPT_AS | None = None
    encoded: bool = False

    def shape(self, size_px: int) -> tuple[int, ...]:
        """Of one picture's."""
        return (size_px, size_px) if self.channels == 1 else (size_px, size_px, self.channels)

    def bytes_of(self, size_px: int) -> int:
        """Of one picture's."""
        return size_px**2 * self.channels * np.dtype(self.kind).itemsize

    @property
    def source(self) -> str:
        """The column that says what an optional layer is made from: a path below the layer's folder, or a blob's SHA-256."""
        return f"{self.name}_source"

    @property
    def source_digest(self) -> str:
        """The column with the digest of that."""
        return f"{self.name}_source_sha256"

    @property
    def encoding(self) -> str:
        """The column that says what its numbers mean, of a layer that is `encoded`."""
        return f"{self.name}_encoding"


LAYERS = (
    Layer("rgb", "pixels_sha256", np.uint8, 3, "the picture"),
    Layer("alpha", "alpha_sha256", np.uint8, 1, "opacity of the subject"),
    Layer("depth", "depth_sha256", np.uint16, 1, "disparity in 16 bits, 0 where it is unknown", "map", encoded=True),
    Layer("target", "target_sha256", np.uint8, 3, "the same scene as it is to become", "photo"),
)
REQUIRED = tuple(layer for layer in LAYERS if layer.kept_as is None)
OPTIONAL = tuple(layer for layer in LAYERS if layer.kept_as is not None)
BY_NAME: Mapping[str, Layer] = {layer.name: layer for layer in LAYERS}
DIGESTS = [layer.digest for layer in LAYERS]
OPTIONAL_DIGESTS = [layer.digest for layer in OPTIONAL]
ENCODINGS = [layer.encoding for layer in OPTIONAL if layer.encoded]
SOURCES = [column for layer in OPTIONAL for column in (layer.source, layer.source_digest)]
PHOTO_SOURCES = [layer.source for layer in OPTIONAL if layer.kept_as == "photo"]
"""Those that name another picture, which belongs to a photo and goes with it."""


@dataclass(frozen=True)
class Encoding:
    """What the numbers n of a map of depth mean: disparity is `scale`·n + `shift` where n > 0, and unknown where it is 0.

    >>> Encoding.parse("dioptre 0.0001 0.0")
    Encoding(unit='dioptre', scale=0.0001, shift=0.0)
    """

    unit: str
    scale: float
    shift: float

    @classmethod
    def parse(cls, text: str) -> "Encoding":
        """The encoding of that text. Raises ValueError."""
        if not re.fullmatch(ENCODING_FORM, text):
            raise ValueError(f"{text[:60]!r} does not say what the numbers of a map of depth mean")
        unit, scale, shift = text.split(" ")
        return cls(unit, float(scale), float(shift))

    def __str__(self) -> str:
        return f"{self.unit} {self.scale!r} {self.shift!r}"

    def disparity(self, stored: np.ndarray) -> np.ndarray:
        """float32, 0 where it is unknown; in 1/m where the unit is `dioptre`; larger is nearer."""
        return np.where(stored > 0, np.float32(self.scale) * stored + np.float32(self.shift), np.float32(0))


def layer_digest(layer: Layer, pixels: np.ndarray, encoding: str | None) -> str:
    """SHA-256 of a picture's layer: its bytes, row by row, after the text of its encoding where it has one."""
    head = encoding.encode() + b"\0" if encoding is not None else b""
    return hashlib.sha256(head + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def nearest(stored: np.ndarray, left: float, top: float, edge: float, size_px: int) -> np.ndarray:
    """The square of `edge` pixels at that corner, `[size, size]`: of each new pixel the value where its middle lies.

    For depth, which lies on one side of an edge or on the other: between a face and a wall there is nothing.
    """
    steps = (np.arange(size_px) + 0.5) * edge / size_px
    rows = np.clip((top + steps).astype(np.intp), 0, stored.shape[0] - 1)
    columns = np.clip((left + steps).astype(np.intp), 0, stored.shape[1] - 1)
    return np.ascontiguousarray(stored[np.ix_(rows, columns)])


def scaled_nearest(stored: np.ndarray, size_px: int) -> np.ndarray:
    """A whole square, as `nearest` takes it."""
    return nearest(stored, 0, 0, stored.shape[0], size_px)


def with_all_digests(rows: "pd.DataFrame") -> "pd.DataFrame":
    """`rows` with the columns `DIGESTS`, empty text for layers that a picture does not have: what tells pictures apart."""
    empty = {name: "" for name in OPTIONAL_DIGESTS if name not in rows}
    filled = {name: rows[name].astype(object).fillna("") for name in OPTIONAL_DIGESTS if name in rows}
    return rows.assign(**empty, **filled)


def present(rows: "pd.DataFrame") -> tuple[Layer, ...]:
    """The optional layers that any of these rows has."""
    return tuple(layer for layer in OPTIONAL if layer.digest in rows and rows[layer.digest].notna().any())


def sourced(rows: "pd.DataFrame") -> tuple[Layer, ...]:
    """The optional layers that any of these rows is to get."""
    return tuple(layer for layer in OPTIONAL if layer.source in rows and rows[layer.source].notna().any())
