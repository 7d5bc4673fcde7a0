"""CycleGAN asks each network for what the paper says, and weights are applied in one place."""

import pytest
import torch

from pipeline.errors import ConfigError
from pipeline.models import MODELS, model_class
from pipeline.models.cyclegan import CycleGAN
from pipeline.models.losses import adversarial_loss, discriminator_loss, l1_loss
from pipeline.models.networks import DiscriminatorConfig, GeneratorConfig
from pipeline.models.translator import Batch, ModelConfig, Translator

GENERATOR = GeneratorConfig(channels=4, blocks=1)
DISCRIMINATOR = DiscriminatorConfig(channels=4, strided_layers=1)


def small_model(identity_weight: float = 5.0, r1_weight: float = 0.0, r1_every_steps: int = 8) -> CycleGAN:
    config = ModelConfig(
        generator=GENERATOR,
        discriminator=DISCRIMINATOR,
        identity_weight=identity_weight,
        r1_weight=r1_weight,
        r1_every_steps=r1_every_steps,
    )
    torch.manual_seed(0)
    return CycleGAN(config)


def random_batch(size: int = 1) -> Batch:
    generator = torch.Generator().manual_seed(1)
    pictures = [torch.rand(size, 3, 16, 16, generator=generator) * 2 - 1 for _ in range(2)]
    alpha = torch.zeros(size, 1, 16, 16)
    return Batch(real_a=pictures[0], alpha_a=alpha, real_b=pictures[1], alpha_b=alpha)


def test_every_listed_model_can_be_had_and_no_other() -> None:
    assert model_class("cyclegan") is CycleGAN
    assert all(issubclass(model_class(name), Translator) for name in MODELS)
    with pytest.raises(ConfigError, match="'unheard'; the models are: cyclegan, defocus, depth, mask_loss"):
        model_class("unheard")


def test_generator_terms_are_the_papers() -> None:
    model, batch = small_model(), random_batch()
    terms = model.generator_terms(batch, model.translations(batch))
    a_to_b, b_to_a = model.generator_a_to_b, model.generator_b_to_a
    fake_b, fake_a = a_to_b(batch.real_a), b_to_a(batch.real_b)
    expected = {
        "gan_a": adversarial_loss(model.discriminator_a(fake_a)),
        "gan_b": adversarial_loss(model.discriminator_b(fake_b)),
        "cycle_a": l1_loss(b_to_a(fake_b), batch.real_a),
        "cycle_b": l1_loss(a_to_b(fake_a), batch.real_b),
        "identity_a": l1_loss(b_to_a(batch.real_a), batch.real_a),
        "identity_b": l1_loss(a_to_b(batch.real_b), batch.real_b),
    }
    torch.testing.assert_close(terms, expected, atol=1e-5, rtol=1e-4)


def test_discriminator_terms_are_the_papers() -> None:
    model, batch = small_model(), random_batch()
    fake_a, fake_b = batch.real_b.flip(3), batch.real_a.flip(3)
    terms = model.discriminator_terms(batch, {"a": fake_a, "b": fake_b}, step=0)
    expected = {
        "discriminator_a": discriminator_loss(model.discriminator_a(batch.real_a), model.discriminator_a(fake_a)),
        "discriminator_b": discriminator_loss(model.discriminator_b(batch.real_b), model.discriminator_b(fake_b)),
    }
    torch.testing.assert_close(terms, expected, atol=1e-5, rtol=1e-4)


def test_identity_is_left_out_at_weight_zero() -> None:
    model, batch = small_model(identity_weight=0.0), random_batch()
    made = model.translations(batch)
    assert made.identity_a is None
    assert set(model.generator_terms(batch, made)) == {"gan_a", "gan_b", "cycle_a", "cycle_b"}


def test_r1_comes_every_so_many_steps_and_weighs_so_many_times_as_much() -> None:
    model, batch = small_model(r1_weight=2.0, r1_every_steps=4), random_batch()
    fakes = {"a": batch.real_b, "b": batch.real_a}
    present = ["r1_a" in model.discriminator_terms(batch, fakes, step=step) for step in range(8)]
    assert present == [True, False, False, False] * 2
    assert model.weights["r1_a"] == 4.0
    assert "r1_a" not in small_model().discriminator_terms(batch, fakes, step=0)


def test_objective_weighs_the_terms() -> None:
    model = small_model()
    terms = {name: torch.tensor(1.0) for name in ("gan_a", "gan_b", "cycle_a", "cycle_b", "identity_a", "identity_b")}
    assert model.objective(terms).item() == 32.0
    assert model.objective({"discriminator_a": torch.tensor(3.0)}).item() == 3.0


def test_terms_do_not_depend_on_how_a_batch_is_cut() -> None:
    model, batch = small_model(), random_batch(2)
    whole = model.generator_terms(batch, model.translations(batch))
    halves = []
    for half in (slice(0, 1), slice(1, 2)):
        part = Batch(batch.real_a[half], batch.alpha_a[half], batch.real_b[half], batch.alpha_b[half])
        halves.append(model.generator_terms(part, model.translations(part)))
    for name, value in whole.items():
        torch.testing.assert_close(value, (halves[0][name] + halves[1][name]) / 2, atol=1e-5, rtol=1e-4)


def test_parameters_are_divided_between_the_two_steps() -> None:
    model = small_model()
    generators, discriminators = map(set, (model.generator_parameters(), model.discriminator_parameters()))
    assert generators.isdisjoint(discriminators)
    assert generators | discriminators == set(model.parameters())
