"""Recorded steps are the plain ones: with a stand-in for CUDA graphs here, with the real ones on a GPU."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipeline.models import MODELS, MODELS_OF_ONE_DOMAIN
from pipeline.models.translator import Batch
from pipeline.training import loop
from pipeline.training import steps as training_steps
from pipeline.training.checkpoints import restore_checkpoint, save_checkpoint
from pipeline.training.compilation import COMPILED_FROM_STEPS, CompiledNetworks
from pipeline.training.loader import BatchLoader
from pipeline.training.loop import train_steps
from pipeline.training.recipes import TrainingSettings, resolve
from pipeline.training.recording import WARM_UP_CALLS, Function, Places, Replayed
from pipeline.training.sampling import ArrayImages, PairSampler, step_generator
from pipeline.training.state import TrainingState, build_model
from pipeline.training.steps import RecordedSteps
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


SLOW: dict[str, object] = {"learning_rate": 1e-5, "decay_share": 0.0}
"""At a high rate Adam makes much of the rounding that two ways of computing differ by."""


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


@pytest.mark.parametrize("model", [name for name in MODELS if name not in {*MODELS_OF_ONE_DOMAIN, "semantic"}])
def test_replayed_steps_are_the_plain_ones(model: str, random_source: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tiny(steps=12, r1_every_steps=2)
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
        RecordedSteps(state, STAND_IN).discriminator_step(None, {}, 1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ("cyclegan", {"output": "tanh", "skip_channels": 0, "discriminator_norm": "instance", "r1_weight": 0.0}),
        ("mask_loss_overlay", {"r1_every_steps": 4, "discriminator_layers": 2}),
    ],
)
def test_compiled_networks_are_the_plain_ones(
    model: str, changes: dict[str, object], random_source: Sources, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING")
    settings = tiny(steps=8, **SLOW, **changes)
    (plain, compiled), (_, state) = in_steps(model, settings, random_source, "aot_eager")
    assert not caplog.text
    for expected, terms in zip(plain, compiled, strict=True):
        torch.testing.assert_close(terms, expected, rtol=1e-3, atol=1e-4)
    networks = (*state.model.generators.values(), *state.model.discriminators.values())
    assert not any({"forward", "output"} & network.__dict__.keys() for network in networks), "pictures are not compiled for"


@pytest.mark.parametrize(("left", "compiled"), [(COMPILED_FROM_STEPS - 1, False), (COMPILED_FROM_STEPS, True)])
def test_long_runs_are_compiled(left: int, compiled: bool) -> None:
    settings = tiny()
    state = TrainingState(build_model("cyclegan", settings, 0), settings, 0, CPU)
    state.step = 7
    steps = loop._recorded(state, state.step + left)
    assert (steps._compiled is not None) == compiled


def test_a_resumed_run_may_be_compiled(random_source: Sources, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING")
    settings = tiny(steps=8, **SLOW)
    state = TrainingState(build_model("cyclegan", settings, 0), settings, 0, CPU)
    loader = loader_of(settings, random_source)
    whole = [step.terms for step in train_steps(state, loader)]
    half = TrainingState(build_model("cyclegan", settings, 0), settings, 0, CPU)
    for metrics in train_steps(half, loader):
        if metrics.step == 4:
            break
    moments = [moment.clone() for moment in moments_of(half)]
    compiled = CompiledNetworks(half, backend="eager")
    for moment, expected in zip(moments_of(half), moments, strict=True):
        torch.testing.assert_close(moment, expected, rtol=0, atol=0)
    for parameter, values in half.generator_optimiser.state.items():
        assert values["exp_avg"].stride() == parameter.stride()
    steps = RecordedSteps(half, STAND_IN, compiled)
    rest = [one_step(steps, half, loader) for _ in range(4)]
    assert not caplog.text
    for terms, expected in zip(rest, whole[4:], strict=True):
        torch.testing.assert_close(terms, expected, rtol=1e-3, atol=1e-4)


def test_where_networks_cannot_be_compiled_the_run_goes_on(random_source: Sources, caplog: pytest.LogCaptureFixture) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no C compiler")

    (plain, compiled), _ = in_steps("cyclegan", tiny(steps=6, **SLOW), random_source, refuse)
    for expected, terms in zip(plain, compiled, strict=True):
        torch.testing.assert_close(terms, expected, rtol=0, atol=0)
    assert caplog.text.count("no C compiler") == 1


def test_a_recording_that_fails_leaves_weights_where_they_lie(
    random_source: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    settings = tiny()
    state = TrainingState(build_model("cyclegan", settings, 0), settings, 0, CPU)
    steps = RecordedSteps(state, STAND_IN, CompiledNetworks(state, refuse))
    places = [parameter.data_ptr() for parameter in state.model.parameters()]
    monkeypatch.setattr(training_steps, "is_recording", lambda: True)
    with pytest.raises(RuntimeError, match="not permitted"):
        one_step(steps, state, loader_of(settings, random_source))
    assert [parameter.data_ptr() for parameter in state.model.parameters()] == places


def in_steps(
    model: str, settings: TrainingSettings, random_source: Sources, backend: str | Callable[..., object]
) -> tuple[list[list[dict[str, Tensor]]], list[TrainingState]]:
    """The terms of each step, in plain steps and in recorded ones of networks that this backend compiles."""
    loader, terms, states = loader_of(settings, random_source), [], []
    for wanted in (None, backend):
        state = TrainingState(build_model(model, settings, 0), settings, 0, CPU)
        steps = RecordedSteps(state, STAND_IN, CompiledNetworks(state, wanted)) if wanted else loop.PlainSteps(state)
        terms.append([one_step(steps, state, loader) for _ in range(settings.steps or 0)])
        states.append(state)
    return terms, states


def one_step(steps: loop.PlainSteps | RecordedSteps, state: TrainingState, loader: BatchLoader) -> dict[str, Tensor]:
    generator = step_generator(0, state.step)
    batch = loader.batch(state.step, generator)
    terms, fakes = steps.generator_step(batch, state.settings.learning_rate)
    pooled = {domain: state.pools[domain].exchange(fake, generator) for domain, fake in fakes.items()}
    terms |= steps.discriminator_step(batch, pooled, state.settings.learning_rate)
    state.step += 1
    return terms


def moments_of(state: TrainingState) -> list[Tensor]:
    return [values["exp_avg_sq"] for values in state.generator_optimiser.state.values()]


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("model", "changes"),
    [("cyclegan", {"output": "tanh", "skip_channels": 0, "discriminator_norm": "instance"}), ("mask_loss_overlay", {})],
)
def test_compiled_steps_stay_with_the_plain_float32_step(
    model: str,
    changes: dict[str, object],
    random_source: Sources,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    device, settings = torch.device("cuda"), tiny(steps=200, decay_share=0.0, discriminator_layers=2, **changes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_recorded", lambda state, _: loop.PlainSteps(state))
        expected, _ = run(model, settings, loader_of(settings, random_source, device), device)
    monkeypatch.setattr(loop, "COMPILED_FROM_STEPS", 1)
    changed = settings.model_copy(update={"precision": "bfloat16"})
    terms, _ = run(model, changed, loader_of(changed, random_source, device), device)
    assert "compiled" not in caplog.text
    assert "kernel by kernel" not in caplog.text
    torch.testing.assert_close(means(terms), means(expected), rtol=0.1, atol=0.02)


@pytest.mark.gpu
@pytest.mark.parametrize("model", sorted(MODELS.keys() - MODELS_OF_ONE_DOMAIN))
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_cuda_graphs_stay_with_the_plain_float32_step(
    model: str, precision: str, random_source: Sources, caplog: pytest.LogCaptureFixture
) -> None:
    """Over 200 steps the mean of each term differs by a tenth at most, as between two orders of the same sums."""
    device, settings = torch.device("cuda"), tiny(steps=200, decay_share=0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_recorded", lambda state, _: loop.PlainSteps(state))
        expected, _ = run(model, settings, loader_of(settings, random_source, device), device)
    changed = settings.model_copy(update={"precision": precision})
    terms, _ = run(model, changed, loader_of(changed, random_source, device), device)
    assert "kernel by kernel" not in caplog.text
    torch.testing.assert_close(means(terms), means(expected), rtol=0.1, atol=0.02)


def means(terms: list[dict[str, float]]) -> dict[str, float]:
    names = {name for step in terms for name in step}
    return {name: sum(step.get(name, 0.0) for step in terms) / len(terms) for name in sorted(names)}


def test_places_hold_the_layers_that_a_batch_has() -> None:
    images, maps = torch.rand(1, 3, 8, 8), torch.rand(1, 1, 8, 8)
    batch = Batch(images, maps, images, maps, depth_a=maps * 2)
    places = Places.like(batch, {})
    places.put_batch(batch)
    assert places.batch.depth_b is None
    assert places.batch.depth_a is not batch.depth_a
    torch.testing.assert_close(places.batch.depth_a, batch.depth_a)
