"""Benchmarks of the field, made up and tiny: what is read, scored, kept and said."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from pipeline.errors import ConfigError
from pipeline.evaluation.benchmark.protocols import BENCHMARKS
from pipeline.operations.benchmarking import (
    COLUMNS,
    INPUT,
    BenchmarkPair,
    BenchmarkResult,
    Contender,
    read_benchmark,
    score,
    table,
)

EBB400 = BENCHMARKS["ebb400"]


def picture(seed: int) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random((64, 80, 3)), (1.5, 1.5, 0))
    return np.round(20 + 200 * (noise - noise.min()) / np.ptp(noise)).astype(np.uint8)


def soft(rgb: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(rgb, (1.5, 1.5, 0))


def ebb(folder: Path, numbers: range, names: tuple[str, str] = ("original", "bokeh")) -> Path:
    for number in numbers:
        for name, made in zip(names, (picture(number), np.roll(soft(picture(number)), 2, 1)), strict=True):
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(made).save(folder / name / f"{number}.png")
    return folder


class Counted:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        self.count += 1
        return soft(rgb)


def methods(run: Counted, version: str = "1") -> list[Contender]:
    return [Contender(INPUT, INPUT, lambda rgb: rgb), Contender("lens", version, run)]


def scored(pairs: list[BenchmarkPair], run: Counted, path: Path, version: str = "1") -> BenchmarkResult:
    return score(EBB400, pairs, methods(run, version), None, path, lambda _: None)


def test_pairs_of_ebb_are_found_by_number_and_what_is_missing_is_said(tmp_path: Path) -> None:
    folder = ebb(tmp_path / "EBB", range(4398, 4402))
    (folder / "bokeh" / "4398.png").unlink()
    pairs, problems = read_benchmark("val294", folder)
    assert [pair.name for pair in pairs] == ["4400", "4401"]
    assert problems == ["292 of 294 pairs are not there: 4402, 4403, 4404, 4405, 4406, …"]
    pairs, problems = read_benchmark("ebb400", folder)
    assert [pair.name for pair in pairs] == ["4399", "4400", "4401"]
    assert problems == ["1 picture without the other half: 4398"]
    assert len(read_benchmark("ebb400", ebb(tmp_path / "other" / "Training", range(2), ("in", "gt")).parent)[0]) == 2
    with pytest.raises(ConfigError, match="has neither these"):
        read_benchmark("ebb400", tmp_path)
    Image.fromarray(picture(1)).save(folder / "original" / "4400.jpg")
    with pytest.raises(ConfigError, match=r"4400\.jpg: there is another file of that name"):
        read_benchmark("val294", folder)
    with pytest.raises(ConfigError, match="has no pair of val294"):
        read_benchmark("val294", ebb(tmp_path / "few", range(3)))


def test_realbokeh_is_tested_on_its_test_scenes_at_the_widest_aperture(tmp_path: Path) -> None:
    for side, name in (("test", "7"), ("train", "8"), ("validation", "9")):
        root = tmp_path / side
        for place in ("in", "gt", "metadata"):
            (root / place).mkdir(parents=True)
        for file in ("in/a.png", "gt/f8.png", "gt/f2.png"):
            Image.fromarray(picture(1 if "f8" in file else 2)).save(root / file)
        told = {"source_image": "in/a.png", "target_images": ["gt/f8.png", "gt/f2.png"], "target_avs": [8.0, 2.0]}
        (root / "metadata" / f"{name}.json").write_text(json.dumps(told))
    pairs, problems = read_benchmark("realbokeh", tmp_path)
    assert ([pair.name for pair in pairs], problems) == (["test/metadata/7"], [])
    assert pairs[0].target() == (tmp_path / "test" / "gt" / "f2.png").read_bytes()
    assert pairs[0].source() == (tmp_path / "test" / "in" / "a.png").read_bytes()
    assert [pair.name for pair in read_benchmark("realbokeh", tmp_path / "test")[0]] == ["metadata/7"]
    (tmp_path / "test" / "metadata" / "7.json").unlink()
    with pytest.raises(ConfigError, match="has no pair of realbokeh"):
        read_benchmark("realbokeh", tmp_path)


def test_a_shifted_pair_is_scored_as_it_is_and_aligned(tmp_path: Path) -> None:
    pairs, _ = read_benchmark("ebb400", ebb(tmp_path / "EBB", range(3)))
    found = scored(pairs, Counted(), tmp_path / "out" / "scores.csv")
    with (tmp_path / "out" / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == found.rows
    assert len(rows) == 3 * 2 * 2
    means = {
        (method, variant): np.mean(
            [float(row["psnr_db"]) for row in rows if (row["method"], row["variant"]) == (method, variant)]
        )
        for method in ("input", "lens") for variant in ("as_published", "aligned")
    }  # fmt: skip
    assert means["lens", "aligned"] > 32 > means["lens", "as_published"] + 5
    assert means["input", "aligned"] < means["lens", "aligned"] - 5
    assert {round(float(row["x_px"])) for row in rows if row["variant"] == "aligned"} == {2}
    text = table(EBB400, found, 3)
    assert "| lens | 3 of 3 |" in text
    assert text.count(" to ") >= 4
    assert "Nothing that could be read at its source." in text


def test_whoever_is_interrupted_goes_on_and_what_changed_is_scored_again(tmp_path: Path) -> None:
    folder, path = ebb(tmp_path / "EBB", range(3)), tmp_path / "scores.csv"
    pairs, _ = read_benchmark("ebb400", folder)
    first = scored(pairs, run := Counted(), path).rows
    whole = path.read_bytes()
    lines = whole.decode().splitlines(keepends=True)
    path.write_bytes("".join(lines[:7]).encode() + lines[7][:20].encode())
    assert scored(pairs, again := Counted(), path).rows == first
    assert (run.count, again.count) == (3, 2)
    assert path.read_bytes() == whole
    Image.fromarray(picture(9)).save(folder / "bokeh" / "1.png")
    assert scored(pairs, changed := Counted(), path).rows != first
    assert changed.count == 1
    scored(pairs, other := Counted(), path, version="2")
    assert other.count == 3
    score(EBB400, pairs, methods(Counted())[:1], None, path, lambda _: None)
    with path.open(newline="") as file:
        assert {row["method"] for row in csv.DictReader(file)} == {"input", "lens"}, "rows of other methods stay"


def test_what_cannot_be_scored_is_named_and_costs_itself_alone(tmp_path: Path) -> None:
    folder = ebb(tmp_path / "EBB", range(5))
    (folder / "bokeh" / "0.png").write_bytes(b"no picture")
    Image.fromarray(picture(1)[:50]).save(folder / "bokeh" / "1.png")
    Image.fromarray(np.full_like(picture(2), 90)).save(folder / "bokeh" / "2.png")
    pairs, _ = read_benchmark("ebb400", folder)
    (folder / "bokeh" / "3.png").unlink()
    (folder / "bokeh" / "3.png").mkdir()
    found = scored(pairs, Counted(), tmp_path / "scores.csv")
    assert [problem.partition(": ")[0] for problem in found.problems] == ["0", "1", "3"]
    assert "80×64 and 80×50 px" in found.problems[1]
    rows = {(row["picture"], row["variant"]): row for row in found.rows if row["method"] == "lens"}
    assert rows["2", "as_published"]["psnr_db"]
    assert rows["2", "aligned"]["psnr_db"] == "", "without content nothing can be aligned"
    assert "- 1: the two pictures" in table(EBB400, found, 5)

    def broken(rgb: np.ndarray) -> np.ndarray:
        raise MemoryError("too large")

    contenders = [Contender("lens", "3", broken)]
    assert "lens: MemoryError: too large" in score(EBB400, pairs[4:], contenders, None, tmp_path / "b.csv", str).problems[0]


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("mine,yours\n1,2\n")
    with pytest.raises(ConfigError, match="holds something else"):
        scored(read_benchmark("ebb400", ebb(tmp_path / "EBB", range(1)))[0], Counted(), path)
    assert path.read_text() == "mine,yours\n1,2\n"
    path.write_text(",".join(COLUMNS) + "\n")
    assert scored(read_benchmark("ebb400", tmp_path / "EBB")[0], Counted(), path).rows
