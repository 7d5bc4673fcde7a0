"""The perceptual hash of a JPEG against imagehash.phash on the same bytes, on one thread and on two.

The pictures are portraits enlarged to the sizes of Flickr's photos, with grain, so that their files are about as
large as a camera's. CPU time, medians, the two interleaved. `everything` is what a fingerprint takes: the hashes of
eleven windows and of their mirror images.
"""

import io
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.peers import Peers
from benchmarks.pictures import portraits
from benchmarks.results import Goal, report
from pipeline.dedupe.hashes import both_ways, grey_exact, grey_fast, phash
from pipeline.memory import keep_freed_memory

SIZES_PX = {"1024px": (1024, 683), "1600px": (1600, 1067), "6mp": (3000, 2000)}
GOALS = {"1024px": 2.3, "1600px": 2.8, "6mp": 3.0}
BARE_GOAL, TWO_CORES_GOAL = 0.85, 1.7
PICTURES, ROUNDS, GRAIN_LEVELS = 6, 5, 4.0


def photo(path: Path, size: tuple[int, int], seed: int) -> bytes:
    """A portrait's upper part at this size, with grain, as a JPEG of quality 85."""
    with Image.open(path) as image:
        part = image.convert("RGB").crop((0, 0, image.width, image.width * size[1] // size[0]))
    grain = np.random.default_rng(seed).normal(0, GRAIN_LEVELS, (size[1], size[0], 1))
    rgb = np.asarray(part.resize(size, Image.Resampling.BICUBIC)) + grain
    buffer = io.BytesIO()
    Image.fromarray(rgb.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def by_imagehash(data: bytes) -> int:
    """The peer."""
    return int(str(imagehash.phash(Image.open(io.BytesIO(data)))), 16)


def bare_decode(data: bytes) -> None:
    """Nothing but a grey decode at 1/8: what no hash can go below."""
    with Image.open(io.BytesIO(data)) as image:
        image.draft("L", (image.width // 8, image.height // 8))
        image.load()


def milliseconds(ways: dict[str, Callable[[bytes], object]], photos: list[bytes]) -> dict[str, float]:
    """Median CPU time of each way, taken in turns."""
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(PICTURES * ROUNDS):
        for way, run in ways.items():
            start = time.thread_time()
            run(photos[number % PICTURES])
            taken[way].append((time.thread_time() - start) * 1000)
    return {way: float(np.median(values)) for way, values in taken.items()}


def two_cores(run: Callable[[bytes], object], photos: list[bytes]) -> float:
    """How many times as many pictures two threads take as one does, by the clock: the best of some rounds each."""
    best = {}
    for threads in (1, 2) * 3:
        with ThreadPoolExecutor(threads) as pool:
            start = time.perf_counter()
            list(pool.map(run, photos * 4))
            best[threads] = min(best.get(threads, np.inf), time.perf_counter() - start)
    return float(best[1] / best[2])


def drift(paths: list[Path]) -> Counter[int]:
    """How many portraits have their fast hash so many bits from imagehash's."""
    datas = (path.read_bytes() for path in paths)
    return Counter((by_imagehash(data) ^ phash(grey_fast(data))).bit_count() for data in datas)


def main() -> None:
    """Measure and report."""
    keep_freed_memory()  # as the product's own processes do
    paths = portraits()
    figures: dict[str, float | str] = {}
    goals: list[Goal] = []
    ways = {
        "imagehash": by_imagehash,
        "hash": lambda data: phash(grey_fast(data)),
        "everything": lambda data: both_ways(grey_fast(data)),
        "full_size": lambda data: phash(grey_exact(data)),
        "bare_decode": bare_decode,
    }
    photos: list[bytes] = []
    for name, size in SIZES_PX.items():
        photos = [photo(path, size, number) for number, path in enumerate(paths[:PICTURES])]
        taken = milliseconds(ways, photos)
        figures[f"{name}_file_kb"] = round(float(np.mean([len(data) for data in photos])) / 1000)
        figures |= {f"{name}_{way}_ms": round(value, 2) for way, value in taken.items()}
        times = round(taken["imagehash"] / taken["hash"], 2)
        figures |= {f"{name}_times_imagehash": times}
        figures |= {f"{name}_everything_times_imagehash": round(taken["imagehash"] / taken["everything"], 2)}
        goals.append(Goal(f"{name}: {GOALS[name]} times imagehash", times, times >= GOALS[name]))
        if name == "6mp":
            bare = round(taken["bare_decode"] / taken["hash"], 3)
            goals.append(Goal(f"{name}: {BARE_GOAL} of a bare 1/8 decode's speed", bare, bare >= BARE_GOAL))
    cores = round(two_cores(ways["everything"], photos), 2)
    # Where other programs keep the machine busy, this falls short as well.
    figures["two_cores_bare_decode_times_one"] = round(two_cores(bare_decode, photos), 2)
    goals.append(Goal(f"two cores {TWO_CORES_GOAL} times one", cores, cores >= TWO_CORES_GOAL))
    drifts = drift(paths)
    figures |= {f"portraits_{bits}_bits_off": count for bits, count in sorted(drifts.items())}
    goals.append(Goal("the fast hash at most 2 bits off", max(drifts), max(drifts) <= 2))
    report("fingerprint", figures, goals, Peers(here=("imagehash", "pillow")))


if __name__ == "__main__":
    main()
