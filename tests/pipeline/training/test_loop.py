"""A step moves what it should, and a run goes on from a checkpoint as if never interrupted."""

import os
import pickle
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from pipeline.errors import TrainingError
from pipeline.models import MODELS, MODELS_OF_ONE_DOMAIN
from pipeline.plain_files import file_sha256
from pipeline.training.checkpoints import (
    load_generator_weights,
    restore_checkpoint,
    save_checkpoint,
    save_generator,
)
from pipeline.training.loader import BatchLoader
from pipeline.training.loop import train_steps
from pipeline.training.recipes import TrainingSettings, resolve
from pipeline.training.sampling import ArrayImages, PairSampler, step_generator
from pipeline.training.state import TrainingState, build_model
from pipeline.training.steps import PlainSteps

Sources = Callable[..., ArrayImages]
CPU = torch.device("cpu")


@pytest.fixture
def loader(random_source: Sources, tiny_settings: TrainingSettings) -> BatchLoader:
    return BatchLoader(PairSampler(random_source(5), random_source(7, seed=1), tiny_settings, seed=0), CPU)


def fresh_state(settings: TrainingSettings, seed: int = 0) -> TrainingState:
    return TrainingState(build_model("cyclegan", settings, seed), settings, seed, CPU)


def snapshot(state: TrainingState) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in state.model.state_dict().items()}


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    """The networks of which some weight changed."""
    return {name.split(".")[0] for name, value in after.items() if not torch.equal(value, before[name])}


def test_nothing_but_generators_or_discriminators_moves_in_its_step(
    loader: BatchLoader, tiny_settings: TrainingSettings
) -> None:
    state = fresh_state(tiny_settings)
    batch = loader.batch(0, step_generator(0, 0))
    start = snapshot(state)
    steps = PlainSteps(state)
    _, fakes = steps.generator_step(batch, rate=1e-3)
    middle = snapshot(state)
    assert moved(start, middle) == {"generator_a_to_b", "generator_b_to_a"}
    steps.discriminator_step(batch, fakes, rate=1e-3)
    assert moved(middle, snapshot(state)) == {"discriminator_a", "discriminator_b"}
    assert all(parameter.requires_grad for parameter in state.model.parameters())


def test_the_rate_follows_the_curve(loader: BatchLoader, tiny_settings: TrainingSettings) -> None:
    state = fresh_state(tiny_settings)
    for metrics in train_steps(state, loader):
        expected = tiny_settings.rate_at(metrics.step - 1, loader.steps_per_epoch)
        for optimiser in (state.generator_optimiser, state.discriminator_optimiser):
            assert optimiser.param_groups[0]["lr"] == expected
    assert state.step == tiny_settings.steps


def test_the_average_follows_the_generator(loader: BatchLoader, tiny_settings: TrainingSettings) -> None:
    state = fresh_state(tiny_settings)
    expected = [parameter.detach().clone() for parameter in state.model.generators["a_to_b"].parameters()]
    for _ in train_steps(state, loader):
        current = state.model.generators["a_to_b"].parameters()
        kept = tiny_settings.weight_average
        expected = [kept * old + (1 - kept) * new.detach() for old, new in zip(expected, current, strict=True)]
    torch.testing.assert_close([*state.results()["a_to_b"].parameters()], expected, check_stride=False)


def test_what_finds_the_subject_is_learnt_and_not_averaged(loader: BatchLoader, tiny_settings: TrainingSettings) -> None:
    finds = {"lens_holds_subject": True, "lens_finds_subject": True, "cpu_threads": 1}
    state = fresh_state(tiny_settings.model_copy(update=finds))
    before = {name: weight.clone() for name, weight in state.model.generators["a_to_b"].state_dict().items()}
    for metrics in train_steps(state, loader):
        assert metrics.terms["subject"] > 0
    now, average = (generator.state_dict() for generator in (state.model.generators["a_to_b"], state.results()["a_to_b"]))
    found = [name for name in now if name.startswith("finder.") and name.endswith(".weight")]
    assert found
    for name in found:
        assert torch.equal(average[name], now[name])
        assert not torch.equal(now[name], before[name])


def test_without_average_the_last_weights_count() -> None:
    state = fresh_state(resolve("smoke", {"weight_average": 0.0, "generator_channels": 4}))
    assert state.results()["a_to_b"] is state.model.generators["a_to_b"]


