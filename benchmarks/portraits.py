"""The study's four models with the study's settings on a folder of portraits, for as many steps as are given, and judged.

FOLDER holds `ordinary/*.jpg` and `shallow/*.jpg`, sorted already, so that every picture counts as kept. Three stages,
one after another or each by itself, also on different machines to which the home is copied:

    prepare   import, masks and a frozen snapshot at 256 px, by the product's own stages; needs FOLDER
    train     a run for each model, which goes on where it was interrupted; no Dagster. Needs of the home `shards/`, of
              `snapshots/` each `snapshot.json` and `pictures.parquet`, and `weights/` unless --features is given
    score     the product's own judge on the test pictures of `ordinary`. Needs of the home `bokehflow.toml`,
              `snapshots/`, `shards/`, `weights/` and `runs/`

    python benchmarks/portraits.py FOLDER --home HOME --steps 20000
    python benchmarks/portraits.py --home COPY --stage train --steps 20000 --precision bfloat16

The mask losses look through VGG-16 instead of the study's VGG-19, whose weights are no package's. Results hold figures
and loss curves, no pictures.
"""

import argparse
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parents[1]))
# Dagster and what builds on it are imported by the stages that need it: the machine that trains may be without.
from benchmarks.results import FOLDER as RESULTS
from benchmarks.results import Goal, report
from pipeline.atomic import write_text
from pipeline.dataset.layout import PICTURES, list_snapshots
from pipeline.errors import BokehflowError, ConfigError, DatasetError, TrainingError, WeightsError
from pipeline.models.vgg import VggFeatures
from pipeline.package_files import PROJECT_FILE
from pipeline.training.__main__ import StopSignal, load_data
from pipeline.training.jobs import TrainingJob
from pipeline.training.loss_log import LossLog
from pipeline.training.process import run_training
from pipeline.training.recipes import resolve
from pipeline.training.runs import Completion, RunFolder, completion_of, holds_another_result
from storage import Home

STAGES = ("prepare", "train", "score")
DOMAINS = ("ordinary", "shallow")
BASELINE, HELD = "cyclegan", ("mask_loss", "mask_loss_overlay")
"""HELD: those with mask loss. Their result is the generator's own output, nothing is pasted over it."""
MODELS = (BASELINE, "mask_loss", "mask_overlay", "mask_loss_overlay")
SEED = 0
MIN_TEST = 24
CURVE_POINTS = 40

PROJECT = """\
# Portraits that were sorted before. Written by benchmarks/portraits.py.

[project]
name = "portraits"

[domains.ordinary]
title = "Portraits, mostly in focus"

[domains.shallow]
title = "Portraits, mostly with a shallow depth of field"

[dataset]
size_px = 256
test_share = { ordinary = 0.25, shallow = 0.1 }
""" + "".join(
    f"""
[recipes.{model}]
model = "{model}"
profile = "study"
settings = {{ perceptual_network = "vgg16" }}
"""
    for model in MODELS
)

PHOTO_SCORES = {
    "background_sharpness": "background_sharpness_share_of_input",
    "background_rank_in_b": "background_rank_in_b_share",
    "blur_unevenness": "blur_unevenness_octaves",
    "imagined": "imagined",
    "leak": "leak",
    "checkerboard": "checkerboard_times_input",
    "subject_l1": "subject_l1",
    "subject_ssim": "subject_ssim",
    "subject_psnr_db": "subject_psnr_db",
    "subject_lpips": "subject_lpips",
    "subject_colour_shift": "subject_colour_shift_delta_e",
    "subject_mask_iou": "subject_mask_iou",
    "face_kept": "faces_kept_share",
}
"""Scores of photos, of which means are reported, and their names with what they are counted in."""
SET_SCORES = ("kid", "kid_low", "kid_high", "background_kid", "background_kid_low", "background_kid_high")
MODEL_SCORES = ("cycle_l1_a", "cycle_l1_b", "identity_l1_a", "identity_l1_b")


