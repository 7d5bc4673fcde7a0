"""Settings: validation with messages, lengths, the learning-rate curve, and digests."""

import doctest
import itertools
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.training import recipes
from pipeline.training.recipes import PROFILES, TrainingSettings, decay_factor, digest, resolve

STUDY_A, STUDY_B = 2_270, 2_061


def test_the_study_takes_its_170_250_steps() -> None:
    assert PROFILES["study"].total_steps(STUDY_A, STUDY_B) == 170_250
    assert PROFILES["study"].total_steps(STUDY_B, STUDY_A) == 170_250


def test_the_study_is_the_papers() -> None:
    study = PROFILES["study"]
    assert (study.size_px, study.batch_size, study.learning_rate, study.adam_beta1) == (256, 1, 2e-4, 0.5)
    assert (study.gan_weight, study.cycle_weight, study.identity_weight, study.pool_size) == (1, 10, 5, 50)
    assert (study.crop_margin, study.flip, study.weight_average, study.r1_weight) == (0, False, 0, 0)


def test_the_studys_rate_is_fixed_for_50_epochs_and_falls_over_25() -> None:
    rates = [PROFILES["study"].rate_at(epoch * STUDY_A, STUDY_A) / 2e-4 for epoch in range(75)]
    assert rates[:50] == [1.0] * 50
    assert rates[50] == pytest.approx(25 / 26)
    assert rates[74] == pytest.approx(1 / 26)
    falls = [before - after for before, after in itertools.pairwise(rates[49:])]
    assert falls == pytest.approx([1 / 26] * 25)


def test_the_rate_stays_within_an_epoch() -> None:
    study = PROFILES["study"]
    assert study.rate_at(60 * STUDY_A, STUDY_A) == study.rate_at(61 * STUDY_A - 1, STUDY_A)


def test_a_run_of_steps_decays_step_by_step() -> None:
    settings = resolve("smoke", {"steps": 10, "decay_share": 0.4, "learning_rate": 1.0})
    rates = [settings.rate_at(step, steps_per_epoch=3) for step in range(10)]
    assert rates == pytest.approx([1.0] * 6 + [0.8, 0.6, 0.4, 0.2])


@given(st.integers(1, 500), st.data())
def test_decay_factor_never_rises_and_stays_above_zero(length: int, data: st.DataObject) -> None:
    decaying = data.draw(st.integers(0, length))
    factors = [decay_factor(index, length, decaying) for index in range(length)]
    assert factors == sorted(factors, reverse=True)
    assert all(0 < factor <= 1 for factor in factors)
    assert factors.count(1.0) == length - decaying


def test_epochs_count_pictures_not_steps() -> None:
    settings = resolve("study", {"epochs": 2, "batch_size": 4})
    assert settings.steps_per_epoch(10, 3) == 3
    assert settings.total_steps(10, 3) == 6


def test_one_length_replaces_the_other() -> None:
    by_steps = resolve("study", {"steps": 100})
    assert (by_steps.steps, by_steps.epochs) == (100, None)
    by_epochs = resolve("smoke", {"epochs": 2})
    assert (by_epochs.steps, by_epochs.epochs) == (None, 2)


BANDS: dict[str, object] = {"discriminator_sight": "bands", "pool_size": 0, "discriminator_laplacian": False}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"ngf": 3}, "ngf: unknown setting; there are: .*generator_channels"),
        ({"steps": "many"}, "steps: Input should be a valid integer"),
        ({"steps": 0}, "steps: Input should be greater than or equal to 1"),
        ({"size_px": 30}, "size_px: Input should be a multiple of 4"),
        ({"flip": 1}, "flip: Input should be a valid boolean"),
        ({"upsampling": "bilinear"}, "upsampling: Input should be 'transposed' or 'nearest'"),
        ({"steps": 5, "epochs": 5}, "either epochs or steps"),
        ({"size_px": 16, "discriminator_layers": 3}, "size_px 16 is too small"),
        (
            BANDS | {"size_px": 20},
            "size_px 20 is too small for 2 discriminator_layers, since discriminator_sight 'bands' halves",
        ),
        ({"gan_weight": float("inf")}, "gan_weight: Input should be a finite number"),
        ({"cpu_threads": 2**63 - 1}, "cpu_threads: Input should be less than or equal to 4096"),
    ],
)
def test_wrong_settings_are_refused_by_name(overrides: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve("smoke", overrides)


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(
        ConfigError,
        match="no profile 'smok'; the profiles are: collections, collections_small, corrected, defocus, depth, pix2pix, "
        "pix2pix_small, small, smoke, study",
    ):
        resolve("smok", {})


def test_a_whole_number_may_stand_for_a_float() -> None:
    assert resolve("smoke", {"cycle_weight": 3}).cycle_weight == 3.0


def test_digest_tells_settings_apart_and_survives_json() -> None:
    smoke = PROFILES["smoke"]
    assert digest(TrainingSettings.model_validate_json(smoke.model_dump_json())) == digest(smoke)
    assert digest(resolve("smoke", {"steps": 3})) != digest(smoke)
    assert digest(resolve("smoke", {"cycle_weight": 3})) == digest(resolve("smoke", {"cycle_weight": 3.0}))


def test_the_studys_digest_is_frozen() -> None:
    """If this fails, finished runs no longer count as runs of these settings: mean it, then freeze it anew."""
    assert digest(PROFILES["study"])[:16] == "bc641dd71bf59503"


def test_a_lighter_way_back_leaves_the_mask_term_as_heavy() -> None:
    """The mask term weighs cycle_weight · mask_weight, so `one_sided` learns the same with either."""
    small, corrected = (PROFILES[name].model_dump() for name in ("small", "corrected"))
    assert small["cycle_weight"] < corrected["cycle_weight"]
    assert small["cycle_weight"] * small["mask_weight"] == corrected["cycle_weight"] * corrected["mask_weight"] == 5.0


def test_models_recipes_and_runs_are_listed_without_torch() -> None:
    code = "import sys, pipeline.models, pipeline.training.recipes, pipeline.training.jobs, pipeline.training.runs as runs"
    code += ", pipeline.training.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_examples_in_the_docstrings_run() -> None:
    assert doctest.testmod(recipes) == (0, 1)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"size_px": 100}, "multiple of 16"),
        ({"discriminator_sight": "bands"}, "needs discriminator_sight 'picture'"),
        ({"gan_weight": 0.0, "l1_weight": 0.0}, "nothing would be learnt"),
    ],
)
def test_pix2pix_settings_that_cannot_be_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        resolve("pix2pix", settings)
