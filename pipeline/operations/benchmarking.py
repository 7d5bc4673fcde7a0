"""Our models on benchmarks of the field: pairs read as their authors lay them out, each picture's scores kept at once.

A row for each picture, method and variant is appended as soon as it is known, with the digest of all that it comes from:
whoever was interrupted goes on there, and what has changed is scored again. Nothing of a benchmark is copied.
"""

import csv
import hashlib
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.atomic import write_text
from pipeline.counted import counted
from pipeline.depth.layouts import PICTURES, RgbdPair, by_stem, realbokeh
from pipeline.errors import ConfigError
from pipeline.evaluation.benchmark.alignment import align
from pipeline.evaluation.benchmark.protocols import DIGITS, METRICS, NUMBERS_OF_VAL294, Benchmark, scores_of
from pipeline.file_names import child, printable
from pipeline.intervals import mean_interval
from pipeline.photos.decode import decode
from pipeline.photos.opening import UndecodableImage
from pipeline.plain_files import plain, read_plain, read_plain_text
from pipeline.spreadsheet import before_next_row, csv_text, harmless

if TYPE_CHECKING:
    from pipeline.evaluation.measure.perceptual import PerceptualNetwork

VERSION = "1"
"""Of the scoring: another one scores everything again."""
INPUT = "input"
"""The untouched picture, beside which every method stands."""
VARIANTS = ("as_published", "aligned")
GEOMETRY = ("x_px", "y_px", "gain_red", "gain_green", "gain_blue")
COLUMNS = ("picture", "method", "variant", *METRICS, *GEOMETRY, "made_from")
MAX_BYTES, MAX_PIXELS, MAX_CSV_BYTES = 200_000_000, 60_000_000, 256 * 2**20
MAX_LPIPS_PIXELS = 4_000_000
"""VGG-16 holds a kilobyte a pixel."""
LEAST_SIDE_PX = 16
PLACES = ("", "Training", "train", "test")
"""Below the folder of EBB!, where its own folders may lie."""
SIDES = (("original", "bokeh"), ("in", "gt"))

Method = Callable[[np.ndarray], np.ndarray]
"""A picture, uint8 [height, width, 3], to another of that shape."""
Row = dict[str, str]


class Unscored(Exception):
    """A pair that cannot be scored; says why."""


@dataclass(frozen=True)
class BenchmarkPair:
    """A sharp photo and what it is compared with, as files."""

    name: str
    source: Callable[[], bytes] = field(repr=False)
    target: Callable[[], bytes] = field(repr=False)


@dataclass(frozen=True)
class Contender:
    """A method by the name that it has in tables; `version` changes with what it does."""

    name: str
    version: str
    run: Method = field(repr=False)


@dataclass
class BenchmarkResult:
    """All rows, and what could not be scored and why."""

    rows: list[Row]
    problems: list[str]


def read_benchmark(name: str, folder: Path) -> tuple[list[BenchmarkPair], list[str]]:
    """The pairs of a benchmark in the order of their names, and what is no pair. Raises `ConfigError` without any."""
    found, problems = _realbokeh(folder) if name == "realbokeh" else _ebb(folder, only_val294=name == "val294")
    if not found:
        raise ConfigError(f"{folder}: has no pair of {name}" + (f"; {'; '.join(problems[:3])}" if problems else ""))
    return found, problems


def _ebb(folder: Path, only_val294: bool) -> tuple[list[BenchmarkPair], list[str]]:
    """`original/` beside `bokeh/`, or `in/` beside `gt/`, pairs by equal names."""
    places = [child(folder, place) if place else folder for place in PLACES]
    there = ((child(place, one), child(place, other)) for place in places for one, other in SIDES)
    chosen = next(((one, other) for one, other in there if one.is_dir() and other.is_dir()), None)
    if chosen is None:
        raise ConfigError(f"{folder}: EBB! has folders original/ and bokeh/; this has neither these nor in/ and gt/")
    sources, targets = (by_stem(side, PICTURES) for side in chosen)
    if only_val294:
        wanted = {str(number) for number in NUMBERS_OF_VAL294}
        missing = sorted(wanted - (sources.keys() & targets.keys()))
        sources, targets = ({name: path for name, path in some.items() if name in wanted} for some in (sources, targets))
        problems = [f"{len(missing)} of {len(wanted)} pairs are not there: {_few(missing)}"] if missing else []
    else:
        alone = sorted(sources.keys() ^ targets.keys())
        problems = [f"{counted(len(alone), 'picture')} without the other half: {_few(alone)}"] if alone else []
    names = sorted(sources.keys() & targets.keys())
    return [BenchmarkPair(name, _reader(sources[name]), _reader(targets[name])) for name in names], problems


