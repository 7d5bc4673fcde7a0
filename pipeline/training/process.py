"""One training run from its job to the completion marker.

Interrupted anywhere and started again, a run goes on from its last checkpoint. On a processor it ends with the same
weights, bit for bit, as one that was never interrupted; on a GPU with such that differ by the order of sums.
"""

import copy
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from pipeline import atomic
from pipeline.errors import TrainingError, disk_failed, is_full
from pipeline.file_names import inside
from pipeline.models import MODELS_OF_DEPTH, MODELS_OF_ONE_DOMAIN, model_class
from pipeline.models.images import AlphaArray, RgbArray, translate
from pipeline.models.networks import Generator
from pipeline.models.parsers import load_parser
from pipeline.models.vgg import VggFeatures, load_features
from pipeline.plain_files import file_sha256
from pipeline.squares import scaled
from pipeline.training.calibration import PICTURES, calibrate
from pipeline.training.card import card_page, model_card
from pipeline.training.checkpoints import (
    load_generator_weights,
    restore_checkpoint,
    save_checkpoint,
    save_generator,
)
from pipeline.training.depth_checks import DepthChecker, FocusChecker
from pipeline.training.events import EventLog
from pipeline.training.jobs import TrainingJob
from pipeline.training.loader import BatchLoader
from pipeline.training.loop import train_steps
from pipeline.training.loss_log import LossLog
from pipeline.training.mlflow_log import MlflowLog
from pipeline.training.progress_checks import (
    ADVICE,
    FORGIVEN_SHARE,
    Checker,
    CheckLog,
    falls_evenly,
    is_check_step,
    pictures_to_check,
)
from pipeline.training.runs import Completion, Failing, RunFolder, completion_of, enter, exclusive
from pipeline.training.sampling import ImageSource, PairSampler
from pipeline.training.state import TrainingState, build_model, needs_features

logger = logging.getLogger(__name__)

CHECKPOINT_INTERVAL_S = 10.0
CHECKPOINT_TIME_SHARE = 0.02
"""A checkpoint is taken no sooner than the interval, and takes no more than this share of the time."""

PROGRESS_INTERVAL_S = 5.0
PROGRESS_TIME_SHARE = 0.02
PROGRESS_INTERVAL_LIMIT_S = 60.0
"""Progress lines come every 5 s at first, later every fiftieth of the time that passed, at most a minute."""

SAMPLES_IN_A_RUN = 8
SAMPLE_PICTURES = 8
FINAL_STEPS = 100
"""Steps over which the final losses are averaged."""


@dataclass(frozen=True)
class TrainingData:
    """The pictures of a run: both domains' training pictures, and pictures of A that samples are made of."""

    train_a: ImageSource
    train_b: ImageSource
    samples_a: ImageSource


def run_training(
    job: TrainingJob,
    load_data: Callable[[], TrainingData],
    should_stop: Callable[[], bool] = lambda: False,
    features: VggFeatures | None = None,
) -> Completion | None:
    """Train the job in its folder, or go on where it was left; returns what the completion marker says.

    Where the model wants VGG's features it gets `features`, or those of the job's `weights_dir` where there are none.
    None if `should_stop` became true: then a checkpoint was saved. A finished run returns at once, without
    loading data, and keeps no checkpoint: optimisers and pools are most of what a run weighs. TrainingError if
    another trainer holds the folder, if the data do not fit the settings, or if losses or weights are not finite,
    or if the GPU's memory is full. StorageError where the disk is.
    """
    folder = RunFolder(job.run_dir)
    with exclusive(folder.root):
        enter(folder, job)
        completion = completion_of(folder)
        if completion is not None and _is_intact(folder, completion):
            logger.info("%s is complete: %d steps", job.run_id, completion.steps)
        else:
            folder.completion.unlink(missing_ok=True)
            completion = _trained(job, folder, load_data, should_stop, features)
        if completion is not None:
            folder.checkpoint.unlink(missing_ok=True)
        return completion


