"""The whole pipeline on the demo's collection: what comes out, again, elsewhere, and after being killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import psutil

from assets.headless import open_instance
from pipeline.config import load_project
from pipeline.demo import run_demo
from pipeline.operations.status import status
from pipeline.training.runs import RunFolder
from storage import Home
from tests.conftest import bokehflow, killed_when

PLANTED = {
    "excluded_tag", "no_cv", "truncated", "not_an_image", "unavailable", "same_bytes", "perceptual", "mirrored", "edited",
    "no_person", "unfit_blur", "move",
}  # fmt: skip
"""Every reason, rule and decision by which the demo's dirt is to be found."""


def found(root: Path) -> dict[str, Any]:
    return status(load_project(root / "bokehflow.toml"), Home(root))


def run_ids(root: Path) -> set[str]:
    with open_instance(Home(root)) as instance:
        return {run.run_id for run in instance.get_runs()}


def test_every_planted_photo_is_found_under_its_own_reason(finished_demo: Path) -> None:
    tables = Home(finished_demo).tables
    curated = tables.read("curated_photos")
    curated["said"] = curated["reason"].fillna(curated["decision"])
    stages = [(tables.read_all("photo_listing"), "reason"), (tables.read_all("photo_files"), "reason"),
              (tables.read("unique_photos"), "rule"), (curated, "said")]  # fmt: skip
    said: dict[Any, Any] = {}
    for table, column in stages:
        said = {**table.dropna(subset=column).set_index("photo_id")[column].to_dict(), **said}
    planted = (
        pd.read_csv(finished_demo / "collection" / "planted.csv", dtype=str).set_index("photo_id")["expected"].to_dict()
    )
    assert set(planted.values()) == PLANTED
    assert {photo_id: said.get(photo_id) for photo_id in planted} == planted


def test_counts_add_up_and_everything_clean_is_kept(finished_demo: Path) -> None:
    for counts in found(finished_demo)["domains"].values():
        assert counts["listed"] == counts["pending"] + sum(counts["rejected"].values()) + counts["downloaded"]
        assert counts["downloaded"] == sum(counts["duplicates"].values()) + counts["queued"]
        assert counts["queued"] == counts["undecided"] + counts["kept"] + counts["moved"] + sum(counts["dropped"].values())
        assert counts["pending"] == counts["undecided"] == 0
        assert counts["kept"] >= 60


def test_the_report_is_there_and_shows_the_segmenter_against_the_truth(finished_demo: Path) -> None:
    (report,) = found(finished_demo)["reports"]
    text = Path(str(report["path"])).read_text(encoding="utf-8")
    assert len(text) > 100_000
    scores = Home(finished_demo).tables.read_all("evaluation")
    assert scores.loc[scores["metric"] == "mask_iou", "value"].mean() >= 0.90


def test_photos_carry_their_origin_into_the_snapshot(finished_demo: Path) -> None:
    (snapshot,) = found(finished_demo)["snapshots"]
    attribution = pd.read_csv(Home(finished_demo).snapshots / str(snapshot["id"]) / "attribution.csv")
    assert attribution[["owner", "license_name", "page_url"]].notna().all().all()


def test_a_forgotten_photo_is_in_no_picture_that_models_made(finished_demo: Path, tmp_path: Path) -> None:
    root = shutil.copytree(finished_demo, tmp_path / "home")
    (report,) = root.glob("reports/*/index.html")
    runs = [RunFolder(path.parent) for path in root.glob("runs/*/complete.json")]
    superseded = RunFolder(shutil.copytree(runs[0].root, runs[0].root / "superseded" / "0123456789ab"))
    superseded.completion.unlink()
    runs.append(superseded)
    shown = pd.read_csv(runs[0].translated / "index.csv")
    photo_id = str(shown.loc[shown["photo_id"].str.startswith("flickr:"), "photo_id"].iloc[0])
    (manifest,) = root.glob("snapshots/*/manifest.parquet")
    page_url = pd.read_parquet(manifest).set_index("photo_id").at[photo_id, "page_url"]
    assert page_url in report.read_text(encoding="utf-8")
    done = bokehflow(root, "forget", photo_id)
    assert done.returncode == 0, done.stderr
    again = f"deleted, since it showed them: reports/{report.parent.name}; anew without them: bokehflow report"
    assert again in done.stderr + done.stdout
    assert not report.exists()
    for run in runs:
        assert not [*run.samples.glob("*"), *run.root.glob("checkpoints/*.pt")]
        left = pd.read_csv(run.translated / "index.csv")
        assert set(left["photo_id"]) == set(shown["photo_id"]) - {photo_id}
        assert {path.name for path in run.translated.glob("*.png")} == set(left["file"])
    anew = bokehflow(root, "report", report.parent.name)
    assert anew.returncode == 0, anew.stderr
    text = report.read_text(encoding="utf-8")
    assert "data:image" in text
    assert page_url not in text