def _few(names: Sequence[str]) -> str:
    return ", ".join(map(printable, names[:5])) + (", …" if len(names) > 5 else "")


def _realbokeh(folder: Path) -> tuple[list[BenchmarkPair], list[str]]:
    """Each test scene's picture of the smallest f-number; all scenes where the folder does not say which are for tests."""
    found = realbokeh(folder)
    tests = [pair for pair in found.pairs if pair.name.startswith("test/") or pair.side is None]
    return [_widest(pair) for pair in tests if pair.targets], list(found.problems)


def _widest(pair: RgbdPair) -> BenchmarkPair:
    target = min(pair.targets, key=lambda one: math.inf if one.f_number is None else one.f_number)
    return BenchmarkPair(pair.name, lambda: pair.rgb(_read), _reader(target.picture))


def _reader(path: Path) -> Callable[[], bytes]:
    return lambda: _read(path)


def _read(path: Path) -> bytes:
    return read_plain(path, MAX_BYTES)


def score(
    benchmark: Benchmark,
    pairs: Sequence[BenchmarkPair],
    methods: Sequence[Contender],
    network: "PerceptualNetwork | None",
    path: Path,
    progress: Callable[[str], None],
) -> BenchmarkResult:
    """Score every method on every pair; `path` is the CSV that keeps the rows. What cannot be scored is named."""
    kept = _kept(path)
    rows, problems = [], []
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b", opener=plain) as file:
        file.write(before_next_row(file, COLUMNS))
        for number, pair in enumerate(pairs, 1):
            try:
                for row, is_new in _rows_of(benchmark, pair, methods, network, kept):
                    rows.append(row)
                    if is_new:
                        file.write(_line(row))
                        file.flush()
            except Unscored as error:
                problems.append(f"{printable(pair.name)}: {error}")
            progress(f"{number} of {len(pairs)} pictures")
    now = {(row["picture"], row["method"], row["variant"]) for row in rows}
    others = [row for key, row in kept.items() if key[:3] not in now]
    write_text(path, csv_text([COLUMNS, *([row[name] for name in COLUMNS] for row in (*others, *rows))]))
    return BenchmarkResult(rows, problems)


def _rows_of(
    benchmark: Benchmark,
    pair: BenchmarkPair,
    methods: Sequence[Contender],
    network: "PerceptualNetwork | None",
    kept: Mapping[tuple[str, str, str, str], Row],
) -> Iterator[tuple[Row, bool]]:
    """All rows of a pair, and whether each was scored now."""
    try:
        data = pair.source(), pair.target()
    except OSError as error:
        raise Unscored(error.strerror or str(error)) from None
    given = hashlib.sha256(f"{VERSION} {benchmark.uniform_ssim} {network is not None}".encode())
    for part in data:
        given.update(hashlib.sha256(part).digest())
    pictures, shown = None, str(harmless(printable(pair.name)))
    for method in methods:
        digest = hashlib.sha256(given.digest() + method.version.encode()).hexdigest()[:16]
        known = [kept.get((shown, method.name, variant, digest)) for variant in VARIANTS]
        if all(known):
            yield from ((row, False) for row in known if row)
            continue
        pictures = pictures or _decoded(*data)
        try:
            output = method.run(pictures[0])
        except Exception as error:  # whatever a network stumbles over is of this picture; the next may be good
            raise Unscored(f"{method.name}: {type(error).__name__}: {error}") from None
        if output.shape != pictures[0].shape:
            raise Unscored(f"{method.name} gave the shape {output.shape} for {pictures[0].shape}")
        for variant, found in _scored(benchmark, pictures, output, network).items():
            values = {name: f"{found[name]:.6f}" if name in found else "" for name in (*METRICS, *GEOMETRY)}
            names = {"picture": shown, "method": method.name, "variant": variant}
            yield {**names, **values, "made_from": digest}, True


def _decoded(source: bytes, target: bytes) -> tuple[np.ndarray, np.ndarray]:
    try:
        first, second = (decode(data, MAX_PIXELS).rgb for data in (source, target))
    except UndecodableImage as error:
        raise Unscored(f"cannot be read: {error}") from None
    if first.shape != second.shape:
        sizes = " and ".join(f"{one.shape[1]}×{one.shape[0]}" for one in (first, second))
        raise Unscored(f"the two pictures have {sizes} px")
    if min(first.shape[:2]) < LEAST_SIDE_PX:
        raise Unscored(f"is {first.shape[1]}×{first.shape[0]} px; each side must have {LEAST_SIDE_PX}")
    return first, second


