"""Shards: Arrow files of fixed-size pictures that are mapped into memory, not decoded.

A row is a key, the digests of its pixels and alpha, RGB (`size × size × 3` bytes) and alpha (`size × size`).
A shard is immutable and named by the digest of its rows, so that snapshots share it. Rows are read by address
arithmetic on the columns' buffers, which is several times faster than Arrow's own `take` on fixed-size binary.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.atomic import atomic_path
from pipeline.errors import DatasetError
from pipeline.file_names import child
from pipeline.plain_files import plain_path

SUFFIX = ".arrow"


@dataclass(frozen=True)
class ShardPicture:
    """One training picture: `rgb` uint8 `[size, size, 3]`, `alpha` uint8 `[size, size]`, both 0 to 255."""

    key: str
    rgb: np.ndarray
    alpha: np.ndarray

    @property
    def pixels_sha256(self) -> str:
        """Digest of the RGB bytes, row by row."""
        return hashlib.sha256(self.rgb.tobytes()).hexdigest()

    @property
    def alpha_sha256(self) -> str:
        """Digest of the alpha bytes, row by row."""
        return hashlib.sha256(self.alpha.tobytes()).hexdigest()


def write_shard(folder: Path, pictures: Sequence[ShardPicture]) -> str:
    """Write the pictures as one shard in their order; returns its file name. An equal shard is not written twice."""
    table = _table(pictures)
    name = _digest(pictures) + SUFFIX
    path = child(folder, name)
    if not path.exists():
        with (
            atomic_path(path) as temporary,
            pa.OSFile(str(temporary), "wb") as sink,
            pa.ipc.new_file(sink, table.schema) as writer,
        ):
            writer.write_table(table, max_chunksize=len(pictures))
        path.chmod(0o444)
    return name


def _table(pictures: Sequence[ShardPicture]) -> pa.Table:
    size = pictures[0].rgb.shape[0]
    rgb_type, alpha_type = pa.binary(size * size * 3), pa.binary(size * size)
    columns = {
        "key": pa.array([picture.key for picture in pictures], pa.string()),
        "pixels_sha256": pa.array([picture.pixels_sha256 for picture in pictures], pa.string()),
        "alpha_sha256": pa.array([picture.alpha_sha256 for picture in pictures], pa.string()),
        "rgb": pa.array([picture.rgb.tobytes() for picture in pictures], rgb_type),
        "alpha": pa.array([picture.alpha.tobytes() for picture in pictures], alpha_type),
    }
    return pa.table(columns).replace_schema_metadata({"size_px": str(size)})


def _digest(pictures: Iterable[ShardPicture]) -> str:
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(picture.key.encode() + b"\0" + picture.rgb.tobytes() + picture.alpha.tobytes())
    return digest.hexdigest()[:32]


class Shard:
    """One mapped shard: `rgb` uint8 `[rows, size, size, 3]` and `alpha` uint8 `[rows, size, size]`, read-only.

    Raises `DatasetError` when the file is missing or is not a shard.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._table = pa.ipc.open_file(pa.memory_map(str(plain_path(path)))).read_all().combine_chunks()
            self.size_px = int((self._table.schema.metadata or {})[b"size_px"])
        except FileNotFoundError:
            raise DatasetError(f"{path}: the shard is missing; run `bokehflow run` to make it anew") from None
        except (pa.ArrowInvalid, OSError, KeyError) as error:
            raise DatasetError(
                f"{path}: not a readable shard ({error}); delete it and run `bokehflow run` to make it anew"
            ) from error
        self.rgb = self._pixels("rgb", (self.size_px, self.size_px, 3))
        self.alpha = self._pixels("alpha", (self.size_px, self.size_px))

    def index(self) -> pd.DataFrame:
        """Columns `key`, `pixels_sha256`, `alpha_sha256` of every row, in order."""
        return self._table.select(["key", "pixels_sha256", "alpha_sha256"]).to_pandas()

    def _pixels(self, column: str, shape: tuple[int, ...]) -> np.ndarray:
        chunk = self._table.column(column).chunk(0)
        width = int(np.prod(shape))
        flat = np.frombuffer(chunk.buffers()[1], np.uint8, count=len(chunk) * width, offset=chunk.offset * width)
        return flat.reshape(len(chunk), *shape)


class ShardReader:
    """Pictures by position: the i-th lies in row `rows[i]` of the shard `paths[i]`."""

    def __init__(self, paths: Sequence[Path], rows: Sequence[int]) -> None:
        if not paths:
            raise DatasetError("no pictures to read: the selection is empty")
        self._shards = {path: Shard(path) for path in sorted(set(paths))}
        self._at = [(self._shards[path], row) for path, row in zip(paths, rows, strict=True)]
        self.size_px = self._at[0][0].size_px
        for path, shard in self._shards.items():
            if shard.size_px != self.size_px:
                raise DatasetError(f"{path}: pictures of {shard.size_px} px among others of {self.size_px} px")

    def __len__(self) -> int:
        return len(self._at)

    def view(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The picture where it lies, not copied: rgb uint8 `[size, size, 3]`, alpha uint8 `[size, size]`, read-only."""
        shard, row = self._at[index]
        return shard.rgb[row], shard.alpha[row]

    def batch(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Copies of the pictures: rgb uint8 `[batch, size, size, 3]`, alpha uint8 `[batch, size, size]`."""
        rgb = np.empty((len(indices), self.size_px, self.size_px, 3), np.uint8)
        alpha = np.empty((len(indices), self.size_px, self.size_px), np.uint8)
        for position, index in enumerate(indices):
            rgb[position], alpha[position] = self.view(index)
        return rgb, alpha