def test_again_nothing_is_computed_and_the_snapshot_stays(finished_demo: Path) -> None:
    before, runs = found(finished_demo), run_ids(finished_demo)
    run_demo(Home(finished_demo), lambda message: None)
    assert found(finished_demo) == before
    assert run_ids(finished_demo) == runs


def test_a_changed_decision_makes_another_snapshot(finished_demo: Path, tmp_path: Path) -> None:
    root = tmp_path / "home"
    shutil.copytree(finished_demo, root)
    kept = Home(root).tables.read("curated_photos").query("decision == 'keep' and domain == 'shallow'").iloc[0]
    (root / "review" / "reviewed" / "second-thoughts.csv").write_text(
        f"photo_id,decision,reason,curator\n{kept['photo_id']},drop,unfit_blur,Ann\n"
    )
    done = bokehflow(root, "run", "--until", "dataset_snapshot")
    assert done.returncode == 0, done.stderr
    ids = [snapshot["id"] for snapshot in found(root)["snapshots"]]
    assert len(ids) == len(set(ids)) == 2


def assert_no_slot_is_taken(root: Path) -> None:
    with open_instance(Home(root)) as instance:
        storage = instance.event_log_storage
        for pool in storage.get_concurrency_keys():
            assert storage.get_concurrency_info(pool).active_slot_count == 0, pool
        assert not instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING]))


def test_the_kill_while_downloading_left_nothing_behind(finished_demo: Path) -> None:
    """That the snapshot is that of a home which ran undisturbed is shown by the one of the tutorial."""
    assert_no_slot_is_taken(finished_demo)
    assert not list(finished_demo.glob("blobs/incoming/*"))


def test_killed_while_training_no_trainer_lives_on_and_the_next_run_ends_the_same(
    finished_demo: Path, tmp_path: Path
) -> None:
    root = tmp_path / "home"
    shutil.copytree(finished_demo, root)
    (model,) = [model for model in found(root)["models"] if model["recipe"] == "mask_loss_overlay"]
    run = RunFolder(root / "runs" / str(model["run"]))
    expected = json.loads(run.completion.read_text())["files"]
    shutil.rmtree(run.root)
    trainers = killed_when(root, run.job.exists)
    assert trainers
    psutil.wait_procs(trainers, timeout=20)
    assert not [process for process in trainers if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    done = bokehflow(root, "run", "--until", "trained_model")
    assert done.returncode == 0, done.stderr
    assert json.loads(run.completion.read_text())["files"] == expected
    assert_no_slot_is_taken(root)


def test_ctrl_c_ends_a_run_and_all_that_it_started_in_silence(demo_home: Path) -> None:
    """A terminal sends it to every process of the group."""
    command = [sys.executable, "-m", "pipeline.cli", "run", "--until", "photo_files", "--home", str(demo_home)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        while not list(demo_home.glob("blobs/??/*")):
            assert process.poll() is None, "the run ended before it could be interrupted"
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    finally:
        process.kill()
        process.wait()
    assert process.returncode
    assert "Traceback" not in said
    assert said.splitlines()[-1] == "stopped"


def test_a_second_run_in_the_same_home_is_refused(demo_home: Path) -> None:
    with Home(demo_home).lock("run"):
        done = bokehflow(demo_home, "run")
    assert done.returncode == 1
    assert f"process {os.getpid()} is at work in this home" in done.stderr
