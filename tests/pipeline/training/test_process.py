"""A run from its job to its folder: complete, interrupted, superseded, locked, failed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pipeline import atomic
from pipeline.atomic import temporary_beside
from pipeline.errors import StorageError, TrainingError
from pipeline.models.cyclegan import CycleGAN, Translations
from pipeline.models.images import translate
from pipeline.models.translator import Batch, ModelConfig
from pipeline.models.vgg import VggFeatures
from pipeline.plain_files import file_sha256
from pipeline.training import process, runs
from pipeline.training import state as training_state
from pipeline.training.__main__ import load_data
from pipeline.training.inference import Checkpoint, load_generator, load_run, provenance_of
from pipeline.training.jobs import TrainingJob
from pipeline.training.process import TrainingData, run_training
from pipeline.training.progress_checks import is_check_step
from pipeline.training.runs import Completion, RunFolder, describe_run, exclusive
from pipeline.training.sampling import ArrayImages
from tests.pipeline.training.test_progress_checks import stored

MakeJob = Callable[..., TrainingJob]


def train(job: TrainingJob, should_stop: Callable[[], bool] = lambda: False) -> Completion | None:
    return run_training(job, lambda: load_data(job), should_stop)


def completed(job: TrainingJob) -> Completion:
    completion = train(job)
    assert completion is not None
    return completion


def stop_after(steps: int) -> Callable[[], bool]:
    """True from the `steps`-th time of asking."""
    asked = iter(range(1, 10**6))
    return lambda: next(asked) >= steps


def no_data() -> TrainingData:
    raise AssertionError("the data were loaded")


def test_a_complete_folder_tells_what_was_done(make_job: MakeJob) -> None:
    job = make_job(licences={"CC BY 2.0": 12})
    completion, folder = completed(job), RunFolder(job.run_dir)
    assert (completion.steps, completion.snapshot_id, completion.seed) == (12, job.snapshot_id, 3)
    last = {"generator_a_to_b.safetensors", "generator_b_to_a.safetensors"}
    assert set(completion.files) == last | {f"checkpoints/best/{name}" for name in last}
    losses = pd.read_parquet(folder.losses)
    assert losses["step"].tolist() == list(range(1, 13))
    assert losses["gan_b"].notna().all()
    assert losses["r1_b"].notna().sum() == 3
    card = json.loads(folder.card.read_text())
    assert card["settings"] == job.settings.model_dump(mode="json")
    assert card["lineage"] == {"code_revision": "abc"}
    assert card["training_images"] == {"a": 5, "b": 7}
    assert card["versions"]["torch"] == torch.__version__
    assert card["licences"] == {"CC BY 2.0": 12}
    page = folder.card_page.read_text()
    assert all(part in page for part in ("CC BY 2.0: 12", "revision abc", "| 12 |", job.snapshot_id, "discriminator_b"))
    assert str(job.run_dir) not in folder.card.read_text() + page
    assert not list(job.run_dir.rglob("*.tmp"))


def test_samples_show_inputs_above_translations(make_job: MakeJob) -> None:
    job = make_job()
    completion = completed(job)
    samples = sorted(RunFolder(job.run_dir).samples.iterdir())
    assert len(samples) == 8
    assert samples[-1] == job.run_dir / completion.sample
    picture = np.asarray(Image.open(samples[-1]))
    assert picture.shape == (2 * 16, 2 * 16, 3)
    generator, _ = load_generator(job.run_dir)
    translated = translate(generator, picture[None, :16, :16])[0]
    np.testing.assert_allclose(picture[16:, :16] / 255, translated, atol=0.51 / 255)


def test_a_second_start_returns_at_once(make_job: MakeJob) -> None:
    job = make_job()
    first = completed(job)
    entered = {"job.json", ".lock"}
    stamps = {path: path.stat().st_mtime_ns for path in job.run_dir.rglob("*.*") if path.name not in entered}
    assert run_training(job, no_data) == first
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


def test_an_interrupted_run_ends_with_the_same_bytes(make_job: MakeJob) -> None:
    straight, interrupted = make_job("straight", run_id="same"), make_job("interrupted", run_id="same")
    expected = completed(straight)
    for steps in (5, 1, 3):
        assert train(interrupted, stop_after(steps)) is None
    assert describe_run(interrupted.run_dir) == {
        "run": "same",
        "recipe": "tiny",
        "seed": 3,
        "snapshot": "0123456789abcdef",
        "model": "cyclegan",
        "steps": 9,
        "complete": False,
        "failing": None,
    }
    assert completed(interrupted).files == expected.files
    folders = RunFolder(straight.run_dir), RunFolder(interrupted.run_dir)
    losses = [pd.read_parquet(folder.losses) for folder in folders]
    pd.testing.assert_frame_equal(losses[0], losses[1])
    for name in ("step_0000002.png", "step_0000012.png"):
        assert (folders[0].samples / name).read_bytes() == (folders[1].samples / name).read_bytes()


def test_a_run_stopped_before_its_first_checkpoint_starts_anew(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_space(*_: object) -> None:
        raise OSError("No space left on device")

    job = make_job()
    with monkeypatch.context() as patch:
        patch.setattr(process, "save_checkpoint", out_of_space)
        with pytest.raises(OSError, match="No space left"):
            train(job)
    assert completed(job).files == completed(make_job("other", run_id=job.run_id)).files


def test_a_run_killed_between_training_and_marker_is_finished(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    job, expected = make_job(), completed(make_job("other", run_id=make_job().run_id))
    with monkeypatch.context() as patch:
        patch.setattr(process, "Completion", killed)
        with pytest.raises(KeyboardInterrupt):
            train(job)
        patch.undo()
        patch.setattr(CycleGAN, "translations", killed)  # it has learnt all; nothing is learnt twice
        second = completed(job)
    assert second.files == expected.files
    assert second.final_losses == expected.final_losses


def test_a_finished_run_keeps_no_checkpoint_to_go_on_from(make_job: MakeJob) -> None:
    job = make_job()
    folder = RunFolder(job.run_dir)
    assert train(job, stop_after(3)) is None
    assert folder.checkpoint.exists()
    first = completed(job)
    assert not folder.checkpoint.exists()
    folder.checkpoint.write_bytes(b"left by a run killed after its marker")
    assert completed(job) == first
    assert not folder.checkpoint.exists()


def test_an_altered_generator_is_noticed_and_written_anew(make_job: MakeJob) -> None:
    job = make_job()
    first, folder = completed(job), RunFolder(job.run_dir)
    folder.generator("a_to_b").write_bytes(b"altered")
    with pytest.raises(TrainingError, match="missing or was altered; start the run again"):
        load_generator(job.run_dir)
    assert completed(job).files == first.files
    load_generator(job.run_dir)
    with pytest.raises(TrainingError, match="no checkpoint 'bset'; it may be last or best"):
        load_generator(job.run_dir, cast("Checkpoint", "bset"))


def test_another_configuration_starts_anew_and_keeps_the_old_run_aside(make_job: MakeJob) -> None:
    first, second = make_job(), make_job(settings={"steps": 6})
    assert first.digest != second.digest
    completed(first)
    (first.run_dir / ".half.0000.tmp").write_text("left by a killed write")
    assert completed(second).steps == 6
    aside = first.run_dir / "superseded" / first.digest[:12]
    assert {path.name for path in aside.iterdir()} == {
        "job.json",
        "losses.parquet",
        "samples",
        "tensorboard",
        "checkpoints",
        "model.json",
        "model_card.md",
        "checks.json",
        "complete.json",
        "generator_a_to_b.safetensors",
        "generator_b_to_a.safetensors",
    }
    assert describe_run(aside) is not None
    assert not (first.run_dir / ".half.0000.tmp").exists()


@pytest.mark.parametrize(
    "change", [{"seed": 4}, {"snapshot_id": "ffff"}, {"domain_b": "other"}, {"settings": {"cycle_weight": 3.0}}]
)
def test_the_digest_tells_what_decides_the_result(make_job: MakeJob, change: dict[str, Any]) -> None:
    assert make_job(**change).digest != make_job().digest


def test_the_digest_leaves_out_what_does_not(make_job: MakeJob) -> None:
    moved = make_job("elsewhere", recipe="renamed", lineage={}, shards_dir="/elsewhere")
    assert moved.digest == make_job().digest


def test_a_second_trainer_is_refused(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job()
    monkeypatch.setattr(runs, "LOCK_PATIENCE_S", 0.1)
    with exclusive(job.run_dir), pytest.raises(TrainingError, match=r"Another trainer \(process \d+\) works in"):
        train(job)
    assert completed(job).steps == 12


def test_a_full_gpu_ends_the_run_with_what_to_do_and_it_goes_on(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: CycleGAN, batch: Batch) -> Translations:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    job = make_job()
    assert train(job, stop_after(5)) is None
    with monkeypatch.context() as patch:
        patch.setattr(CycleGAN, "translations", full)
        with pytest.raises(TrainingError, match=r"memory is full \(CUDA out of memory.*Lower batch_size"):
            train(job)
    assert completed(job).steps == 12


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("name", ["last.pt", "generator_a_to_b.safetensors", "losses.parquet", "step_0000006.png"])
def test_a_full_disk_ends_the_run_with_what_to_do_and_it_goes_on(
    name: str, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def beside(target: Path) -> Path:
        temporary = temporary_beside(target)
        if target.name == name:
            temporary.symlink_to("/dev/full")
        return temporary

    job, expected = make_job(), completed(make_job("other", run_id=make_job().run_id))
    assert train(job, stop_after(3)) is None
    before = RunFolder(job.run_dir).checkpoint.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(atomic, "temporary_beside", beside)
        with pytest.raises(StorageError, match=r"runs/run: the disk is full; .* make room and run again"):
            train(job)
    assert RunFolder(job.run_dir).checkpoint.read_bytes() == before
    assert not list(job.run_dir.rglob("*.tmp"))
    assert completed(job).files == expected.files


@pytest.mark.parametrize("supported", [True, False])
def test_bfloat16_without_hardware_for_it_is_warned_of(
    supported: bool, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(process, "has_bfloat16", lambda: supported)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert train(make_job(settings={"precision": "bfloat16"}), stop_after(1)) is None
    assert ("ten times as long" in caplog.text) != supported


def test_a_lens_is_loaded_for_the_way_that_has_one(make_job: MakeJob) -> None:
    job = make_job(settings={"output": "lens"})
    completed(job)
    generators = load_run(job.run_dir).generators
    assert [generators[direction].config.output for direction in ("a_to_b", "b_to_a")] == ["lens", "residual"]


def test_losses_that_are_not_finite_end_the_run_by_name(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    original, calls = CycleGAN.generator_terms, iter(range(1, 100))

    def broken(self: CycleGAN, batch: Batch, made: Translations) -> dict[str, torch.Tensor]:
        terms = original(self, batch, made)
        return {**terms, "cycle_b": terms["cycle_b"] * float("nan")} if next(calls) == 4 else terms

    job = make_job()
    assert train(job, stop_after(5)) is None
    with monkeypatch.context() as patch:
        patch.setattr(CycleGAN, "generator_terms", broken)
        with pytest.raises(TrainingError, match="The loss cycle_b became nan in step 9"):
            train(job)
    assert not RunFolder(job.run_dir).completion.exists()
    assert completed(job).files == completed(make_job("other", run_id=job.run_id)).files


def test_an_unfinished_run_has_no_generator(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job()
    train(job, stop_after(3))
    with pytest.raises(TrainingError, match="holds no finished run; train it first"):
        load_generator(job.run_dir)
    assert describe_run(tmp_path / "nowhere") is None


def test_data_that_are_not_there_are_named(make_job: MakeJob, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no train pictures of domain 'blurred'"):
        train(make_job(domain_b="blurred"))
    with pytest.raises(TrainingError, match=r"manifest .*missing\.parquet cannot be read"):
        train(make_job(manifest_path=tmp_path / "missing.parquet"))


def test_without_test_pictures_samples_are_made_of_training_pictures(make_job: MakeJob) -> None:
    job = make_job(domain_a="shallow", domain_b="ordinary")
    assert len(load_data(job).samples_a) == 7


def test_losses_are_there_for_tensorboard_once_each(make_job: MakeJob) -> None:
    job = make_job()
    assert train(job, stop_after(5)) is None
    completed(job)
    events = EventAccumulator(str(RunFolder(job.run_dir).events)).Reload()
    points = events.Scalars("loss/gan_b")
    assert [point.step for point in points] == list(range(1, 13))
    losses = pd.read_parquet(RunFolder(job.run_dir).losses)["gan_b"]
    assert [point.value for point in points] == pytest.approx(losses.tolist(), abs=1e-5)


def test_generators_are_kept_on_the_way_where_the_recipe_says_so(make_job: MakeJob) -> None:
    job = make_job(settings={"keep_every_steps": 5})
    folder, completion = RunFolder(job.run_dir), completed(job)
    kept = [folder.kept_generator("a_to_b", step) for step in (5, 10)]
    assert all(path.exists() for path in kept)
    assert len({file_sha256(path) for path in kept} | {completion.files["generator_a_to_b.safetensors"]}) == 3


def test_the_best_checkpoint_can_be_had_after_an_interruption_too(make_job: MakeJob) -> None:
    job = make_job(settings={"size_px": 32})
    assert run_training(job, portraits, stop_after(7)) is None
    completion, folder = run_training(job, portraits), RunFolder(job.run_dir)
    straight = run_training(make_job("straight", run_id=job.run_id, settings={"size_px": 32}), portraits)
    assert completion is not None
    assert straight is not None
    assert (completion.best, completion.files) == (straight.best, straight.files)
    checks = json.loads(folder.checks.read_text())
    assert [check["step"] for check in checks] == [step for step in range(1, 13) if is_check_step(step, 12)]
    best = min(checks, key=lambda check: (check["gap"] + check["scales"]) / 2 + check["change"])
    assert completion.best == {name: value for name, value in best.items() if name != "failing"}
    best, _ = load_generator(job.run_dir, "best")
    last, _ = load_generator(job.run_dir)
    told = {name: provenance_of(job.run_dir, name)["steps"] for name in ("last", "best")}
    assert told == {"last": completion.steps, "best": completion.best["step"]}
    if completion.best["step"] != completion.steps:
        assert any(not torch.equal(*pair) for pair in zip(best.parameters(), last.parameters(), strict=True))
    folder.best_generator("a_to_b").write_bytes(b"altered")
    with pytest.raises(TrainingError, match="altered"):
        load_generator(job.run_dir, "best")


def test_a_run_from_before_best_checkpoints_can_be_read(make_job: MakeJob) -> None:
    job = make_job()
    completed(job)
    path = RunFolder(job.run_dir).completion
    older = json.loads(path.read_text())
    del older["best"]
    older["files"] = {name: digest for name, digest in older["files"].items() if "/" not in name}
    path.write_text(json.dumps(older))
    load_generator(job.run_dir)
    with pytest.raises(TrainingError, match="has no best checkpoint"):
        load_generator(job.run_dir, "best")


def test_the_one_sided_model_leaves_one_generator(make_job: MakeJob) -> None:
    job = make_job(model="one_sided", settings={"perceptual_scale": "none"})
    assert set(completed(job).files) == {"generator_a_to_b.safetensors", "checkpoints/best/generator_a_to_b.safetensors"}
    generator, _ = load_generator(job.run_dir)
    assert not generator.training


def grey_features() -> VggFeatures:
    """VGG's features, all weights alike."""
    shapes = {0: (64, 3), 2: (64, 64), 5: (128, 64), 7: (128, 128), 10: (256, 128), 12: (256, 256)}
    state = {f"{place}.weight": torch.full((*shape, 3, 3), 0.01) for place, shape in shapes.items()}
    return VggFeatures(state | {f"{place}.bias": torch.zeros(shape[0]) for place, shape in shapes.items()})