@dataclass(frozen=True)
class Run:
    """One model's run in a home."""

    home: Home
    snapshot: str
    model: str
    steps: int

    @property
    def key(self) -> str:
        """Stands for `recipe@seed`, with the steps as in the name of a trial of `bokehflow train --steps`."""
        return f"{self.model}@{SEED}-{self.steps}steps"

    @property
    def name(self) -> str:
        """Of the folder."""
        return f"{self.snapshot}-{self.key.replace('@', '-')}"

    @property
    def folder(self) -> RunFolder:
        """What the run leaves."""
        return RunFolder(self.home.runs / self.name)

    def job(self, precision: str) -> TrainingJob:
        """What the trainer is to do."""
        changes = {"steps": self.steps, "perceptual_network": "vgg16", "precision": precision}
        return TrainingJob(
            run_id=self.name,
            run_dir=self.folder.root,
            recipe=self.model,
            seed=SEED,
            model=self.model,
            settings=resolve("study", changes),
            snapshot_id=self.snapshot,
            manifest_path=self.home.snapshots / self.snapshot / PICTURES,
            shards_dir=self.home.shards,
            weights_dir=self.home.weights,
        )

    @property
    def completion(self) -> Completion | None:
        """What is said of the finished run."""
        return completion_of(self.folder)

    @cached_property
    def card(self) -> Mapping[str, Any]:
        """The finished run's model card."""
        return json.loads(self.folder.card.read_text(encoding="utf-8"))

    def curves(self) -> dict[str, list[float | int | None]]:
        """Means of each unweighted term over fortieths of the run, and the last step of each."""
        losses = LossLog.read(self.folder.losses, self.steps)
        ends = np.unique(np.linspace(0, losses.settled_steps, CURVE_POINTS + 1).astype(int)).tolist()
        means = [losses.means(start, end) for start, end in pairwise(ends)]
        names = sorted({name for part in means for name in part})
        return {"step": ends[1:], **{name: [part.get(name) for part in means] for name in names}}


def prepare(folder: Path, home: Home) -> None:
    """Freeze the folder's pictures as the home's snapshot, and fetch all weights."""
    from pipeline.commands.options import load, open_home
    from pipeline.headless import run_plan
    from pipeline.operations.imports import import_folder, summary
    from pipeline.operations.planning import Plan
    from pipeline.weights import ensure

    if missing := [domain for domain in DOMAINS if not any((folder / domain).glob("*.jpg"))]:
        raise ConfigError(f"{folder}: no JPEG files in {' and '.join(f'{domain}/' for domain in missing)}")
    write_text(home.root / PROJECT_FILE, PROJECT)
    project, path = load(open_home(home.root), home.root / PROJECT_FILE)
    for domain in DOMAINS:
        print(summary(import_folder(project, home, folder / domain, domain, None)))
    keep_all(home)
    with home.lock("run"):
        snapshot = run_plan(Plan(until="dataset_snapshot"), project, path, home, print)
    for name in project.needed_weights():
        ensure(name, home.weights)
    print(f"snapshot {snapshot}\n{checked_counts(home).to_string()}")


def keep_all(home: Home) -> None:
    """Decide for every imported picture that it is kept: sorting the folder was the curation."""
    from pipeline.spreadsheet import csv_text

    ids = home.tables.read("imports")["photo_id"].drop_duplicates()
    text = csv_text([("photo_id", "decision", "curator"), *((photo_id, "keep", "sorted_folder") for photo_id in ids)])
    write_text(home.reviewed / "portraits.csv", text)


def checked_counts(home: Home) -> pd.Series:
    """How many pictures each domain and split has. Raises `DatasetError` where there are too few to judge by."""
    manifest = pd.read_parquet(home.snapshots / only_snapshot(home) / PICTURES, columns=["domain", "split"])
    counts = manifest.value_counts().sort_index()
    if (tests := counts.get((DOMAINS[0], "test"), 0)) < MIN_TEST:
        raise DatasetError(f"{home.root}: {tests} test pictures of {DOMAINS[0]}, at least {MIN_TEST} are needed")
    return counts


