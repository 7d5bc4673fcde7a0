"""The claim about the mask loss, on curves whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation.compare.study_claims import Finding, Run, overlay_claims

STEPS = 750


def run(model: str, mask: float, seed: int = 0, **settings: object) -> Run:
    """A run that ends at this mask loss, from ten times as much."""
    curve = np.where(np.arange(STEPS) < STEPS - 100, 10 * mask, mask)
    losses = pd.DataFrame({"step": np.arange(STEPS), "mask_a": curve, "cycle_a": 1.0})
    return Run(f"{model}@{seed}", model, seed, {"mask_weight": None, **settings}, losses)


@pytest.mark.parametrize(
    ("overlay", "finding"), [(0.10, "about halved"), (0.119, "about halved"), (0.16, "lowered"), (0.19, "not lowered")]
)
def test_the_unweighted_ratio_decides(overlay: float, finding: Finding) -> None:
    (claim,) = overlay_claims([run("mask_loss", 0.2), run("mask_loss_overlay", overlay), run("cyclegan", 0.1)])
    (term,) = claim.terms
    assert term.ratio == pytest.approx(overlay / 0.2)
    assert term.plotted_ratio == pytest.approx(overlay / 0.2 / 2)
    assert (term.finding, term.plain_weight, term.overlay_weight) == (finding, 1.0, 0.5)


def test_equal_losses_would_be_plotted_at_half() -> None:
    (claim,) = overlay_claims([run("mask_loss", 0.2), run("mask_loss_overlay", 0.2)])
    assert claim.terms[0].plotted_ratio == pytest.approx(0.5)
    assert claim.terms[0].finding == "not lowered"


def test_curves_that_swing_settle_nothing() -> None:
    plain, overlay = run("mask_loss", 0.2), run("mask_loss_overlay", 0.15)
    swing = np.where(np.arange(STEPS) // 10 % 2, 0.1, -0.1)
    (claim,) = overlay_claims([plain, Run(**{**vars(overlay), "losses": overlay.losses.assign(mask_a=0.15 + swing)})])
    assert not claim.terms[0].is_clear
    (claim,) = overlay_claims([plain, overlay])
    assert claim.terms[0].is_clear


def test_it_takes_both_runs_of_one_seed() -> None:
    assert overlay_claims([run("mask_loss", 0.2)]) == []
    assert overlay_claims([run("mask_loss", 0.2, seed=0), run("mask_loss_overlay", 0.2, seed=1)]) == []


def test_other_settings_that_differ_are_named() -> None:
    plain = run("mask_loss", 0.2, mask_weight=1.0, mask_area="image", steps=800)
    overlay = run("mask_loss_overlay", 0.2, mask_weight=2.5, mask_area="person", steps=800)
    (claim,) = overlay_claims([plain, overlay])
    assert claim.other_settings == ["mask_area"]
    assert (claim.terms[0].plain_weight, claim.terms[0].overlay_weight) == (1.0, 2.5)
