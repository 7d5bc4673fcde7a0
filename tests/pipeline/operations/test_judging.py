"""A trained model on a frozen snapshot: what is measured, what is measured once, and what cannot be judged."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline import weights
from pipeline.config import Project, parse_project
from pipeline.dataset.snapshot import read_snapshot
from pipeline.errors import DatasetError, TrainingError, WeightsError
from pipeline.evaluation.report.page import write_report
from pipeline.masks.segmenter import Seen, Segmenter
from pipeline.operations import judging
from pipeline.operations.forget import finish_forgetting
from pipeline.operations.judged_pictures import is_test
from pipeline.operations.judging import Stopwatch, evaluate_model
from pipeline.operations.reports import (
    evaluation_provenance,
    report_inputs,
    why_judge_again,
    yardstick_version,
)
from pipeline.operations.training import run_folder, training_job
from pipeline.training.__main__ import load_data
from pipeline.training.process import run_training
from pipeline.training.runs import model_version
from storage import Home
from tests.pipeline.dataset.frozen_world import World

SETTINGS = """{ size_px = 16, steps = 2, generator_channels = 4, generator_blocks = 1, skip_channels = 4,
discriminator_channels = 4, discriminator_layers = 1, perceptual_scale = "none" }"""
MODELS = ("cyclegan", "mask_loss_overlay", "mask_overlay", "one_sided")
PROJECT = """
[domains.ordinary]
queries = [{ text = "a" }]
[domains.shallow]
queries = [{ text = "b" }]
[dataset]
test_share = { ordinary = 0.3, shallow = 0.0 }
[evaluation]
perceptual = false
""" + "".join(
    f'[recipes.{name}]\nmodel = "{name}"\nprofile = "smoke"\nsettings = {SETTINGS.replace(chr(10), " ")}\n'
    for name in MODELS
)


class Half(Segmenter):
    """A segmenter that sees a person in the left half and counts what it is shown."""

    name, version = "half", "1"

    def __init__(self) -> None:
        self.shown = 0

    def see(self, pictures: Sequence[np.ndarray]) -> list[Seen]:
        self.shown += len(pictures)
        return [Seen(np.repeat([[255, 0]], picture.shape[0], 0).repeat(picture.shape[1] // 2, 1).astype(np.uint8), None)
                for picture in pictures]  # fmt: skip


class Judged:
    """A home with a snapshot, in which models are trained and measured."""

    def __init__(self, root: Path) -> None:
        self.home, self.project = Home(root), project(root)
        self.snapshot = World(root).freeze(range(1, 41))
        self.segmenter = Half()

    def train(self, name: str) -> None:
        job = training_job(self.project, self.home, self.snapshot, f"{name}@0")
        assert run_training(job, lambda: load_data(job)) is not None

    def measure(self, name: str, snapshot: str | None = None) -> pd.DataFrame:
        key = f"{name}@0"
        return evaluate_model(
            self.project, self.home, snapshot or self.snapshot, key, None, self.segmenter, Stopwatch()
        )[0]  # fmt: skip


def project(folder: Path) -> Project:
    return parse_project(PROJECT, folder / "bokehflow.toml")


@pytest.fixture
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judged:
    def offline(*arguments: object) -> Path:
        raise WeightsError("no package index")

    monkeypatch.setattr(weights, "pip_download", offline)
    return Judged(tmp_path / "home")


def test_every_model_of_a_snapshot_gets_the_same_scores(judged: Judged) -> None:
    tables = {}
    for name in MODELS:
        judged.train(name)
        tables[name] = judged.measure(name)
    methods = {name: {method for method in table["method"].unique() if "@" in method} for name, table in tables.items()}
    assert methods == {
        "cyclegan": {"cyclegan@0"},
        "mask_loss_overlay": {"mask_loss_overlay@0", "mask_loss_overlay@0+overlay"},
        "mask_overlay": {"mask_overlay@0", "mask_overlay@0-overlay"},
        "one_sided": {"one_sided@0"},
    }
    own = {name: table[table["photo_id"] == "set:model"].set_index("metric")["value"] for name, table in tables.items()}
    assert own["cyclegan"].notna().all()
    assert own["one_sided"][own["one_sided"].isna()].index.tolist() == ["cycle_l1_a", "cycle_l1_b", "identity_l1_a"]
    assert own["one_sided"]["ms_1024"] == own["cyclegan"]["ms_1024"], "one architecture, measured once"
    assert (tables["cyclegan"].query("metric == 'subject_mask_iou'")["value"] == 1).all()
    common = [table[~table["method"].str.contains("@")].reset_index(drop=True) for table in tables.values()]
    assert all(one.equals(common[0]) for one in common)


def test_one_more_model_costs_its_own_measuring_only(judged: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    judged.train("cyclegan")
    judged.train("mask_loss_overlay")
    first = judged.measure("cyclegan")
    photos = first.loc[~first["photo_id"].str.startswith("set:"), "photo_id"].nunique()
    judged.segmenter.shown = 0
    for name in ("judge_common", "shared_again"):
        monkeypatch.setattr(judging, name, lambda *a, **k: pytest.fail("measured again"), raising=False)
    assert judged.measure("cyclegan").equals(first)
    assert judged.segmenter.shown == photos
    judged.measure("mask_loss_overlay")
    assert judged.segmenter.shown == 3 * photos, "once for each of both ways"


def test_another_segmenter_or_another_method_measures_anew(judged: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    judged.train("cyclegan")
    judged.measure("cyclegan")
    kept = set((judged.home.evaluations / judged.snapshot).iterdir())
    judged.segmenter.version = "2"
    judged.measure("cyclegan")
    monkeypatch.setattr(judging, "METHOD_VERSION", "another")
    judged.measure("cyclegan")
    assert len(set((judged.home.evaluations / judged.snapshot).iterdir()) - kept) == 2


def test_whatever_models_are_judged_by_is_part_of_the_yardstick(judged: Judged, tmp_path: Path) -> None:
    home, base = judged.home, judged.project
    truth = tmp_path / "truth"
    (truth / "masks").mkdir(parents=True)
    (truth / "masks" / "1.png").write_bytes(b"a mask")

    def version(text: str = "", folder: Path | None = None) -> str:
        changed = PROJECT.replace("perceptual = false", text or "perceptual = false")
        return yardstick_version(parse_project(changed, tmp_path / "x.toml"), home, folder)

    first = yardstick_version(base, home, None)
    assert version() == first
    versions = [
        first, version("perceptual = true"), version("[masks]\nviews = 1"), version(folder=truth),
        version('[masks]\nsegmenter = "deeplabv3_mobilenet"'),
    ]  # fmt: skip
    (truth / "masks" / "2.png").write_bytes(b"another")
    versions.append(version(folder=truth))
    home.weights.mkdir(parents=True, exist_ok=True)
    (home.weights / weights.WEIGHTS["yunet"].file_name).write_bytes(b"faces")
    versions.append(version())
    assert len(set(versions)) == len(versions)


def test_without_the_weights_faces_are_left_out(judged: Judged, caplog: pytest.LogCaptureFixture) -> None:
    judged.train("cyclegan")
    assert "face_kept" not in set(judged.measure("cyclegan")["metric"])
    assert "whether faces are kept is not measured" in caplog.text


def test_a_snapshot_that_is_gone_is_said_to_be(judged: Judged) -> None:
    with pytest.raises(DatasetError, match="feedfeedfeedfeed"):
        judged.measure("cyclegan", snapshot="feedfeedfeedfeed")


def test_a_run_without_a_finished_checkpoint_is_said_to_be_one(judged: Judged) -> None:
    with pytest.raises(TrainingError, match="holds no finished run; train it first"):
        judged.measure("cyclegan")
    judged.train("cyclegan")
    run = run_folder(judged.home, judged.snapshot, "cyclegan@0")
    assert model_version(run)
    run.completion.unlink()
    assert model_version(run) == ""
    with pytest.raises(TrainingError, match="holds no finished run; train it first"):
        judged.measure("cyclegan")


def test_broken_weights_are_named_and_leave_no_pictures(judged: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    judged.train("cyclegan")
    monkeypatch.setattr(
        "pipeline.models.large_photos.translate_pictures",
        lambda generator, rgb, alpha=None: np.full(rgb.shape, np.nan, np.float32),
    )
    with pytest.raises(DatasetError, match=r"cyclegan@0: the output has NaN or infinite pixels in \d+ of \d+ pictures"):
        judged.measure("cyclegan")
    assert not run_folder(judged.home, judged.snapshot, "cyclegan@0").translated.exists()


def test_damaged_costs_are_measured_again(judged: Judged) -> None:
    from pipeline.models.networks import Generator, GeneratorConfig

    generator = Generator(GeneratorConfig(channels=4, blocks=1)).eval()
    first = judging.costs_of(judged.home, generator)
    assert judging.costs_of(judged.home, generator) == first
    (path,) = (judged.home.evaluations / "costs").iterdir()
    path.write_text("{")
    assert judging.costs_of(judged.home, generator)["parameters"] == first["parameters"]


def test_seconds_are_counted_by_what_they_went_to() -> None:
    watch = Stopwatch()
    doubled = watch.wrapped("doubling", lambda values: values * 2)
    assert doubled(np.array([2])).tolist() == doubled(np.array([2])).tolist() == [4]
    with pytest.raises(ValueError, match="stop"), watch.timed("failing"):
        raise ValueError("stop")
    assert set(watch.seconds) == {"doubling", "failing"}
    assert SimpleNamespace(**watch.seconds).failing >= 0


def test_forgetting_a_photo_takes_away_what_models_share(judged: Judged) -> None:
    judged.train("cyclegan")
    judged.measure("cyclegan")
    kept = judged.home.evaluations / judged.snapshot
    assert kept.exists()
    tombstones = pd.DataFrame({"photo_id": ["flickr:1"], "forgotten_s": 5, "purged_s": None})
    judged.home.tables.write("tombstones", tombstones)
    done = finish_forgetting(judged.home, now_s=6)
    assert done is not None
    assert done.snapshots == [judged.snapshot]
    assert not kept.exists()


def test_methods_from_outside_stand_beside_the_models(judged: Judged) -> None:
    root = judged.home.root
    (root / "half.py").write_text("def run(picture): return picture // 2")
    photos = is_judged(judged)
    (root / "phone").mkdir()
    for index, photo in enumerate(photos[:-2]):
        Image.fromarray(np.random.default_rng(index).integers(0, 256, (32, 32, 3), np.uint8)).save(
            root / "phone" / f"{photo.partition(':')[2]}.png"
        )
    (root / "phone" / f"{photos[-2].partition(':')[2]}.png").write_text("no picture")
    judged.project = parse_project(
        PROJECT
        + '[[evaluation.methods]]\nname = "phone"\nfolder = "phone"\n'
        + '[[evaluation.methods]]\nname = "half"\ncallable = "half:run"\n',
        root / "bokehflow.toml",
    )
    judged.train("cyclegan")
    table = judged.measure("cyclegan")
    counts = table[table["metric"] == "checkerboard"].groupby("method")["value"].agg(["count", "size"])
    assert counts.loc["phone"].tolist() == [len(photos) - 2, len(photos)]
    assert counts.loc["half", "count"] == counts.loc["cyclegan@0", "count"] == len(photos)
    costs = table[(table["photo_id"] == "set:model") & (table["metric"] == "s_picture")]
    assert costs["method"].tolist() == ["half"]
    run = run_folder(judged.home, judged.snapshot, "cyclegan@0")
    provenance = evaluation_provenance(judged.project, judged.home, None, run)
    judged.home.tables.write("evaluation", table, f"cyclegan@0|{judged.snapshot}", provenance)
    inputs = report_inputs(judged.project, judged.home, judged.snapshot)
    assert [model.name for model in inputs.models] == ["cyclegan@0"]
    facts = {one.name: one.outside for one in inputs.outside}
    assert facts["half"] is not None
    assert facts["half"].problems == {}
    assert facts["phone"] is not None
    assert list(facts["phone"].problems) == photos[-2:]
    page = write_report(root / "report.html", inputs).read_text()
    assert f"Judged on {len(photos) - 2} of {len(photos)} test photos alone" in page
    assert "cannot be read" in page
    assert "no picture of that name" in page
    assert page.count('data-method="half"') >= len(photos)


def test_the_results_of_the_2018_studys_four_models_stand_beside_ours(judged: Judged) -> None:
    root, photos = judged.home.root, is_judged(judged)
    studied = {"study_cyclegan": 0, "study_mask": 40, "study_overlay": 80, "study_mask_overlay": 120}
    for name, shade in studied.items():
        images = root / "results" / name / "test_latest" / "images"
        images.mkdir(parents=True)
        for photo in photos:
            number = photo.partition(":")[2]
            # What the code that the study builds upon writes for each photo, real and made.
            for end, level in (("real_A", 150), ("fake_B", shade), ("rec_A", 151), ("idt_A", 152)):
                picture = np.random.default_rng(level).integers(0, 256 - level, (32, 32, 3), np.uint8)
                Image.fromarray(picture).save(images / f"{number}_{end}.png")
    tables = [f'[[evaluation.methods]]\nname = "{name}"\nfolder = "results/{name}"\n' for name in studied]
    judged.project = parse_project(PROJECT + "".join(tables), root / "bokehflow.toml")
    judged.train("cyclegan")
    table = judged.measure("cyclegan")
    run = run_folder(judged.home, judged.snapshot, "cyclegan@0")
    provenance = evaluation_provenance(judged.project, judged.home, None, run)
    judged.home.tables.write("evaluation", table, f"cyclegan@0|{judged.snapshot}", provenance)
    changed = table[table["metric"] == "checkerboard"].groupby("method")["value"].agg(["mean", "count"])
    assert set(studied) < set(changed.index)
    assert changed.loc[[*studied, "cyclegan@0"], "count"].tolist() == [len(photos)] * 5
    assert changed.loc[list(studied), "mean"].nunique() == 4
    inputs = report_inputs(judged.project, judged.home, judged.snapshot)
    assert [one.name for one in inputs.outside] == list(studied)
    for one in inputs.outside:
        assert one.outside is not None
        assert not one.outside.problems
        assert not one.outside.extra
    page = write_report(root / "report.html", inputs).read_text()
    for name in (*studied, "cyclegan@0"):
        assert page.count(f'data-method="{name}"') >= len(photos), name


def test_a_changed_method_is_judged_again_and_an_unchanged_one_is_not_run_twice(judged: Judged) -> None:
    root = judged.home.root
    script = "def run(picture):\n    with open(r'{}', 'a') as file:\n        file.write('x')\n    return picture\n"
    (root / "half.py").write_text(script.format(root / "calls"))
    judged.project = parse_project(
        PROJECT + '[[evaluation.methods]]\nname = "half"\ncallable = "half:run"\n', root / "bokehflow.toml"
    )
    judged.train("cyclegan")
    first, calls = judged.measure("cyclegan"), (root / "calls").read_text()
    assert len(calls) == len(is_judged(judged))
    assert judged.measure("cyclegan").equals(first)
    assert (root / "calls").read_text() == calls
    run = run_folder(judged.home, judged.snapshot, "cyclegan@0")
    told = evaluation_provenance(judged.project, judged.home, None, run)
    judged.home.tables.write("evaluation", first, f"cyclegan@0|{judged.snapshot}", told)

    def why(project: Project) -> list[str]:
        return why_judge_again(project, judged.home, None, judged.snapshot, "cyclegan@0")

    assert why(judged.project) == []
    (root / "half.py").write_text(script.format(root / "calls") + "# new\n")
    assert why(judged.project) == ["`evaluation.methods` half changed"]
    assert why(project(root)) == ["`evaluation.methods` half is gone"]


def is_judged(judged: Judged) -> list[str]:
    manifest = read_snapshot(judged.home.snapshots, judged.snapshot)
    return manifest.loc[is_test(manifest, judged.project), "photo_id"].tolist()
