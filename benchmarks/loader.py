"""Loading training pictures: shards against an image folder of JPEGs, every byte copied into one contiguous batch.

The folder is read as CycleGAN's own loader does: Pillow opens a 256 px JPEG, scales it to 286, cuts a random window of
256, mirrors it or not, and leaves it uint8. The shards hold 286 px and alpha besides; the same windows are cut in
random order. Page cache warm, one core, CPU time a picture, batches of one, as the study trains, medians over turns of
many batches. `whole` is what a store without a margin for windows gives: 256 px as they lie there.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.pictures import photo_like
from benchmarks.results import Goal, report
from pipeline.dataset.shards import Picture, ShardReader, write_shard

STORED_PX, SIZE_PX = 286, 256
PICTURES, SHARDS = 1024, 4
ROUNDS, IN_A_ROW = 40, 32
"""The loaders take turns of so many batches."""
BATCH = 1
"""As the study trains."""


def write_both(folder: Path) -> tuple[list[Path], ShardReader, ShardReader]:
    """The same pictures as JPEGs, as shards at the size that windows are cut from, and as shards of 256 px."""
    generator, files, places = np.random.default_rng(0), [], []
    (folder / "jpegs").mkdir()
    for number in range(64):
        path = folder / "jpegs" / f"{number}.jpg"
        path.write_bytes(photo_like(SIZE_PX, SIZE_PX, number))
        files.append(path)
    pixels = [np.asarray(Image.open(path).resize((STORED_PX, STORED_PX), Image.Resampling.BICUBIC)) for path in files]
    for shard in range(SHARDS):
        rows = [pixels[int(generator.integers(len(pixels)))] for _ in range(PICTURES // SHARDS)]
        pictures = [Picture(f"{shard}-{row}", rgb, rgb[..., 0]) for row, rgb in enumerate(rows)]
        name = write_shard(folder, pictures)
        places += [(folder / name, row) for row in range(len(rows))]
    small = [np.asarray(Image.fromarray(rgb).resize((SIZE_PX, SIZE_PX))) for rgb in pixels]
    name = write_shard(
        folder, [Picture(str(row), small[row % len(small)], small[row % len(small)][..., 0]) for row in range(512)]
    )
    whole = ShardReader([folder / name] * 512, list(range(512)))
    return files, ShardReader([path for path, _ in places], [row for _, row in places]), whole


def batch_arrays(kind: type[np.generic]) -> tuple[np.ndarray, np.ndarray]:
    """Memory for a batch, reused by every loader alike."""
    return np.zeros((BATCH, SIZE_PX, SIZE_PX, 3), kind), np.zeros((BATCH, SIZE_PX, SIZE_PX), kind)


def from_folder(
    files: list[Path], batch: np.ndarray, indices: np.ndarray, offsets: np.ndarray, mirrored: np.ndarray
) -> np.ndarray:
    """Fill a batch uint8 [batch, 256, 256, 3] from the folder."""
    for position, index in enumerate(indices):
        with Image.open(files[index % len(files)]) as image:
            large = image.convert("RGB").resize((STORED_PX, STORED_PX), Image.Resampling.BICUBIC)
        top, left = map(int, offsets[position])
        window = large.crop((left, top, left + SIZE_PX, top + SIZE_PX))
        batch[position] = window.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored[position] else window
    return batch


def main() -> None:
    """Measure and report."""
    with tempfile.TemporaryDirectory(prefix="bokehflow-bench-") as folder:
        files, reader, whole = write_both(Path(folder))
        generator = np.random.default_rng(1)
        bytes_, floats = batch_arrays(np.uint8), batch_arrays(np.float32)
        loaders: dict[str, Callable[..., object]] = {
            "image_folder": lambda indices, offsets, mirrored: from_folder(files, bytes_[0], indices, offsets, mirrored),
            "whole": lambda indices, offsets, mirrored: whole.batch(indices % len(whole)),
            "uint8": lambda indices, offsets, mirrored: reader.windows(indices, offsets, SIZE_PX, bytes_),
            "float_with_flips": lambda indices, offsets, mirrored: reader.float_windows(
                indices, offsets, mirrored, SIZE_PX, floats
            ),
        }
        times: dict[str, list[float]] = {name: [] for name in loaders}
        for start in range(0, len(reader), 64):
            reader.batch(np.arange(start, start + 64))
        for round_ in range(ROUNDS + 2):
            chosen = [
                (
                    generator.integers(len(reader), size=BATCH),
                    generator.integers(STORED_PX - SIZE_PX + 1, size=(BATCH, 2)),
                    generator.random(BATCH) < 0.5,
                )
                for _ in range(IN_A_ROW)
            ]
            for name, load in loaders.items():
                start = time.thread_time()
                for one in chosen:
                    load(*one)
                if round_ > 1:  # the first rounds compile and warm up
                    times[name].append((time.thread_time() - start) / (IN_A_ROW * BATCH) * 1e6)
    microseconds = {name: median(measured) for name, measured in times.items()}
    ratios = {name: microseconds["image_folder"] / microseconds[name] for name in ("whole", "uint8", "float_with_flips")}
    report(
        "loader",
        {
            **{f"{name}_us": round(value, 1) for name, value in microseconds.items()},
            **{f"{name}_ratio": round(value, 1) for name, value in ratios.items()},
        },
        [
            Goal("times an image folder, uint8 with alpha, at least 100", round(ratios["uint8"], 1), ratios["uint8"] >= 100),
            Goal(
                "times an image folder, float with flips and alpha, at least 20",
                round(ratios["float_with_flips"], 1),
                ratios["float_with_flips"] >= 20,
            ),
        ],
    )


if __name__ == "__main__":
    main()
