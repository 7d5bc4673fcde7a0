"""The report: self-contained, escaped, deterministic, honest about what it cannot say."""

import base64
import datetime
import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import DatasetError
from pipeline.evaluation.gallery import MAX_USER_PHOTOS
from pipeline.evaluation.judge import judge_model
from pipeline.evaluation.pictures import picture_folder
from pipeline.evaluation.report import FLICKR_NOTICE, ModelReport, ReportInputs, write_report
from tests.pipeline.evaluation.worlds import JUDGED_PX, SIDE_PX, background_blur, photos, scenes, unchanged

if TYPE_CHECKING:
    from playwright.sync_api import Browser

MakeModel = Callable[..., ModelReport]
Report = Callable[[ReportInputs], str]

SCRIPT = "<script>document.title='owned'</script>"
RIGHT_TO_LEFT, EMOJI, QUOTES = "صورة شخصية", "🌸 Hanami 🌸", '" onload="x'
FUNNEL = {
    "listed": 20, "pending": 1, "rejected": {"no_cv": 2, "truncated": 1}, "downloaded": 16, "duplicates": {"near": 3},
    "queued": 13, "undecided": 1, "kept": 9, "moved": 1, "dropped": {"no_person": 2},
}  # fmt: skip
CARD = {
    "run_id": "run-7", "recipe": "cyclegan", "model": "cyclegan", "seed": 0, "steps": 900, "seconds": 101.5,
    "settings": {"size_px": JUDGED_PX, "flip": True, "epochs": None}, "files": {"generator_a_to_b.safetensors": "ab" * 32},
    "lineage": {"code_revision": "4d2a91f"}, "versions": {"torch": "2.11.0"}, "final_losses": {"cycle_a": 0.1},
}  # fmt: skip