def only_snapshot(home: Home) -> str:
    """The id of the home's snapshot. Raises `DatasetError` where there is none, or more than one."""
    found = list_snapshots(home.snapshots)
    if not found:
        raise DatasetError(f"{home.root}: there is no snapshot; run --stage prepare first")
    if len(found) > 1:
        raise DatasetError(
            f"{home.root}: there are {len(found)} snapshots, of different folders; take a new --home for each"
        )
    return found[0]


def train(runs: Sequence[Run], precision: str, features: VggFeatures | None) -> None:
    """Train the runs that are not finished, one after another; a signal ends the process after the step at hand.

    Where one fails the others are trained still. Raises `TrainingError` at the end then.
    """
    stop, failures = StopSignal(), []
    for run in runs:
        job = run.job(precision)
        try:
            if holds_another_result(job):
                raise TrainingError(f"{job.run_dir}: holds a finished model of other settings; move it away to train anew")
            if run_training(job, partial(load_data, job), stop, features) is None:
                sys.exit(stop.exit_code)
        except TrainingError as error:
            failures.append(f"{run.model}: {error}")
            print(failures[-1], file=sys.stderr)
    if failures:
        raise TrainingError("\n".join(failures))


def read_features(path: Path) -> VggFeatures:
    """The first convolutions of VGG-16, named as in torchvision's `features`. Raises `WeightsError`."""
    try:
        return VggFeatures(load_file(path))
    except (OSError, SafetensorError, KeyError) as error:
        raise WeightsError(f"{path}: not the weights of VGG-16 up to relu3_2 ({error})") from error


def score(runs: Sequence[Run]) -> None:
    """Judge the finished runs and report. Raises `TrainingError` where none is finished."""
    done = [run for run in runs if run.completion]
    if not done:
        steps, home = runs[0].steps, runs[0].home
        raise TrainingError(f"{home.runs}: no finished run of {steps} steps; run --stage train --steps {steps} first")
    means = mean_scores(done)
    write_text(RESULTS / "portraits_curves.json", json.dumps({run.model: run.curves() for run in done}, indent=1) + "\n")
    report("portraits", {**facts(done), **flat(means)}, goals_of(means, runs, done))


def mean_scores(runs: Sequence[Run]) -> pd.DataFrame:
    """Method by figure: means over the test pictures, scores of the set, scores of the model."""
    from pipeline.commands.options import load, open_home
    from pipeline.evaluation.compare.summary import merge
    from pipeline.evaluation.measure.judge import MODEL_SET
    from pipeline.evaluation.measure.set_scores import TEST_SET
    from pipeline.operations.judging import Stopwatch, evaluate_model
    from resources.segmenter import SegmenterResource

    home, snapshot = runs[0].home, runs[0].snapshot
    project, _ = load(open_home(home.root), home.root / PROJECT_FILE)
    segmenter = SegmenterResource(project.masks).load(home)
    tables = {}
    for run in runs:
        print(f"judging {run.name}", flush=True)
        table, _ = evaluate_model(project, home, snapshot, run.key, None, segmenter, Stopwatch())
        tables[run.key] = table.assign(method=table["method"].str.replace(run.key, run.model, regex=False))
    merged = merge(tables)
    wanted = {TEST_SET: SET_SCORES, MODEL_SET: MODEL_SCORES}
    pairs = zip(merged["photo_id"], merged["metric"], strict=True)
    kept = merged[[metric in wanted.get(photo_id, PHOTO_SCORES) for photo_id, metric in pairs]]
    named = kept.assign(metric=kept["metric"].replace(PHOTO_SCORES))
    return named.groupby(["method", "metric"], sort=False)["value"].mean().unstack("metric")