def _scored(
    benchmark: Benchmark,
    pictures: tuple[np.ndarray, np.ndarray],
    output: np.ndarray,
    network: "PerceptualNetwork | None",
) -> dict[str, dict[str, float]]:
    """By variant the scores; nothing of `aligned` where the pair cannot be aligned."""
    source, wanted = pictures
    made = output / 255.0
    found = {VARIANTS[0]: _all(benchmark, made, wanted / 255.0, network)}
    there = align(source, wanted)
    if there is None:
        return {**found, VARIANTS[1]: {}}
    scores = _all(benchmark, there.cropped(made), there.moved(wanted), network)
    geometry = dict(zip(GEOMETRY, (there.x_px, there.y_px, *there.gains), strict=True))
    return {**found, VARIANTS[1]: {**scores, **geometry}}


def _all(
    benchmark: Benchmark, output: np.ndarray, wanted: np.ndarray, network: "PerceptualNetwork | None"
) -> dict[str, float]:
    found = scores_of(output, wanted, benchmark.uniform_ssim)
    if network is not None and output.shape[0] * output.shape[1] <= MAX_LPIPS_PIXELS:
        looks = network.look(output[None]), network.look(wanted[None])
        found["lpips_vgg"] = float(network.distance(*looks)[0])
    return found


# --- rows ---------------------------------------------------------------------------------------------------------------


def _kept(path: Path) -> dict[tuple[str, str, str, str], Row]:
    """The rows of an earlier run that are whole."""
    if not path.exists():
        return {}
    try:
        reader = csv.DictReader(io.StringIO(read_plain_text(path, MAX_CSV_BYTES)))
        rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: holds something else ({error}); name another folder with --out") from None
    if reader.fieldnames and not set(COLUMNS) <= set(reader.fieldnames):
        raise ConfigError(f"{path}: holds something else; name another folder with --out")
    whole = [row for row in rows if all(isinstance(row.get(name), str) for name in COLUMNS) and len(row["made_from"]) == 16]
    return {(row["picture"], row["method"], row["variant"], row["made_from"]): row for row in whole}


def _line(row: Row) -> bytes:
    return csv_text([[row[name] for name in COLUMNS]]).encode()


def table(benchmark: Benchmark, result: BenchmarkResult, pictures: int) -> str:
    """The result in Markdown: means with 95 % intervals over pictures, and what others have published."""
    lines = [f"# {benchmark.title}", "", benchmark.protocol, ""]
    for variant in VARIANTS:
        lines += _variant_lines(variant, result, pictures)
    lines += ["## Published by others", ""]
    if benchmark.published:
        lines += ["| Method | PSNR, dB | SSIM | LPIPS | Source | What differs |", "|---|---|---|---|---|---|"]
        lines += [f"| {one.method} | {one.psnr_db:.2f} | {one.ssim:.4f} | {one.lpips:.4f} | {one.source} | {one.differs} |"
                  for one in benchmark.published]  # fmt: skip
    else:
        lines += ["Nothing that could be read at its source."]
    if result.problems:
        lines += ["", "## Not scored", "", *(f"- {problem}" for problem in result.problems)]
    return "\n".join(lines) + "\n"


def write_table(path: Path, benchmark: Benchmark, result: BenchmarkResult, pictures: int) -> str:
    """Write `table` to a file; returns it."""
    found = table(benchmark, result, pictures)
    write_text(path, found)
    return found


def _variant_lines(variant: str, result: BenchmarkResult, pictures: int) -> Iterator[str]:
    words = {
        "as_published": "As it is",
        "aligned": "Aligned: the target moved onto the photo, and exposed as it, channel by channel",
    }
    yield from (
        f"## {words[variant]}",
        "",
        "| Method | Pictures | PSNR, dB | SSIM | LPIPS (VGG-16) |",
        "|---|---|---|---|---|",
    )
    rows = [row for row in result.rows if row["variant"] == variant]
    for name in dict.fromkeys(row["method"] for row in result.rows):
        own = [row for row in rows if row["method"] == name and row["psnr_db"]]
        cells = [_cell([float(row[metric]) for row in own if row[metric]], DIGITS[metric]) for metric in METRICS]
        yield f"| {name} | {len(own)} of {pictures} | {' | '.join(cells)} |"
    yield ""


def _cell(values: Sequence[float], digits: int) -> str:
    if not values:
        return "–"
    mean, interval = np.mean(values), mean_interval(np.asarray(values))
    return f"{mean:.{digits}f}" + (f" ({interval.low:.{digits}f} to {interval.high:.{digits}f})" if interval else "")
