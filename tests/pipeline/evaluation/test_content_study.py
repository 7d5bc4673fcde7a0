"""A study of two collections without people: judged by content and likeness, and a report that asks about nothing else."""

import datetime
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation.compare.headline import headline
from pipeline.evaluation.compare.reference import against
from pipeline.evaluation.compare.summary import CONTENT_METRICS, is_of_content
from pipeline.evaluation.measure.judge import Trial, Yardstick, judge_model
from pipeline.evaluation.measure.set_scores import VGG, VGG_BACKGROUND
from pipeline.evaluation.report.page import ModelReport, ReportInputs, write_report
from pipeline.evaluation.report.weight_curve import weight_curve
from tests.pipeline.evaluation.report.test_page import CARD, credits, losses
from tests.pipeline.evaluation.worlds import JUDGED_PX, photos, unchanged

PHOTOS = 12


def by_brightness(pictures: np.ndarray) -> np.ndarray:
    """Two classes: dark and bright."""
    return (pictures.mean(-1) > 0.5).astype(int)


def inverted(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return 1 - rgb.astype(np.float32) / 255


def tinted(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Other colours of about the same lightness."""
    return np.roll(rgb.astype(np.float32) / 255, 1, axis=-1)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelReport]:
    world = photos(PHOTOS)
    yardstick = Yardstick(shallow=photos(30), parse=by_brightness, people=False)
    found = {}
    for name, translate in (("cyclegan@0", inverted), ("semantic@0", tinted), ("idle@0", unchanged)):
        folder = tmp_path_factory.mktemp("model") / "pictures"
        table = judge_model(name, translate, Trial(JUDGED_PX, world, yardstick=yardstick), folder)
        recipe = name.split("@")[0]
        found[name] = ModelReport(name, JUDGED_PX, {**CARD, "recipe": recipe, "model": recipe}, table, losses(), folder)
    return found


def test_nothing_is_asked_about_subjects_backgrounds_or_blur(models: dict[str, ModelReport]) -> None:
    table = models["semantic@0"].evaluation
    of_photos = table[~table["photo_id"].str.startswith("set:")]
    assert set(of_photos["metric"]) == {"checkerboard", *(metric.name for metric in CONTENT_METRICS)}
    assert set(of_photos["method"]) == {"input", "semantic@0"}
    assert is_of_content(table)
    assert set(table.loc[table["photo_id"] == "set:test", "metric"]) == {"colour_distance"}


def test_what_keeps_content_is_told_from_what_does_not(models: dict[str, ModelReport]) -> None:
    kept, lost = (headline(models[name].evaluation, name) for name in ("semantic@0", "cyclegan@0"))
    assert float(kept.figure) > 0.9 > 0.2 > float(lost.figure)
    assert lost.verdict == "bad"
    assert "something else" in lost.verdict_words.lower()
    assert any("classes in input and output agree at an IoU of" in sentence for sentence in kept.sentences)
    assert float(headline(models["idle@0"].evaluation, "idle@0").figure) == 1.0
    scores = pd.concat([models[name].evaluation for name in ("semantic@0", "cyclegan@0")], ignore_index=True)
    found = against(scores.drop_duplicates(["photo_id", "method", "metric"]), "semantic@0", "cyclegan@0")
    assert found is not None
    assert found.changes[0].metric.name == "class_iou"
    assert found.changes[0].direction == 1


def page_of(models: list[ModelReport], folder: Path) -> str:
    """The report on these models of a study of two collections."""
    inputs = ReportInputs(
        project="collections",
        snapshot_id="5e1b0c7d9a2f4c36",
        snapshot_digest="5e1b0c7d9a2f4c36" + "0" * 48,
        config_digest="77aa77aa",
        counts={"photos": {"train": 52, "test": PHOTOS}, "paintings": {"train": 49, "test": 0}},
        domains={},
        models=models,
        credits=credits(PHOTOS),
        made_on=datetime.date(2026, 3, 1),
        reference="cyclegan@0",
    )
    return write_report(folder / "index.html", inputs).read_text(encoding="utf-8")


def test_the_report_speaks_of_collections_without_people(models: dict[str, ModelReport], tmp_path: Path) -> None:
    page = page_of([models["cyclegan@0"], models["semantic@0"]], tmp_path)
    assert "The same content, in the other’s manner?" in page
    assert "Classes kept, IoU" in page
    assert "Distance to domain B" in page
    body = page[page.index("</style>") :]
    assert 'alt="Input: ' in body
    assert 'alt="Mask: ' not in body
    assert "How much does the semantic loss weigh?" not in body, "there is one weight, of a model with other settings"
    for word in ("Sharp subject", "Subject SSIM", "true lens", "The study's groups", "How good are the masks", "mask loss"):
        assert word not in body, word


def with_likeness(table: pd.DataFrame, method: str, own: float, reach: float) -> pd.DataFrame:
    """The scores with kernel distances to domain B, that of the unchanged inputs 1, each give or take so much."""
    rows = []
    for prefix in (VGG, VGG_BACKGROUND):
        for one, kid in ((method, own), ("input", 1.0)):
            found = {"kid": kid, "kid_low": kid - reach, "kid_high": kid + reach, "precision": 0.5, "recall": 0.5}
            rows += [("set:test", one, prefix + name, value) for name, value in found.items()]
    return pd.concat([table, pd.DataFrame(rows, columns=["photo_id", "method", "metric", "value"])], ignore_index=True)


@pytest.mark.parametrize(
    ("own", "reach", "verdict", "words"),
    [
        (0.5, 0.2, "good", "Comes nearer"),
        (0.95, 0.2, "mixed", "Perhaps comes nearer"),
        (1.01, 0.2, "bad", "Comes no nearer"),
    ],
)
def test_it_comes_nearer_where_that_is_sure(
    models: dict[str, ModelReport], own: float, reach: float, verdict: str, words: str
) -> None:
    found = headline(with_likeness(models["semantic@0"].evaluation, "semantic@0", own, reach), "semantic@0")
    assert found.verdict == verdict
    assert found.verdict_words == f"{words} to domain B and keeps what is shown"


def test_a_report_of_collections_explains_its_figures_and_leaves_backgrounds_out(
    models: dict[str, ModelReport], tmp_path: Path
) -> None:
    drawn = [replace(one, evaluation=with_likeness(one.evaluation, one.name, 0.5, 0.2))
             for one in (models["cyclegan@0"], models["idle@0"])]  # fmt: skip
    page = page_of(drawn, tmp_path)
    assert "Whole pictures" in page
    assert "Backgrounds alone" not in page
    assert "Further example" not in page
    assert "<b>Example</b>" in page
    assert "<b>Bold green</b>: significantly better" in page
    assert "idle@0 keeps more than cyclegan@0" in page, "which is not to be better"


def with_weight(model: ModelReport, name: str, weight: float) -> ModelReport:
    """The model under another name, as one whose semantic loss weighs so much; 0 is a plain CycleGAN."""
    settings = {"size_px": 64, "semantic_weight": weight}
    card = {**CARD, "recipe": name.split("@")[0], "model": "semantic" if weight else "cyclegan", "settings": settings}
    table = model.evaluation.assign(method=model.evaluation["method"].replace(model.name, name))
    return replace(model, name=name, card=card, evaluation=table)


def test_the_weight_of_the_semantic_loss_is_drawn_as_a_curve(models: dict[str, ModelReport], tmp_path: Path) -> None:
    lost, kept = models["cyclegan@0"], models["semantic@0"]
    drawn = [
        with_weight(lost, "cyclegan@0", 0), with_weight(lost, "light@0", 2), with_weight(kept, "heavy@0", 8),
        with_weight(kept, "heavy@1", 8),
    ]  # fmt: skip
    other = replace(drawn[2], name="small@0", card={**drawn[2].card, "settings": {"size_px": 32, "semantic_weight": 4}})
    scores = pd.concat([model.evaluation for model in drawn], ignore_index=True)
    found = weight_curve([*drawn, other], scores)
    assert found is not None
    assert [row.weight for row in found.rows] == [0, 2, 8]
    assert found.rows[2].models == ["heavy@0", "heavy@1"]
    agreement = [row.means["class_iou"] for row in found.rows]
    assert agreement[0] == agreement[1]
    assert agreement[2] is not None
    assert agreement[1] is not None
    assert agreement[2] > agreement[1]
    assert found.panels[0].title == "Classes kept, IoU (more is better)"
    assert len(found.panels[0].curves[0].points.split()) == 3
    assert weight_curve(drawn[2:], scores) is None, "one weight is no curve"
    page = page_of(drawn[:3], tmp_path)
    assert "How much does the semantic loss weigh?" in page
    assert 'aria-label="Classes kept, IoU (more is better) by weight of the semantic loss"' in page
    assert page.count("by step") > 0, "losses are drawn over steps as before"