def flat(means: pd.DataFrame) -> dict[str, float]:
    """Every score that there is, by method and name."""
    found = means.stack().dropna()
    return {f"{method}_{name}": round(float(value), 4) for (method, name), value in found.items()}  # pyright: ignore


def facts(runs: Sequence[Run]) -> dict[str, float | str]:
    """What was trained, how long and on what."""
    counts = checked_counts(runs[0].home)
    figures: dict[str, float | str] = {"snapshot": runs[0].snapshot}
    figures |= {f"{domain}_{split}_pictures": int(count) for (domain, split), count in counts.items()}  # pyright: ignore
    for run in runs:
        steps, seconds = run.card["steps"], run.card["seconds"]
        figures |= {
            f"{run.model}_steps": steps,
            f"{run.model}_seconds": round(seconds, 1),
            f"{run.model}_ms_a_step": round(1000 * seconds / steps, 2),
        }
    figures["precision"] = _all([run.card["settings"]["precision"] for run in runs])
    figures["trained_on"] = _all([run.card["hardware"]["device"] for run in runs])
    figures["trained_with_torch"] = _all([run.card["versions"]["torch"] for run in runs])
    judged_on = torch.cuda.get_device_name() if torch.cuda.is_available() else f"cpu, {torch.get_num_threads()} threads"
    return {**figures, "judged_on": judged_on, "judged_with_torch": torch.__version__}


def _all(values: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(values))


def goals_of(means: pd.DataFrame, runs: Sequence[Run], done: Sequence[Run]) -> list[Goal]:
    """What the models are for. A run whose losses are not finite does not come to its end."""
    goals = [Goal("every run came to its end, all losses finite", f"{len(done)} of {len(runs)}", len(done) == len(runs))]
    names = [run.model for run in done]
    limits = [
        ("background less sharp than the input's", "background_sharpness_share_of_input", names, "input"),
        ("backgrounds nearer domain B's than the input's, KID", "background_kid", names, "input"),
        ("subject kept closer than by cyclegan, L1", "subject_l1", [name for name in HELD if name in names], BASELINE),
    ]
    for goal, name, held, other in limits:
        limit = of_method(means, other, name)
        for model in held:
            found = of_method(means, model, name)
            goals.append(Goal(f"{model}: {goal}, {limit:.4f}", f"{found:.4f}", found < limit))
    return goals


def of_method(means: pd.DataFrame, method: str, name: str) -> float:
    """One of the scores; NaN where there was nothing to measure, which meets no goal."""
    known = method in means.index and name in means.columns
    return float(means.at[method, name]) if known else float("nan")  # pyright: ignore[reportArgumentType]


def main() -> None:
    """Do the stages that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, metavar="FOLDER", help="needed by prepare")
    parser.add_argument("--home", type=Path, required=True, help="where snapshot, weights and runs are kept")
    parser.add_argument("--stage", choices=STAGES, help="this stage only; else all")
    parser.add_argument("--steps", type=int, default=20_000, help="of each run (%(default)s)")
    parser.add_argument(
        "--precision", choices=["float32", "bfloat16"], default="float32", help="of convolutions in training"
    )
    parser.add_argument("--model", choices=MODELS, action="append", help="only this one; may be given several times")
    parser.add_argument(
        "--features", type=Path, help="VGG-16's first convolutions as .safetensors, else of the home's weights"
    )
    asked = parser.parse_args()
    stages, home = [asked.stage] if asked.stage else STAGES, Home.at(asked.home)
    if "prepare" in stages and asked.folder is None:
        parser.error("prepare needs FOLDER")
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("pipeline").setLevel(logging.INFO)
    try:
        if "prepare" in stages:
            prepare(asked.folder, home)
        runs = [Run(home, only_snapshot(home), model, asked.steps) for model in asked.model or MODELS]
        if "train" in stages:
            train(runs, asked.precision, read_features(asked.features) if asked.features else None)
        if "score" in stages:
            score(runs)
    except BokehflowError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