def test_a_model_starts_alike_for_a_seed_and_leaves_torchs_random_state(tiny_settings: TrainingSettings) -> None:
    before = torch.get_rng_state()
    first, second, other = (build_model("cyclegan", tiny_settings, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert moved(first, other) == {"generator_a_to_b", "generator_b_to_a", "discriminator_a", "discriminator_b"}


def test_terms_are_unweighted_and_detached(loader: BatchLoader, tiny_settings: TrainingSettings) -> None:
    first = next(train_steps(fresh_state(tiny_settings), loader))
    assert set(first.terms) == {
        f"{term}_{domain}" for term in ("gan", "cycle", "identity", "discriminator", "r1") for domain in "ab"
    }
    assert all(term.shape == () and not term.requires_grad for term in first.terms.values())


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    loader: BatchLoader, tiny_settings: TrainingSettings, tmp_path: Path
) -> None:
    straight = fresh_state(tiny_settings)
    losses = [metrics.terms for metrics in train_steps(straight, loader)]
    interrupted = fresh_state(tiny_settings)
    for metrics in train_steps(interrupted, loader):
        if metrics.step == 7:
            break
    save_checkpoint(interrupted, tmp_path / "last.pt", digest="d", seconds=1.5)
    torch.rand(3)  # the random state must come from the checkpoint
    resumed = fresh_state(tiny_settings, seed=99)
    resumed.seed = 0
    assert restore_checkpoint(resumed, tmp_path / "last.pt", digest="d") == 1.5
    later = [metrics.terms for metrics in train_steps(resumed, loader)]
    assert later == losses[7:]
    torch.testing.assert_close(resumed.model.state_dict(), straight.model.state_dict(), rtol=0, atol=0)
    kept, expected = resumed.results()["b_to_a"].state_dict(), straight.results()["b_to_a"].state_dict()
    torch.testing.assert_close(kept, expected, rtol=0, atol=0)
    torch.testing.assert_close(resumed.pools["a"].state(), straight.pools["a"].state(), rtol=0, atol=0)


def test_the_random_state_is_restored(tiny_settings: TrainingSettings, tmp_path: Path) -> None:
    state = fresh_state(tiny_settings)
    save_checkpoint(state, tmp_path / "last.pt", digest="d", seconds=0.0)
    expected = torch.rand(5)
    restore_checkpoint(state, tmp_path / "last.pt", digest="d")
    assert torch.equal(torch.rand(5), expected)


def test_a_checkpoint_of_another_configuration_is_refused(tiny_settings: TrainingSettings, tmp_path: Path) -> None:
    state = fresh_state(tiny_settings)
    save_checkpoint(state, tmp_path / "last.pt", digest="d", seconds=0.0)
    with pytest.raises(TrainingError, match="another configuration; delete it"):
        restore_checkpoint(state, tmp_path / "last.pt", digest="e")


def test_who_may_read_a_generator_is_as_with_all_files(tiny_settings: TrainingSettings, tmp_path: Path) -> None:
    before = os.umask(0o007)
    try:
        save_generator(fresh_state(tiny_settings).results()["a_to_b"], tmp_path / "generator.safetensors", {"run_id": "r"})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "generator.safetensors").stat().st_mode) == 0o660


class Payload:
    """Would touch a file if a checkpoint's loading executed code."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
        return (Path.touch, (self.path,))


def test_loading_a_checkpoint_executes_no_code(tiny_settings: TrainingSettings, tmp_path: Path) -> None:
    torch.save({"digest": "d", "model": Payload(tmp_path / "executed")}, tmp_path / "last.pt")
    with pytest.raises(TrainingError, match="cannot be read"):
        restore_checkpoint(fresh_state(tiny_settings), tmp_path / "last.pt", digest="d")
    assert not (tmp_path / "executed").exists()


def test_generators_are_saved_alike_byte_for_byte_and_load_again(tiny_settings: TrainingSettings, tmp_path: Path) -> None:
    generator = fresh_state(tiny_settings).results()["a_to_b"]
    provenance: dict[str, str | int] = {"run_id": "tiny", "seed": 0, "snapshot_id": "0123", "recipe": "tiny"}
    paths = [tmp_path / name for name in ("one.safetensors", "two.safetensors")]
    for path in paths:
        save_generator(generator, path, provenance)
    assert file_sha256(paths[0]) == file_sha256(paths[1])
    with safe_open(paths[0], "pt") as file:
        assert '"snapshot_id": "0123"' in file.metadata()["bokehflow"]
    other = fresh_state(tiny_settings, seed=5).results()["a_to_b"]
    load_generator_weights(other, paths[0])
    torch.testing.assert_close(other.state_dict(), generator.state_dict(), rtol=0, atol=0)


def test_weights_that_are_not_finite_are_not_saved(tiny_settings: TrainingSettings, tmp_path: Path) -> None:
    generator = fresh_state(tiny_settings).model.generators["a_to_b"]
    with torch.no_grad():
        next(generator.parameters()).view(-1)[0] = float("inf")
    with pytest.raises(TrainingError, match=r"generator has weights that are not finite, first in body\.0\.weight"):
        save_generator(generator, tmp_path / "generator.safetensors", {})
    assert list(tmp_path.iterdir()) == []


class TwoChannels(torch.nn.Module):
    """A parser: as many classes as red and green say."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, :2] * 4