def test_features_are_loaded_where_the_recipe_wants_them(
    make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def load(network: str, folder: Path) -> VggFeatures:
        asked.append((network, folder))
        return grey_features()

    monkeypatch.setattr(process, "load_features", load)
    settings = {"perceptual_network": "vgg16", "perceptual_scale": "paper", "steps": 2}
    job = make_job(model="mask_loss", settings=settings, weights_dir=tmp_path / "weights")
    assert "mask_features_a" in completed(job).final_losses
    assert asked == [("vgg16", tmp_path / "weights")]


def test_features_that_are_given_are_not_loaded(make_job: MakeJob, tmp_path: Path) -> None:
    settings = {"perceptual_network": "vgg16", "perceptual_scale": "paper", "steps": 2}
    job = make_job(model="mask_loss", settings=settings, weights_dir=tmp_path / "none")
    completion = run_training(job, lambda: load_data(job), features=grey_features())
    assert completion is not None
    assert "mask_features_a" in completion.final_losses
    assert not (tmp_path / "none").exists()


class Settled(CycleGAN):
    """Stands in for a generator that has collapsed, whatever its weights are: it leaves every picture as it is."""

    def __init__(
        self, config: ModelConfig, features: VggFeatures | None = None, parser: torch.nn.Module | None = None
    ) -> None:
        super().__init__(config, features, parser)
        for generator in (self.generator_a_to_b, self.generator_b_to_a):
            torch.nn.Module.__setattr__(generator, "forward", lambda images, alpha=None, g=generator: _as_it_is(g, images))


def _as_it_is(generator: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    return images + 0 * next(generator.parameters()).sum()


def portraits() -> TrainingData:
    """Domains whose backgrounds differ in softness, around subjects that do not."""
    a, b = ArrayImages(*stored(0)), ArrayImages(*stored(1, 1.5))
    return TrainingData(a, b, a)


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_state, "model_class", lambda _: Settled)


@pytest.mark.usefixtures("settled")
def test_a_run_that_blurs_nothing_says_so_in_its_first_tenth_and_everywhere(
    make_job: MakeJob, caplog: pytest.LogCaptureFixture
) -> None:
    job = make_job(settings={"steps": 20, "size_px": 32})
    completion = run_training(job, portraits)
    assert completion is not None
    warned = [record.message for record in caplog.records if "blurs nothing" in record.message]
    assert len(warned) == 1
    # Nor does one that paints something of its own, as in its first steps, leave pictures as they are.
    assert warned[0].startswith(
        "step 2 of 20: the run blurs nothing: backgrounds stay as sharp as they were, or get sharper"
    )
    assert completion.failing == "blurs nothing"
    folder = RunFolder(job.run_dir)
    assert {row["failing"] for row in json.loads(folder.checks.read_text())} == {"blurs nothing"}
    assert json.loads(folder.card.read_text())["failing"] == "blurs nothing"
    assert "by its last check it blurs nothing" in folder.card_page.read_text()
    run = describe_run(job.run_dir)
    assert run is not None
    assert run["failing"] == "blurs nothing"


@pytest.mark.usefixtures("settled")
def test_a_failing_run_ends_where_it_shall_and_goes_on_where_not(make_job: MakeJob) -> None:
    settings = {"steps": 20, "size_px": 32}
    with pytest.raises(TrainingError, match=r"blurs nothing after 2 steps: .*stop_failing"):
        run_training(make_job(settings=settings, stop_failing=True), portraits)
    job = make_job(settings=settings)
    run = describe_run(job.run_dir)
    assert run is not None
    assert (run["steps"], run["complete"], run["failing"]) == (2, False, "blurs nothing")
    completion = run_training(job, portraits)
    assert completion is not None
    assert completion.steps == 20
