"""Loading training pictures: shards against an image folder, every byte copied into one contiguous batch.

The folder is read as CycleGAN's own loader does: Pillow opens a 256 px JPEG, scales it to 286, cuts a random window of
256 and mirrors it or not; `folder` leaves it uint8, `folder_with_masks` reads the subject's alpha from a PNG beside it
and cuts it alike. The shards hold 286 px and alpha; they are read by what training reads them with: `PairSampler.cut` for
bytes (on their way to a GPU), `InMemory` for the tensors of the processor, always with alpha, from one window to the
next in random order. Page cache warm, one core, CPU time a picture, batches of one, as the study trains, medians over
turns of many batches. `rgb` is the copy without alpha, `whole` with alpha and without a margin for windows.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.peers import Peers
from benchmarks.pictures import photo_like
from benchmarks.results import Goal, report
from pipeline.dataset.shards import ShardPicture, ShardReader, write_shard
from pipeline.memory import keep_freed_memory
from pipeline.training.loader import InMemory
from pipeline.training.recipes import resolve
from pipeline.training.sampling import PairSampler, Windows
from pipeline.training.windows import copy_window

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
        mask = np.hypot(*(np.indices((SIZE_PX, SIZE_PX)) - SIZE_PX / 2 - number / 8)) < SIZE_PX / 3
        Image.fromarray(mask.astype(np.uint8) * 255).save(path.with_suffix(".png"))
        files.append(path)
    pixels = [np.asarray(Image.open(path).resize((STORED_PX, STORED_PX), Image.Resampling.BICUBIC)) for path in files]
    for shard in range(SHARDS):
        rows = [pixels[int(generator.integers(len(pixels)))] for _ in range(PICTURES // SHARDS)]
        pictures = [ShardPicture(f"{shard}-{row}", rgb, rgb[..., 0]) for row, rgb in enumerate(rows)]
        name = write_shard(folder, pictures)
        places += [(folder / name, row) for row in range(len(rows))]
    small = [np.asarray(Image.fromarray(rgb).resize((SIZE_PX, SIZE_PX))) for rgb in pixels]
    name = write_shard(
        folder, [ShardPicture(str(row), small[row % len(small)], small[row % len(small)][..., 0]) for row in range(512)]
    )
    whole = ShardReader([folder / name] * 512, list(range(512)))
    return files, ShardReader([path for path, _ in places], [row for _, row in places]), whole


def from_folder(files: list[Path], batch: list[np.ndarray], suffixes: tuple[str, ...], windows: Windows) -> None:
    """Fill a batch, uint8 [batch, 256, 256, …] for each of `suffixes`, from the folder."""
    for position, (index, top, left, mirrored) in enumerate(windows):
        for suffix, out in zip(suffixes, batch, strict=False):
            with Image.open(files[index % len(files)].with_suffix(suffix)) as image:
                picture = image.convert("RGB" if suffix == ".jpg" else "L")
            large = picture.resize((STORED_PX, STORED_PX), Image.Resampling.BICUBIC)
            window = large.crop((left, top, left + SIZE_PX, top + SIZE_PX))
            out[position] = window.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else window


def rgb_alone(reader: ShardReader, batch: np.ndarray, windows: Windows) -> None:
    """Fill a batch uint8 [batch, 256, 256, 3] from the shards."""
    for position, (index, top, left, mirrored) in enumerate(windows):
        copy_window(reader.view(index)[0], top, left, mirrored, batch[position])


def sampler_of(reader: ShardReader, crop_margin: float, flip: bool) -> PairSampler:
    """What training draws windows with."""
    settings = {"size_px": SIZE_PX, "crop_margin": crop_margin, "flip": flip, "batch_size": BATCH}
    return PairSampler(reader, reader, resolve("study", settings), seed=0)


def main() -> None:
    """Measure and report."""
    keep_freed_memory()  # as the product's own processes do
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory(prefix="bokehflow-bench-") as folder:
        files, reader, whole = write_both(Path(folder))
        margin = STORED_PX / SIZE_PX - 1
        straight, flipped = (sampler_of(reader, margin, flip) for flip in (False, True))
        entire = sampler_of(whole, 0.0, False)
        assert straight.settings.held_size_px == STORED_PX
        batch = [np.zeros((BATCH, SIZE_PX, SIZE_PX, 3), np.uint8), np.zeros((BATCH, SIZE_PX, SIZE_PX), np.uint8)]
        loaders: dict[str, tuple[PairSampler, Callable[[Windows], object]]] = {
            "folder": (flipped, lambda windows: from_folder(files, batch, (".jpg",), windows)),
            "folder_with_masks": (flipped, lambda windows: from_folder(files, batch, (".jpg", ".png"), windows)),
            "rgb": (straight, lambda windows: rgb_alone(reader, batch[0], windows)),
            "uint8": (straight, lambda windows: straight.cut(reader, windows)),
            "uint8_with_flips": (flipped, lambda windows: flipped.cut(reader, windows)),
            "whole": (entire, lambda windows: entire.cut(whole, windows)),
            "float_with_flips": (flipped, InMemory(reader, SIZE_PX)),
        }
        times: dict[str, list[float]] = {name: [] for name in loaders}
        for source in (reader, whole):
            for start in range(0, len(source), 64):
                source.batch(np.arange(start, start + 64))
        generator = np.random.default_rng(1)
        for round_ in range(ROUNDS + 2):
            for name, (sampler, load) in loaders.items():
                chosen = [sampler.windows(step, generator)[1] for step in range(IN_A_ROW)]
                start = time.thread_time()
                for one in chosen:
                    load(one)
                if round_ > 1:  # the first rounds compile and warm up
                    times[name].append((time.thread_time() - start) / (IN_A_ROW * BATCH) * 1e6)
    conclude({name: median(measured) for name, measured in times.items()})


def conclude(microseconds: dict[str, float]) -> None:
    """Ratios of what brings the same bytes, and the goals."""
    alike = {name: "folder" if name == "rgb" else "folder_with_masks" for name in microseconds if "folder" not in name}
    ratios = {name: microseconds[folder] / microseconds[name] for name, folder in alike.items()}
    rgb, uint8, floats = (round(ratios[name], 1) for name in ("rgb", "uint8", "float_with_flips"))
    report(
        "loader",
        {
            **{f"{name}_us": round(value, 1) for name, value in microseconds.items()},
            **{f"{name}_ratio": round(value, 1) for name, value in ratios.items()},
            "float_with_flips_and_alpha_to_folder_without_ratio": round(
                microseconds["folder"] / microseconds["float_with_flips"], 1
            ),
            "uint8_with_alpha_to_folder_without_ratio": round(microseconds["folder"] / microseconds["uint8"], 1),
        },
        [
            Goal("times an image folder, uint8, at least 100", rgb, rgb >= 100),
            Goal("times an image folder with masks, uint8 with alpha, at least 100", uint8, uint8 >= 100),
            Goal("times an image folder with masks, float with flips and alpha, at least 20", floats, floats >= 20),
        ],
        Peers(here=("pillow",)),
    )


if __name__ == "__main__":
    main()