def _trained(
    job: TrainingJob,
    folder: RunFolder,
    load_data: Callable[[], TrainingData],
    should_stop: Callable[[], bool],
    features: VggFeatures | None,
) -> Completion | None:
    try:
        return _Run(job, folder, load_data(), should_stop, features).to_the_end()
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"{job.run_id}: the GPU's memory is full ({error}). Lower batch_size or size_px, or end what else uses the"
            " GPU; with the same settings the run goes on from its last checkpoint."
        ) from error
    except OSError as error:
        if is_full(error):
            raise disk_failed(error, folder.root) from error
        raise


def has_bfloat16() -> bool:
    """Whether torch has fast convolutions in bfloat16 on this processor."""
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


@dataclass
class _Clock:
    """Says when something is due that should come every so often."""

    interval_s: float
    last_s: float = field(default_factory=time.monotonic)

    def is_due(self) -> bool:
        return time.monotonic() - self.last_s >= self.interval_s

    def restart(self, interval_s: float) -> None:
        self.interval_s, self.last_s = interval_s, time.monotonic()


class _Run:
    """The moving parts of `run_training`."""

    def __init__(
        self,
        job: TrainingJob,
        folder: RunFolder,
        data: TrainingData,
        should_stop: Callable[[], bool],
        features: VggFeatures | None,
    ) -> None:
        self.job, self.folder, self.data, self.should_stop = job, folder, data, should_stop
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if self.device.type == "cpu" and job.settings.precision == "bfloat16" and not has_bfloat16():
            logger.warning("this processor has no bfloat16 and takes ten times as long with it; set precision = 'float32'")
        torch.backends.cudnn.benchmark = True  # all steps have the same shapes, so trying every algorithm once pays
        sampler = PairSampler(data.train_a, data.train_b, job.settings, job.seed, model_class(job.model).LAYERS)
        self.loader = BatchLoader(sampler, self.device)
        self.images = {"a": len(data.train_a), "b": 0 if job.model in MODELS_OF_ONE_DOMAIN else len(data.train_b)}
        self.samples = _samples(data.samples_a, job.settings.size_px)
        if job.settings.cpu_threads:
            torch.set_num_threads(job.settings.cpu_threads)
        torch.manual_seed(job.seed)
        frozen = _features(job, features), _parser(job)
        model = build_model(job.model, job.settings, job.seed, *frozen)
        self.state = TrainingState(model, job.settings, job.seed, self.device)
        most = pictures_to_check(self.loader.total_steps)
        self.checker = self._checker_of(job.model, most)
        self.losses = LossLog()
        self.seconds_before = 0.0
        if folder.checkpoint.exists():
            self.seconds_before = restore_checkpoint(self.state, folder.checkpoint, job.digest)
            self.losses = LossLog.read(folder.losses, self.state.step)
        self.checks = CheckLog(folder.checks, self.state.step, folder.best_check)
        self.events = EventLog(folder.events, self.losses, self.loader.total_steps)
        self.mlflow = MlflowLog(job, folder, self.loader.total_steps)
        self.started_s = time.monotonic()
        self.first_step = self.state.step

    @property
    def seconds(self) -> float:
        """Training time, earlier starts included."""
        return self.seconds_before + time.monotonic() - self.started_s

    def to_the_end(self) -> Completion | None:
        with self.mlflow:
            return self._to_the_end()

    def _to_the_end(self) -> Completion | None:
        total = self.loader.total_steps
        logger.info("%s: step %d of %d, on %s", self.job.run_id, self.state.step, total, self.device)
        for limit in self.checker.limits:
            logger.warning("%s", limit)
        checkpoint, progress = _Clock(CHECKPOINT_INTERVAL_S), _Clock(PROGRESS_INTERVAL_S)
        for metrics in train_steps(self.state, self.loader):
            self.losses.append(metrics)
            if falls_evenly(metrics.step, total, SAMPLES_IN_A_RUN):
                self._write_sample()
            if is_check_step(metrics.step, total):
                self._check()
            if self.job.settings.keep_every_steps and metrics.step % self.job.settings.keep_every_steps == 0:
                self._save_generators(partial(self.folder.kept_generator, step=metrics.step))
            if progress.is_due():
                self._log_progress()
                share = PROGRESS_TIME_SHARE * (time.monotonic() - self.started_s)
                progress.restart(min(max(PROGRESS_INTERVAL_S, share), PROGRESS_INTERVAL_LIMIT_S))
            stopping = self.should_stop()
            if stopping or checkpoint.is_due():
                cost_s = self._save()
                checkpoint.restart(max(CHECKPOINT_INTERVAL_S, cost_s / CHECKPOINT_TIME_SHARE))
            if stopping:
                logger.info("stopped after step %d; the run goes on from there", metrics.step)
                return None
        self._save()
        return self._complete()

    def _save(self) -> float:
        """Write losses, then the checkpoint that refers to them; returns the seconds it took."""
        before_s = time.monotonic()
        self.losses.settle()
        self.losses.write(self.folder.losses)
        self._follow()
        save_checkpoint(self.state, self.folder.checkpoint, self.job.digest, self.seconds)
        return time.monotonic() - before_s

    def _follow(self) -> None:
        """Bring what shows the losses elsewhere up to date."""
        self.events.follow(self.losses)
        self.mlflow.follow(self.losses)

    def _log_progress(self) -> None:
        self.losses.settle()
        self._follow()
        speed = (self.state.step - self.first_step) / (time.monotonic() - self.started_s)
        left_s = (self.loader.total_steps - self.state.step) / speed
        means = self.losses.recent_means(FINAL_STEPS)
        losses = ", ".join(f"{name} {value:.4f}" for name, value in means.items())
        step, total = self.state.step, self.loader.total_steps
        logger.info("step %d of %d, %.2f steps/s, %s left; %s", step, total, speed, _duration(left_s), losses)

    def _write_sample(self) -> None:
        self.losses.settle()  # no picture of a run whose losses are not finite
        picture = sample_picture(self.state.results()["a_to_b"], *self.samples)
        with atomic.atomic_path(self.folder.sample(self.state.step)) as temporary:
            Image.fromarray(picture).save(temporary, format="png")

    def _check(self) -> None:
        """Hold the generators against the training pictures; the best ones so far are kept."""
        self.losses.settle()  # nothing is kept of a run whose losses are not finite
        step, before = self.state.step, self.checks.failing
        failing = self.checker.failing(self.state.model.generators["a_to_b"])
        check = self.checker.check(self.state.results()["a_to_b"], step, failing)
        self.checks.add(check, partial(self._save_generators, self.folder.best_generator))
        logger.info("step %d: %s", step, check.words)
        if failing != before:
            self._say_failing(failing, before)
        if failing and self.job.stop_failing and step >= FORGIVEN_SHARE * self.loader.total_steps:
            self._save()
            raise TrainingError(
                f"{self.job.run_id} {failing} after {step} steps: {ADVICE[failing]}. It was ended because stop_failing "
                "under [training] says so; with it false the run goes on from here."
            )

    def _say_failing(self, failing: Failing | None, before: Failing | None) -> None:
        step, total = self.state.step, self.loader.total_steps
        if failing is None:
            logger.info("step %d of %d: it is no longer so that the run %s", step, total, before)
        else:
            logger.warning("step %d of %d: the run %s: %s", step, total, failing, ADVICE[failing])

    def _save_generators(self, place: Callable[[str], Path]) -> dict[str, str]:
        """Write the generators that count now to the paths of their directions; path in the folder -> SHA-256."""
        paths = {direction: place(direction) for direction in self.state.results()}
        for direction, generator in self.state.results().items():
            save_generator(generator, paths[direction], self._provenance())
        return {str(path.relative_to(self.folder.root)): file_sha256(path) for path in paths.values()}

    def _provenance(self) -> dict[str, Any]:
        fields = self.job.model_dump(include={"run_id", "recipe", "model", "seed", "snapshot_id"})
        return {**fields, "digest": self.job.digest}

    def _checker(self, most: int) -> Checker:
        """Of at most so many training pictures of each domain."""
        return Checker.of(self.data.train_a, self.data.train_b, self.job.settings.size_px, most)

    def _checker_of(self, model: str, most: int) -> Checker | DepthChecker | FocusChecker:
        """What tells how far such a model has come."""
        if model in MODELS_OF_DEPTH:
            return self._depth_checker(most)
        if model in MODELS_OF_ONE_DOMAIN:
            return FocusChecker.of(self.data.train_a, self.job.settings.size_px, most)
        return self._checker(most)

    def _depth_checker(self, most: int) -> DepthChecker:
        """Of at most so many training pictures with their depth."""
        settings = self.job.settings
        return DepthChecker.of(self.data.train_a, settings.size_px, most, settings.depth_loss)

    def _calibrate(self) -> dict[str, float]:
        """Set the lens of the last and of the best generator from A to B; the strengths, empty where none is calibrated."""
        if not self.job.settings.lens_calibrated:
            return {}
        pictures, last = self._checker(PICTURES), self.state.results()["a_to_b"]
        path, best = self.folder.best_generator("a_to_b"), copy.deepcopy(last)
        load_generator_weights(best, path)
        strengths = {"last": calibrate(last, pictures), "best": calibrate(best, pictures)}
        save_generator(best, path, self._provenance())
        logger.info(
            "by %d training pictures the lens's discs are made %s times as large", len(pictures.rgb), strengths["last"]
        )
        return strengths

    def _complete(self) -> Completion:
        folder, state = self.folder, self.state
        strengths = self._calibrate()
        files = self._save_generators(folder.generator)
        best = [folder.best_generator(direction) for direction in state.results()]
        files |= {str(path.relative_to(folder.root)): file_sha256(path) for path in best}
        if strengths or not folder.sample(state.step).exists():
            self._write_sample()
        completion = Completion(
            **self._provenance(),
            steps=state.step,
            seconds=round(self.seconds, 3),
            final_losses=self.losses.recent_means(FINAL_STEPS),
            sample=str(folder.sample(state.step).relative_to(folder.root)),
            best=self.checks.best.figures if self.checks.best else {},
            failing=self.checks.failing,
            strengths=strengths,
            files=files,
        )
        subjects = not isinstance(self.checker, Checker) or self.checker.has_subjects
        card = model_card(self.job, completion, state.model, self.images, self.device, subjects)
        atomic.write_text(folder.card, json.dumps(card, indent=2, ensure_ascii=False) + "\n")
        atomic.write_text(folder.card_page, card_page(card, self.losses, self.checks.checks))
        self.mlflow.complete(completion)  # before the marker: a run without it is gone on with
        atomic.write_text(folder.completion, completion.model_dump_json(indent=2) + "\n")
        logger.info("%s: %d steps in %s", self.job.run_id, state.step, _duration(completion.seconds))
        return completion


