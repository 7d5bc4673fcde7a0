"""The result of one model in words."""

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation.compare.headline import headline
from tests.pipeline.evaluation.worlds import scores, truth

LITTLE = "Comes a little closer to the true lens and keeps the subject"


@pytest.mark.parametrize(("scales", "verdict"), [(0.3, "good"), (np.nan, "mixed")])
def test_a_headline_is_good_only_where_both_distances_are_known(scales: float, verdict: str) -> None:
    figures = {"gap": 0.2, "scales": scales, "above": 0.5, "left": 0.5}
    rows = [("set:test", "m@0", name + end, value) for name, value in figures.items() for end in ("", "_low", "_high")]
    rows += [("set:test", "m@0", "subject_left", 1.0)]
    rows += [("set:test", "domain_b", "softness_px", 192.0), ("set:test", "domain_b", "pictures", 50.0)]
    of_set = pd.DataFrame(rows, columns=["photo_id", "method", "metric", "value"])
    of_photos = [scores(name, {"m@0": [0.97] * 2}, "flickr:") for name in ("subject_ssim", "background_sharpness")]
    result = headline(pd.concat([*of_photos, of_set], ignore_index=True), "m@0")
    assert (result.verdict, result.verdict_words) == (
        verdict,
        "Backgrounds are about as soft as domain B's, and the subject is kept",
    )
    said = "Across scales inputs and domain B do not differ for sure"
    assert any(sentence.startswith(said) for sentence in result.sentences) == np.isnan(scales)


def test_headline_of_a_success() -> None:
    result = headline(truth(0.05), "m@0")
    assert (result.figure, result.verdict) == ("−50\N{NO-BREAK SPACE}%", "good")
    assert [sentence.replace("\N{NO-BREAK SPACE}", " ") for sentence in result.sentences] == [
        "On 10 rendered scenes the background error against the true lens is 50 % below doing nothing "
        "(0.0500 against 0.1000).",
        "The best of the baselines, Gaussian 9×9 with the subject pasted back, lies 20 % below doing nothing.",
        "On 2 test photos the subject is kept at an SSIM of 0.970 (1 is unchanged), and the background has 40 % "
        "of its sharpness.",
    ]


@pytest.mark.parametrize(
    ("world", "verdict", "words"),
    [
        (truth(0.12), "bad", "Does not come closer to the true lens"),
        (truth(0.10), "bad", "Does not come closer to the true lens"),
        (truth(0.09), "mixed", f"{LITTLE}; plain smoothing comes closer still"),
        (truth(0.075), "mixed", LITTLE),
        (truth(0.05, ssim=0.5), "mixed", "Comes closer to the true lens but changes the subject"),
        (truth(0.05, ssim=None), "mixed", "Comes closer to the true lens; the subject could not be scored"),
    ],
)
def test_headline_says_what_is_wrong(world: pd.DataFrame, verdict: str, words: str) -> None:
    result = headline(world, "m@0")
    assert (result.verdict, result.verdict_words) == (verdict, words)


@pytest.mark.parametrize(
    ("sharpness", "ssim", "verdict", "words"),
    [
        (0.4, 0.97, "mixed", "Whether its blur is right is not known"),
        (0.4, 0.5, "bad", "Changes the subject"),
        (1.2, 0.97, "bad", "Blurs nothing: backgrounds stay as sharp as they were"),
    ],
)
def test_without_truth_nothing_is_called_a_success(sharpness: float, ssim: float, verdict: str, words: str) -> None:
    world = truth(0.05, ssim=ssim, sharpness=sharpness)
    result = headline(world[~world["photo_id"].str.startswith("scene:")], "m@0")
    assert (result.verdict, result.verdict_words) == (verdict, words)
    assert result.figure == f"{sharpness:.0%}".replace("%", "\N{NO-BREAK SPACE}%")
    assert "nobody can say" in result.sentences[-1]