class Page(HTMLParser):
    """Elements with their attributes, and the text outside of styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._inside: list[str] = []
        self.feed(html)
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = [tag]

    def handle_data(self, data: str) -> None:
        if self._inside != ["style"]:
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def losses() -> pd.DataFrame:
    falling = np.linspace(1.0, 0.3, 40)
    return pd.DataFrame({"step": np.arange(40), "cycle_a": 0.5, "cycle_b": 0.4, "gan_a": 1.0, "gan_b": falling})


def credits(count: int) -> pd.DataFrame:
    titles = [SCRIPT, RIGHT_TO_LEFT, EMOJI, QUOTES, None]
    rows = [
        (
            f"flickr:{1000 + index}",
            titles[index % 5],
            f"Owner {index} & Co",
            "CC BY 2.0",
            f"https://www.flickr.com/photos/o/{index}",
        )
        for index in range(count)
    ]
    return pd.DataFrame(rows, columns=["photo_id", "title", "owner_name", "license_name", "page_url"])


@pytest.fixture(scope="module")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """Judges a model on a few photos and scenes; the same arguments give the same report of it."""

    def make(name: str = "cyclegan@0", sigma_px: float = 1.5, photo_count: int = 6, scene_count: int = 7) -> ModelReport:
        folder = tmp_path_factory.mktemp("model") / "pictures"
        world = scenes(scene_count) if scene_count else None
        truth = (world, world.mask) if world else None
        translate = background_blur(sigma_px) if sigma_px else unchanged
        table = judge_model(name, translate, JUDGED_PX, photos(photo_count), folder, truth)
        return ModelReport(name, JUDGED_PX, {**CARD, "recipe": name.split("@")[0]}, table, losses(), folder)

    return make


@pytest.fixture(scope="module")
def model(make_model: MakeModel) -> ModelReport:
    return make_model()


@pytest.fixture
def inputs(model: ModelReport) -> ReportInputs:
    return ReportInputs(
        project="portraits",
        snapshot_id="5e1b0c7d9a2f4c36",
        snapshot_digest="5e1b0c7d9a2f4c36" + "0" * 48,
        config_digest="77aa77aa",
        counts={"ordinary": {"train": 52, "test": 6}, "shallow": {"train": 49, "test": 0}},
        domains={"ordinary": FUNNEL, "shallow": FUNNEL},
        models=[model],
        credits=credits(6),
        made_on=datetime.date(2026, 3, 1),
    )


@pytest.fixture
def report(tmp_path: Path) -> Report:
    def write(inputs: ReportInputs) -> str:
        return write_report(tmp_path / "reports" / "x" / "index.html", inputs).read_text(encoding="utf-8")

    return write


def test_the_result_is_said_in_words_computed_from_the_scores(inputs: ReportInputs, report: Report) -> None:
    table = inputs.models[0].evaluation
    errors = table[table["metric"] == "truth_background_l1"].groupby("method")["value"].mean()
    below = round(100 * (1 - errors["cyclegan@0"] / errors["input"]))
    text = Page(report(inputs)).text.replace("\N{NO-BREAK SPACE}", " ")
    assert f"the background error against the true lens is {below} % below doing nothing" in text
    assert f"({errors['cyclegan@0']:.4f} against {errors['input']:.4f})" in text
    assert "Comes closer to the true lens and keeps the subject" in text


def test_dataset_lineage_and_notice_are_there(inputs: ReportInputs, report: Report) -> None:
    text = Page(report(inputs)).text
    for words in (
        "5e1b0c7d9a2f4c36", "77aa77aa", "rejected: no cv", "duplicate: near", "dropped: no person", "moved to another",
        "run-7", "900", "4d2a91f", "2.11.0", "ab" * 32, "size_px", "judged at 32×32 pixels", FLICKR_NOTICE, "2026-03-01",
    ):  # fmt: skip
        assert words in text


def test_the_page_needs_nothing_else(inputs: ReportInputs, report: Report) -> None:
    html = report(inputs)
    page = Page(html)
    data, script = page.all("script")
    assert (data.get("type"), set(script)) == ("application/json", set())
    loaded = [value for _, attributes in page.elements for name, value in attributes.items() if name in {"src", "srcset"}]
    loaded += [str(one["href"]) for one in page.all("link")]
    assert loaded
    assert all(str(value).startswith("data:") for value in loaded)
    assert "url(" not in html
    assert "@import" not in html
    code = html[html.rindex("<script>") + len("<script>") : html.rindex("</script>")]
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    policy = next(str(one["content"]) for one in page.all("meta") if one.get("http-equiv"))
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy


def test_titles_cannot_break_out(inputs: ReportInputs, report: Report) -> None:
    html = report(inputs)
    assert SCRIPT not in html
    page = Page(html)
    assert SCRIPT in page.text
    alts = [str(one.get("alt")) for one in page.all("img")]
    for title in (SCRIPT, RIGHT_TO_LEFT, EMOJI, QUOTES):
        assert f"Input: {title}" in alts
    assert "onload" not in {name for _, attributes in page.elements for name in attributes}


def test_only_web_addresses_become_links(inputs: ReportInputs, report: Report) -> None:
    good = "https://www.flickr.com/photos/o/1"
    addresses = pd.Series(["javascript:alert(1)", good, "//x", None, "http://[", "data:x"])
    page = Page(report(replace(inputs, credits=inputs.credits.assign(page_url=addresses))))
    assert [one["href"] for one in page.all("a") if not str(one["href"]).startswith("#")] == [good]


def test_unknown_credits_are_said_to_be_unknown(inputs: ReportInputs, report: Report) -> None:
    text = Page(report(replace(inputs, credits=inputs.credits.iloc[:0]))).text
    assert "Untitled by an unknown owner · licence unknown" in text


def test_every_picture_has_a_text(inputs: ReportInputs, report: Report) -> None:
    images = [one for one in Page(report(inputs)).all("img") if "src" in one]
    masks_in_figure = 4
    assert len(images) == 6 * 5 + 6 * 6 - masks_in_figure
    assert all(str(one["alt"]).strip() for one in images)


def test_equal_inputs_give_equal_bytes_but_for_the_date(inputs: ReportInputs, report: Report) -> None:
    first, again = report(inputs), report(inputs)
    later = report(replace(inputs, made_on=datetime.date(2027, 4, 5)))
    assert first == again
    assert first.replace("2026-03-01", "2027-04-05") == later


def test_the_order_of_models_does_not_matter(inputs: ReportInputs, make_model: MakeModel, report: Report) -> None:
    models = [inputs.models[0], make_model("mask_loss@0", 0.8)]
    assert report(replace(inputs, models=models)) == report(replace(inputs, models=models[::-1]))


def test_two_models_stand_side_by_side(inputs: ReportInputs, make_model: MakeModel, report: Report) -> None:
    html = report(replace(inputs, models=[inputs.models[0], make_model("mask_loss@0", 0.8)]))
    page = Page(html)
    assert len([one for one in page.all("img") if "src" in one]) == 6 * 6 + 6 * 7 - 4
    assert html.count('<tr class="model">') == 3 * 2
    assert "significantly better than every other ranked method" in html
    assert "cyclegan@0 − mask_<wbr>loss@0" in html


def test_pasted_subjects_are_grey(inputs: ReportInputs, report: Report) -> None:
    html = report(inputs)
    row = html[html.index("Gaussian 9×9 + subject pasted</th>") :]
    assert row.index('class="number given"') < row.index("</tr>")


def test_what_cannot_be_said_is_said(inputs: ReportInputs, make_model: MakeModel, report: Report) -> None:
    text = Page(report(inputs)).text
    assert "With fewer than three seeds a recipe cannot be ranked" in text
    assert "Only 6 test photos" in text
    assert "Rendered scenes are not photos" in text
    three = [make_model(f"cyclegan@{seed}", 1.0, photo_count=1, scene_count=0) for seed in range(3)]
    text = Page(report(replace(inputs, models=three))).text
    assert "fewer than three seeds" not in text
    assert "Only 1 test photo:" in text
    assert "no scenes with known truth" in text


def test_a_model_that_does_nothing_is_no_success(inputs: ReportInputs, make_model: MakeModel, report: Report) -> None:
    page = Page(report(replace(inputs, models=[make_model(sigma_px=0)])))
    assert "Does not come closer to the true lens" in page.text
    assert any("bad" in str(one.get("class")) for one in page.all("article"))


def test_pictures_that_are_not_scored_are_counted(inputs: ReportInputs, model: ModelReport, report: Report) -> None:
    table = model.evaluation.copy()
    own = (table["method"] == model.name) & (table["photo_id"] == "flickr:1000")
    table.loc[own, "value"] = np.nan
    table.loc[len(table)] = {"photo_id": "flickr:1000", "method": model.name, "metric": "flat_output", "value": 1.0}
    text = Page(report(replace(inputs, models=[replace(model, evaluation=table)]))).text
    assert "1 output of one colour, not scored" in text
    assert "5 of 6" in text


def test_models_of_different_sizes_are_not_mixed(inputs: ReportInputs, make_model: MakeModel, report: Report) -> None:
    other = replace(make_model("large@0"), judged_px=SIDE_PX)
    text = Page(report(replace(inputs, models=[inputs.models[0], other]))).text
    assert "judged at 32×32 pixels" in text
    assert "judged at 64×64 pixels" in text
    assert "their scores must not be compared" in text


@pytest.fixture
def many_pictures(tmp_path: Path) -> Path:
    """Photos of noise, which no compression makes small."""
    generator = np.random.default_rng(0)
    with picture_folder(tmp_path / "many") as writer:
        for index in range(35):
            for role in ("input", "mask", "model"):
                writer.add(f"flickr:{index}", role, generator.integers(0, 256, (256, 256, 3), np.uint8))
    return tmp_path / "many"


def test_at_most_30_user_photos_and_8_megabytes(
    inputs: ReportInputs, model: ModelReport, many_pictures: Path, report: Report
) -> None:
    html = report(replace(inputs, models=[replace(model, pictures=many_pictures)]))
    shown = len({one.get("data-photo") for one in Page(html).all("img")} - {None})
    assert 0 < shown <= MAX_USER_PHOTOS
    assert len(html.encode()) < 8_000_000
    assert f"{35 - shown} more found no room here" in html


def test_masks_are_judged_where_the_truth_is_known(inputs: ReportInputs, model: ModelReport, report: Report) -> None:
    assert "1.000 on average over 7 rendered scenes" in Page(report(inputs)).text
    without = model.evaluation[model.evaluation["metric"] != "mask_iou"]
    text = Page(report(replace(inputs, models=[replace(model, evaluation=without)]))).text
    assert "No true masks are known here" in text


def test_nothing_to_report_on_is_an_error(inputs: ReportInputs, report: Report, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="has no evaluated model to report on"):
        report(replace(inputs, models=[]))
    with pytest.raises(DatasetError, match="two models share a name"):
        report(replace(inputs, models=[*inputs.models, *inputs.models]))
    with pytest.raises(DatasetError, match="holds no finished pictures"):
        report(replace(inputs, models=[replace(inputs.models[0], pictures=tmp_path)]))
    assert not (tmp_path / "reports").exists()


def test_torch_is_not_needed() -> None:
    code = "import sys, pipeline.evaluation.report, pipeline.evaluation.judge; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


OPTIONS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
QUIET = ["--disable-background-networking", "--disable-component-update"]
WIDTHS = "all => all.map(one => [one.naturalWidth, one.getBoundingClientRect().width])"


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Chromium, the system's or Playwright's own; the test skips without any."""
    api = pytest.importorskip("playwright.sync_api")
    system = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with api.sync_playwright() as playwright:
        try:
            opened = playwright.chromium.launch(executable_path=system, args=[*OPTIONS, *QUIET])
        except api.Error as error:
            pytest.skip(f"no browser: {error}")
        yield opened
        opened.close()