def _features(job: TrainingJob, given: VggFeatures | None) -> VggFeatures | None:
    """VGG's features where the model wants them; `WeightsError` where they cannot be had."""
    if not needs_features(job.model, job.settings):
        return None
    return given or load_features(job.settings.perceptual_network, _weights_folder(job))


def _parser(job: TrainingJob) -> nn.Module | None:
    """The parser where the model wants one; `WeightsError` where it cannot be had."""
    name = job.settings.parser_for(job.model)
    return None if name is None else load_parser(name, _weights_folder(job))


def _weights_folder(job: TrainingJob) -> Path:
    return job.weights_dir or job.run_dir / "weights"


def sample_picture(generator: Generator, rgb: RgbArray, alpha: AlphaArray) -> RgbArray:
    """Pictures side by side above their translations: uint8 [2 · side, n · side, 3]."""
    training = generator.training
    outputs = np.round(translate(generator.eval(), rgb, alpha) * 255).astype(np.uint8)
    generator.train(training)
    return np.concatenate([np.concatenate(list(row), 1) for row in (rgb, outputs)])


def _samples(source: ImageSource, size_px: int) -> tuple[RgbArray, AlphaArray]:
    rgb, alpha = source.batch(np.arange(min(SAMPLE_PICTURES, len(source))))
    return scaled(rgb, size_px), scaled(alpha, size_px)


def _is_intact(folder: RunFolder, completion: Completion) -> bool:
    """Whether the generators are still the files that the run completed with."""
    paths: list[tuple[Path, str]] = [(inside(folder.root, name), digest) for name, digest in completion.files.items()]
    return all(path.exists() and file_sha256(path) == digest for path, digest in paths)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
