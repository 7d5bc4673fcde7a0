"""Decode, crop and scale one training picture, side by side with Pillow's plain path, at three sizes of photo.

Plain: open, convert to RGB, crop the centred square, Lanczos to 256. Ours: `decode_reduced` and `cut`, as the pipeline
does. PSNR is against a Lanczos in floating point on the full decode. One core, CPU time, medians, interleaved.
"""

import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.peers import Peers
from benchmarks.pictures import photo_like
from benchmarks.results import Goal, report
from pipeline.dataset.crop import centre_square
from pipeline.dataset.prepare import REDUCED_TO, cut
from pipeline.photos.decode import decode_reduced

SIZE_PX = 256
SIZES = {"1024": (1024, 683), "1600": (1600, 1067), "6mp": (3072, 2048)}
PICTURES, ROUNDS = 12, 7


def plain(data: bytes) -> np.ndarray:
    """What one writes without thinking."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    square = image.crop((left, top, left + edge, top + edge))
    return np.asarray(square.resize((SIZE_PX, SIZE_PX), Image.Resampling.LANCZOS))


def ours(data: bytes) -> np.ndarray:
    """What the pipeline does."""
    photo = decode_reduced(data, REDUCED_TO * SIZE_PX, 10**8)
    return cut(photo.rgb, photo.extent, centre_square(*photo.extent), SIZE_PX)


def float_lanczos(data: bytes) -> np.ndarray:
    """The full decode scaled in floating point, rounded once at the end."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    box = centre_square(*image.size).box(*image.size)
    bands = [np.asarray(band, np.float32) for band in image.split()]
    scaled = [Image.fromarray(band).resize((SIZE_PX, SIZE_PX), Image.Resampling.LANCZOS, box=box) for band in bands]
    return np.stack([np.asarray(band) for band in scaled], -1).clip(0, 255)


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Peak signal-to-noise ratio of 8-bit pictures in dB."""
    return float(10 * np.log10(255**2 / np.mean((one.astype(np.float64) - other) ** 2)))


def cpu_ms(function: Callable[[bytes], np.ndarray], data: bytes) -> float:
    """CPU time of this thread."""
    start = time.thread_time()
    function(data)
    return (time.thread_time() - start) * 1e3


def main() -> None:
    """Measure and report."""
    figures: dict[str, float | str] = {}
    for name, size in SIZES.items():
        files = [photo_like(*size, number) for number in range(PICTURES)]
        times = {plain: [], ours: []}
        for _ in range(ROUNDS):
            for data in files:
                for function, measured in times.items():
                    measured.append(cpu_ms(function, data))
        figures[f"{name}_plain_ms"] = round(median(times[plain]), 2)
        figures[f"{name}_ours_ms"] = round(median(times[ours]), 2)
        figures[f"{name}_ratio"] = round(median(times[plain]) / median(times[ours]), 2)
        figures[f"{name}_psnr_db"] = round(median(psnr(ours(data), float_lanczos(data)) for data in files), 1)
        figures[f"{name}_plain_psnr_db"] = round(median(psnr(plain(data), float_lanczos(data)) for data in files), 1)
    goals = [
        Goal("times as fast at 1600 px, at least 3.0", ratio := float(figures["1600_ratio"]), ratio >= 3.0),
        Goal("times as fast at 6 MP, at least 3.4", ratio := float(figures["6mp_ratio"]), ratio >= 3.4),
        *(
            Goal(f"dB to a float Lanczos at {name}, at least 50", db := float(figures[f"{name}_psnr_db"]), db >= 50)
            for name in SIZES
        ),
    ]
    report("prepare", figures, goals, Peers(here=("pillow",)))


if __name__ == "__main__":
    main()