@pytest.mark.parametrize("model", sorted(MODELS.keys() - MODELS_OF_ONE_DOMAIN))
def test_every_model_trains_resumes_and_averages(
    model: str, loader: BatchLoader, tiny_settings: TrainingSettings, tmp_path: Path
) -> None:
    settings = tiny_settings.model_copy(update={"perceptual_scale": "none", "mask_weight": 2.0})
    start, straight, interrupted, resumed = (
        TrainingState(build_model(model, settings, 0, parser=TwoChannels()), settings, 0, CPU) for _ in range(4)
    )
    losses = [metrics.terms for metrics in train_steps(straight, loader)]
    next(train_steps(interrupted, loader))
    save_checkpoint(interrupted, tmp_path / "last.pt", digest="d", seconds=0.0)
    restore_checkpoint(resumed, tmp_path / "last.pt", digest="d")
    assert [metrics.terms for metrics in train_steps(resumed, loader)] == losses[1:]
    torch.testing.assert_close(resumed.model.state_dict(), straight.model.state_dict(), rtol=0, atol=0)
    assert len(moved(snapshot(start), snapshot(straight))) == (2 if model == "one_sided" else 4)
    assert set(straight.results()) == ({"a_to_b"} if model == "one_sided" else {"a_to_b", "b_to_a"})
    assert all(set(terms) <= set(straight.model.weights) for terms in losses)


@pytest.mark.parametrize(("model", "steps"), [("cyclegan", 50), ("mask_loss_overlay", 30)])
def test_bfloat16_stays_near_float32(
    model: str, steps: int, random_source: Sources, tiny_settings: TrainingSettings
) -> None:
    """The mean of each loss over the run within a tenth of float32's; weights stay float32."""
    means = {}
    for precision in ("float32", "bfloat16"):
        changes = {"steps": steps, "precision": precision, "perceptual_scale": "none"}
        settings = tiny_settings.model_copy(update=changes)
        loader = BatchLoader(PairSampler(random_source(5), random_source(7, seed=1), settings, seed=0), CPU)
        state = TrainingState(build_model(model, settings, 0), settings, 0, CPU)
        terms = [metrics.terms for metrics in train_steps(state, loader)]
        means[precision] = {name: torch.stack([step[name] for step in terms if name in step]).mean() for name in terms[0]}
        assert all(value.dtype == torch.float32 for value in state.model.state_dict().values())
    torch.testing.assert_close(means["bfloat16"], means["float32"], rtol=0.1, atol=0.02)
    assert means["bfloat16"] != means["float32"]


def test_a_model_that_needs_features_says_so(tiny_settings: TrainingSettings) -> None:
    settings = tiny_settings.model_copy(update={"perceptual_scale": "paper"})
    with pytest.raises(ValueError, match="mask_loss with perceptual_scale 'paper' needs VGG's features"):
        build_model("mask_loss", settings, 0)


@pytest.mark.parametrize("name", ["step", "seconds", "model", "averages", "generator_optimiser", "pools", "torch_random"])
@pytest.mark.parametrize("value", [None, "x", {"a": 1}, -1])
def test_a_checkpoint_with_anything_else_in_it_is_refused_in_words(
    tiny_settings: TrainingSettings, tmp_path: Path, name: str, value: object
) -> None:
    state, path = fresh_state(tiny_settings), tmp_path / "last.pt"
    save_checkpoint(state, path, digest="d", seconds=0.0)
    content = torch.load(path, weights_only=True)
    torch.save({**content, name: value}, path)
    if name != "averages" or state.averages:  # nothing is looked for where there are none
        with pytest.raises(TrainingError, match="lacks what a run goes on from"):
            restore_checkpoint(state, path, digest="d")


def test_a_checkpoint_of_another_kind_is_refused_in_words(tiny_settings: TrainingSettings, tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    for data in (b"", b"x" * 100, pickle.dumps({"digest": "d"})):
        path.write_bytes(data)
        with pytest.raises(TrainingError, match="cannot be read"):
            restore_checkpoint(fresh_state(tiny_settings), path, digest="d")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1_000_000))
    with pytest.raises(TrainingError, match="packed"):
        restore_checkpoint(fresh_state(tiny_settings), path, digest="d")
