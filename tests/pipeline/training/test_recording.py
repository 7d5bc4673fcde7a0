"""Recorded steps are the plain ones: with a stand-in for CUDA graphs here, with the real ones on a GPU."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipeline.models import MODELS
from pipeline.training import loop
from pipeline.training.checkpoints import restore_checkpoint, save_checkpoint
from pipeline.training.loader import BatchLoader
from pipeline.training.loop import RecordedSteps, TrainingState, build_model, train_steps
from pipeline.training.recipes import TrainingSettings, resolve
from pipeline.training.recording import WARM_UP_CALLS, Function, Replayed
from pipeline.training.sampling import ArrayImages, PairSampler
from tests.pipeline.training.conftest import TINY

Sources = Callable[..., ArrayImages]
CPU = torch.device("cpu")


class StandIn:
    """Like a CUDA graph: recording carries nothing out, and each replay writes to the same places."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.replays = 0
        self.outputs: dict[str, Tensor] = {}

    def replay(self) -> None:
        self.replays += 1
        for name, value in self.function().items():
            self.outputs.setdefault(name, torch.empty_like(value)).copy_(value)


def at_once(function: Function) -> dict[str, Tensor]:
    return function()


STAND_IN = partial(Replayed, recorder=StandIn, carry_out=at_once)


def loader_of(settings: TrainingSettings, random_source: Sources, device: torch.device = CPU) -> BatchLoader:
    return BatchLoader(PairSampler(random_source(5), random_source(7, seed=1), settings, seed=0), device)


def run(
    model: str, settings: TrainingSettings, loader: BatchLoader, device: torch.device = CPU
) -> tuple[list[dict[str, float]], dict[str, Tensor]]:
    """Terms of every step, read at the end only, and the weights that count."""
    state = TrainingState(build_model(model, settings, 0), settings, 0, device)
    metrics = list(train_steps(state, loader))
    terms = [{name: value.item() for name, value in step.terms.items()} for step in metrics]
    return terms, state.results()["a_to_b"].state_dict()


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "PlainSteps", partial(RecordedSteps, replayed=STAND_IN))


def tiny(**changes: object) -> TrainingSettings:
    return resolve("smoke", {**TINY, "perceptual_scale": "none", **changes})


@pytest.mark.parametrize("model", MODELS)
def test_replayed_steps_are_the_plain_ones(model: str, random_source: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tiny(steps=24, r1_every_steps=4)
    plain = run(model, settings, loader_of(settings, random_source))
    monkeypatch.setattr(loop, "PlainSteps", partial(RecordedSteps, replayed=STAND_IN))
    terms, weights = run(model, settings, loader_of(settings, random_source))
    assert terms == plain[0]
    assert all(torch.equal(weights[name], value) for name, value in plain[1].items())


@pytest.mark.usefixtures("recorded")
def test_a_recorded_run_goes_on_from_a_checkpoint(random_source: Sources, tmp_path: Path) -> None:
    settings = tiny(steps=20)
    _, expected = run("cyclegan", settings, loader_of(settings, random_source))
    loader = loader_of(settings, random_source)
    first = TrainingState(build_model("cyclegan", settings, 0), settings, 0, CPU)
    for metrics in train_steps(first, loader):
        if metrics.step == 11:
            break
    save_checkpoint(first, tmp_path / "last.pt", "digest", 1.0)
    second = TrainingState(build_model("cyclegan", settings, 1), settings, 0, CPU)
    restore_checkpoint(second, tmp_path / "last.pt", "digest")
    assert len(list(train_steps(second, loader))) == 9
    results = second.results()["a_to_b"].state_dict()
    assert all(torch.equal(results[name], value) for name, value in expected.items())


def test_a_function_is_carried_out_then_recorded_then_replayed() -> None:
    calls, recordings = [], []

    def function() -> dict[str, Tensor]:
        calls.append(1)
        return {"count": torch.tensor(float(len(calls)))}

    def recorder(function: Function) -> StandIn:
        recordings.append(StandIn(function))
        return recordings[-1]

    replayed = Replayed(function, recorder, at_once)
    counts = [replayed()["count"].item() for _ in range(WARM_UP_CALLS + 4)]
    assert counts == [1.0 + number for number in range(WARM_UP_CALLS + 4)]
    assert [recording.replays for recording in recordings] == [4]


def test_where_recording_fails_the_steps_go_on(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(function: Function) -> StandIn:
        raise RuntimeError("operation not permitted when stream is capturing")

    replayed = Replayed(lambda: {"one": torch.ones(())}, refuse, at_once)
    assert [replayed()["one"].item() for _ in range(WARM_UP_CALLS + 3)] == [1.0] * (WARM_UP_CALLS + 3)
    assert caplog.text.count("kernel by kernel") == 1


def test_the_discriminators_step_needs_the_generators(random_source: Sources) -> None:
    settings = tiny()
    state = TrainingState(build_model("cyclegan", settings, 0), settings, 0, CPU)
    with pytest.raises(ValueError, match="generators' step comes first"):
        RecordedSteps(state, STAND_IN).discriminator_step(None, {}, 1e-3)  # pyright: ignore[reportArgumentType]


@pytest.mark.gpu
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_cuda_graphs_stay_with_the_plain_float32_step(
    model: str, precision: str, random_source: Sources, caplog: pytest.LogCaptureFixture
) -> None:
    """Over 200 steps the mean of each term differs by a tenth at most, as between two orders of the same sums."""
    device, settings = torch.device("cuda"), tiny(steps=200, decay_share=0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "RecordedSteps", loop.PlainSteps)
        expected, _ = run(model, settings, loader_of(settings, random_source, device), device)
    changed = settings.model_copy(update={"precision": precision})
    terms, _ = run(model, changed, loader_of(changed, random_source, device), device)
    assert "kernel by kernel" not in caplog.text
    torch.testing.assert_close(means(terms), means(expected), rtol=0.1, atol=0.02)


def means(terms: list[dict[str, float]]) -> dict[str, float]:
    names = {name for step in terms for name in step}
    return {name: sum(step.get(name, 0.0) for step in terms) / len(terms) for name in sorted(names)}
