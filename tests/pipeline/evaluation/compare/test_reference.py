"""A model against a named one: worse only where that is sure."""

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation.compare.reference import Standing, against

NOISE = np.random.default_rng(0).normal(0, 0.002, 20)


def world(ssim: float, blur: float, truth: float | None = None, count: int = 20) -> pd.DataFrame:
    """A reference at .95, .7 and .05, and a model at these, with noise of its own."""
    rows = []
    for method, values, noise in (("old@0", (0.95, 0.7, 0.05), 0 * NOISE), ("new@0", (ssim, blur, truth), NOISE)):
        for index in range(count):
            rows.append((f"flickr:{index}", method, "subject_ssim", values[0] + noise[index]))
            rows.append((f"flickr:{index}", method, "background_sharpness", values[1] + noise[-index]))
            if truth is not None and values[2] is not None:
                rows.append((f"scene:{index}", method, "truth_background_l1", values[2] + noise[index]))
    return pd.DataFrame(rows, columns=["photo_id", "method", "metric", "value"])


@pytest.mark.parametrize(
    ("ssim", "blur", "truth", "standing"),
    [
        (0.95, 0.70, None, "alike"),
        (0.97, 0.70, None, "better"),
        (0.93, 0.70, None, "worse"),
        (0.93, 0.60, None, "traded"),
        (0.95, 0.80, None, "worse"),
        # With known truth less sharpness is no merit, and more no fault.
        (0.95, 0.60, 0.07, "worse"),
        (0.95, 0.80, 0.03, "better"),
    ],
)
def test_the_standing(ssim: float, blur: float, truth: float | None, standing: Standing) -> None:
    found = against(world(ssim, blur, truth), "new@0", "old@0")
    assert found is not None
    assert found.standing == standing


def test_five_photos_are_too_few_to_be_sure() -> None:
    found = against(world(0.90, 0.70, count=5), "new@0", "old@0")
    assert found is not None
    assert found.standing == "alike"


def test_a_subject_that_is_laid_over_wins_nothing() -> None:
    table = world(1.0, 0.70)
    plain = table[table["method"] == "new@0"].assign(method="new@0-overlay")
    found = against(pd.concat([table, plain]), "new@0", "old@0")
    assert found is not None
    assert [change.metric.name for change in found.changes] == ["background_sharpness"]
    assert found.standing == "alike"


def test_it_is_said_in_words() -> None:
    found = against(world(0.93, 0.70), "new@0", "old@0")
    assert found is not None
    assert found.words.startswith("new@0 is worse than old@0: Subject SSIM is worse (−0.0")
    assert "over 20 pictures, p < 0.001); Background sharpness does not differ for sure" in found.words
    assert found.words.endswith("). Each p is corrected for both scores.")
    alone = against(world(0.93, 0.70).query("metric == 'subject_ssim'"), "new@0", "old@0")
    assert alone is not None
    assert "corrected" not in alone.words


def test_nothing_shared_is_nothing_to_say() -> None:
    assert against(world(0.93, 0.70).query("method == 'new@0'"), "new@0", "old@0") is None
