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
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import DatasetError
from pipeline.evaluation.measure.judge import Trial, judge_model
from pipeline.evaluation.measure.tiles import picture_folder
from pipeline.evaluation.report.gallery import MAX_USER_PHOTOS, anchor_of
from pipeline.evaluation.report.number_sources import model_facts
from pipeline.evaluation.report.page import FLICKR_NOTICE, ModelReport, ReportInputs, write_report
from tests.contrast import CONTRAST
from tests.pipeline.evaluation.worlds import JUDGED_PX, SIDE_PX, background_blur, photos, scenes, unchanged

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from playwright.sync_api import Page as PlaywrightPage

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
        recipe = name.split("@")[0]
        translate = background_blur(sigma_px) if sigma_px else unchanged
        table = judge_model(name, translate, Trial(JUDGED_PX, photos(photo_count), truth), folder)
        return ModelReport(name, JUDGED_PX, {**CARD, "recipe": recipe, "model": recipe}, table, losses(), folder)

    return make


@pytest.fixture(scope="module")
def model(make_model: MakeModel) -> ModelReport:
    return make_model()


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
def usual(inputs: ReportInputs, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of the inputs as they are."""
    path = tmp_path_factory.mktemp("usual") / "reports" / "x" / "index.html"
    return write_report(path, inputs).read_text(encoding="utf-8")


def test_the_result_is_said_in_words_computed_from_the_scores(inputs: ReportInputs, usual: str) -> None:
    table = inputs.models[0].evaluation
    errors = table[table["metric"] == "truth_background_l1"].groupby("method")["value"].mean()
    below = round(100 * (1 - errors["cyclegan@0"] / errors["input"]))
    text = Page(usual).text.replace("\N{NO-BREAK SPACE}", " ")
    assert f"the background error against the true lens is {below} % below doing nothing" in text
    assert f"({errors['cyclegan@0']:.4f} against {errors['input']:.4f})" in text
    assert "Comes closer to the true lens and keeps the subject" in text


def test_dataset_lineage_and_notice_are_there(usual: str) -> None:
    text = Page(usual).text
    for words in (
        "5e1b0c7d9a2f4c36", "77aa77aa", "rejected: no cv", "duplicate: near", "dropped: no person", "moved to another",
        "run-7", "900", "4d2a91f", "2.11.0", "ab" * 32, "size_px", "judged at 32×32 pixels", FLICKR_NOTICE, "2026-03-01",
    ):  # fmt: skip
        assert words in text


def test_the_page_needs_nothing_else(usual: str) -> None:
    html = usual
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


def test_titles_cannot_break_out(usual: str) -> None:
    html = usual
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


def test_every_picture_has_a_text(usual: str) -> None:
    images = [one for one in Page(usual).all("img") if "src" in one]
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


def test_pasted_subjects_are_grey(usual: str) -> None:
    html = usual
    row = html[html.index("Gaussian 9×9 + subject pasted</th>") :]
    assert row.index('class="number given"') < row.index("</tr>")


def test_what_cannot_be_said_is_said(inputs: ReportInputs, make_model: MakeModel, report: Report, usual: str) -> None:
    text = Page(usual).text
    assert "With fewer than three seeds a recipe cannot be ranked" in text
    assert (
        "Only 6 test photos: means over so few are examples rather than estimates, and their intervals are too narrow"
        in text
    )
    assert "Rendered scenes are not photos" in text
    assert "Nobody looked at" not in text
    assert "Nobody looked at 3 of the snapshot's photos" in Page(report(replace(inputs, unseen=3))).text
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


def test_masks_are_judged_where_the_truth_is_known(
    inputs: ReportInputs, model: ModelReport, report: Report, usual: str
) -> None:
    assert "1.000 on average over 7 rendered scenes" in Page(usual).text
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
    code = "import sys, pipeline.evaluation.report, pipeline.evaluation.measure.judge; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_number_leads_to_its_source(inputs: ReportInputs, model: ModelReport, report: Report) -> None:
    html = report(replace(inputs, code_revision="c0de", models=[replace(model, evaluation_digest="e7a1" * 4)]))
    page = Page(html)
    for words in ("run-7", "5e1b0c7d9a2f4c36", "4d2a91f", "abababababab", "e7a1e7a1e7a1", "c0de"):
        assert words in page.text
    ids = {str(one["id"]) for _, one in page.elements if "id" in one}
    inner = {str(one["href"]).removeprefix("#") for one in page.all("a") if str(one["href"]).startswith("#")}
    assert "model-1" in inner
    assert inner <= ids


def test_every_photo_can_be_opened_from_the_scatter(usual: str) -> None:
    page = Page(usual)
    dots = [str(one["data-open"]) for one in page.all("a") if one.get("tabindex") == "-1"]
    assert sorted(dots) == sorted(anchor_of(f"flickr:{1000 + index}") for index in range(6))


def test_the_studys_figure_has_the_methods_in_rows(inputs: ReportInputs, make_model: MakeModel, report: Report) -> None:
    html = report(replace(inputs, models=[inputs.models[0], make_model("mask_loss@0", 4.0)]))
    figure = html[html.index('<div class="grid"') : html.index('<ol class="credits"')]
    rows = re.findall(r'<div class="row (\w+)">', figure)
    assert rows == ["heads", "input", "average_5x5", "gaussian_9x9", "model", "model"]
    assert figure.count("<img") == 4 * 5
    assert "Success: mask_<wbr>loss@0" in figure


def test_groups_are_not_told_without_a_cyclegan(
    inputs: ReportInputs, model: ModelReport, report: Report, usual: str
) -> None:
    other = replace(model, card={**CARD, "model": "mask_loss"})
    assert "there is no run of cyclegan to hold" in Page(report(replace(inputs, models=[other]))).text
    assert "there is no model beside cyclegan to hold" in Page(usual).text


def test_the_named_model_is_what_others_are_held_against(
    inputs: ReportInputs, make_model: MakeModel, report: Report
) -> None:
    models = [inputs.models[0], make_model("mask_loss@0", 0.5)]
    text = Page(report(replace(inputs, models=models, reference="cyclegan@0"))).text
    assert "mask_loss@0 is worse than cyclegan@0" in text or "mask_loss@0 wins in one and loses" in text
    assert "than cyclegan@0:" not in Page(report(replace(inputs, models=models))).text


def three_seeds(make_model: MakeModel, recipe: str, sigma_px: float) -> list[ModelReport]:
    return [make_model(f"{recipe}@{seed}", sigma_px + 0.02 * seed, scene_count=0) for seed in range(3)]


def test_three_seeds_of_each_rank_the_recipes(inputs: ReportInputs, make_model: MakeModel, report: Report) -> None:
    models = [*three_seeds(make_model, "cyclegan", 1.5), *three_seeds(make_model, "mask_loss", 2.5)]
    text = Page(report(replace(inputs, models=models))).text
    assert "cyclegan − mask_ loss" in text
    assert "The recipes cannot be ranked here" not in text
    assert "The recipes cannot be ranked here" in Page(report(replace(inputs, models=models[:-1]))).text


def with_mask_loss(model: ModelReport, architecture: str, loss: float) -> ModelReport:
    card = {**model.card, "model": architecture, "settings": {"size_px": JUDGED_PX, "mask_weight": None}}
    return replace(model, card=card, losses=losses().assign(mask_a=loss, mask_b=loss / 2))


def test_the_claim_is_examined_where_both_runs_are_there(
    inputs: ReportInputs, make_model: MakeModel, report: Report
) -> None:
    plain = with_mask_loss(make_model("mask_loss@0"), "mask_loss", 0.30)
    overlay = with_mask_loss(make_model("mask_loss_overlay@0"), "mask_loss_overlay", 0.29)
    text = Page(report(replace(inputs, models=[plain, overlay]))).text
    assert "the mask loss on pixels, A to B, is unweighted 0.97 times that without the overlay, so it is not lowered" in text
    assert "with the study's weights it would be plotted at 0.48 times" in text
    assert "Whether ours agree cannot be said here" in Page(report(replace(inputs, models=[plain]))).text


def cost_rows(method: str) -> pd.DataFrame:
    values = {"parameters": 11_378_179.0, "flops_256": 99.1e9, "ms_256": 812.4, "ms_1024": np.nan, "cycle_l1_a": 0.0312}
    rows = [("set:model", method, metric, value) for metric, value in values.items()]
    return pd.DataFrame(rows, columns=["photo_id", "method", "metric", "value"])


def test_costs_are_shown_where_they_were_measured(
    inputs: ReportInputs, model: ModelReport, report: Report, usual: str
) -> None:
    assert "Not measured: these models were evaluated without timing" in Page(usual).text
    table = pd.concat([model.evaluation, cost_rows(model.name)], ignore_index=True)
    text = Page(report(replace(inputs, models=[replace(model, evaluation=table)]))).text
    assert "Not measured" not in text
    for words in ("11.38", "99.1", "812", "0.0312"):
        assert words in text
    assert "Time, 1024²" not in text


def test_a_subject_that_is_laid_over_is_grey(inputs: ReportInputs, model: ModelReport, report: Report) -> None:
    own = model.evaluation[model.evaluation["method"] == model.name]
    table = pd.concat([model.evaluation, own.assign(method=f"{model.name}+overlay")], ignore_index=True)
    html = report(replace(inputs, models=[replace(model, evaluation=table)]))
    row = html[html.index("cyclegan@0, subject laid over</a>") :]
    photos = html[html.index('aria-label="Methods on test photos"') :]
    row = photos[photos.index("cyclegan@0, subject laid over</a>") :]
    assert row.index('class="number given"') < row.index("</tr>")


SNAPSHOTS = ("5e1b0c7d9a2f4c36", "aaaa0c7d9a2f4c36")


def of_two_snapshots(inputs: ReportInputs, other: ModelReport, shared: int) -> ReportInputs:
    """The same model names in both; `shared` photos have the same digest."""
    first = {f"flickr:{1000 + index}": "same" for index in range(6)}
    second = {photo_id: "same" if index < shared else "other" for index, photo_id in enumerate(first)}
    models = [*inputs.models, replace(other, snapshot_id=SNAPSHOTS[1])]
    return replace(inputs, models=models, test_photos=dict(zip(SNAPSHOTS, (first, second), strict=True)))


def test_models_of_two_snapshots_are_compared_on_what_they_share(
    inputs: ReportInputs, make_model: MakeModel, report: Report
) -> None:
    text = Page(report(of_two_snapshots(inputs, make_model("cyclegan@0", 2.5), shared=4))).text
    assert "cyclegan@0·5e1b0c − cyclegan@0·aaaa0c" in text
    assert "Only the 4 photos that all of them have" in text
    assert "The snapshots have different test sets (6 in 5e1b0c7d9a2f4c36, 6 in aaaa0c7d9a2f4c36)" in text
    assert "a difference may be the data's" in text


def test_snapshots_that_share_nothing_stand_apart(inputs: ReportInputs, make_model: MakeModel, report: Report) -> None:
    text = Page(report(of_two_snapshots(inputs, make_model("cyclegan@0", 2.5), shared=0))).text
    assert "share no test photo" in text
    assert "cyclegan@0·5e1b0c − cyclegan@0·aaaa0c" not in text


OPTIONS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
QUIET = ["--disable-background-networking", "--disable-component-update"]
A4_WIDTH_PX = 680
"""180 mm between the margins."""
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


@pytest.fixture
def opened(
    inputs: ReportInputs, make_model: MakeModel, tmp_path: Path, browser: "Browser"
) -> Callable[..., "PlaywrightPage"]:
    """The report of two models in a browser; what it asks for and complains of must stay nothing."""

    def show(width_px: int, scheme: Literal["light", "dark"] = "light") -> "PlaywrightPage":
        path = write_report(
            tmp_path / "index.html", replace(inputs, models=[*inputs.models, make_model("mask_loss@0", 0.8)])
        )
        page = browser.new_page(viewport={"width": width_px, "height": 900}, color_scheme=scheme)
        troubles: list[str] = []
        page.on("request", lambda request: troubles.append(request.url) if not request.url.startswith("data:") else None)
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.goto(path.as_uri())
        assert troubles == [path.as_uri()]
        return page

    return show


@pytest.mark.browser
@pytest.mark.parametrize(("width_px", "scheme"), [(1280, "light"), (360, "dark")])
def test_a_browser_shows_it(
    opened: Callable[..., "PlaywrightPage"], width_px: int, scheme: Literal["light", "dark"]
) -> None:
    page = opened(width_px, scheme)
    assert page.title() == "portraits · snapshot 5e1b0c7d9a2f4c36 · bokehflow report"
    pictures = page.eval_on_selector_all("img[data-photo]", WIDTHS)
    assert len(pictures) == 6 * 6 + 6 * 7 - 4
    assert all(natural == JUDGED_PX and shown > 50 for natural, shown in pictures)
    assert page.evaluate("document.documentElement.scrollWidth") <= width_px
    assert page.get_by_text(SCRIPT).first.is_visible()
    heights = page.eval_on_selector_all(".funnel dt", "all => all.map(one => one.getBoundingClientRect().height)")
    assert heights
    assert max(heights) < 60  # a line or two of text, and no box
    assert page.evaluate(CONTRAST) == []
    page.close()


@pytest.mark.browser
def test_the_slider_obeys_the_keyboard(opened: Callable[..., "PlaywrightPage"]) -> None:
    page = opened(1280)
    slider = page.get_by_role("slider")
    slider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert slider.input_value() == "55"
    clip = page.eval_on_selector("#viewer-over", "one => getComputedStyle(one).clipPath")
    assert clip == "inset(0px 45% 0px 0px)"
    page.keyboard.press("Home")
    assert slider.input_value() == "0"
    page.close()


@pytest.mark.browser
def test_dots_and_pictures_open_their_photo(opened: Callable[..., "PlaywrightPage"]) -> None:
    page = opened(1280)
    photo, right = page.get_by_label("Photo", exact=True), page.get_by_label("Right")
    page.locator(f'.scatter a[data-open="{anchor_of("flickr:1003")}"][data-method="mask_loss@0"]').dispatch_event("click")
    assert (photo.input_value(), right.input_value()) == (anchor_of("flickr:1003"), "mask_loss@0")
    shown, own = (
        page.eval_on_selector(one, "one => one.src")
        for one in ("#viewer-under", f'img[data-photo="{anchor_of("flickr:1003")}"][data-label="mask_loss@0"]')
    )
    assert shown == own
    page.locator(f'img[data-photo="{anchor_of("flickr:1001")}"][data-label="Gaussian 9×9"]').click()
    assert (photo.input_value(), right.input_value()) == (anchor_of("flickr:1001"), "Gaussian 9×9")
    assert page.locator("#viewer-scores tbody tr").count() == 2 + 2
    assert page.evaluate("document.activeElement.id") == "viewer-at"
    page.close()


@pytest.mark.browser
def test_in_print_everything_is_open_and_nothing_needs_a_hand(opened: Callable[..., "PlaywrightPage"]) -> None:
    page = opened(A4_WIDTH_PX)
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= A4_WIDTH_PX
    assert not page.locator("#viewer").is_visible()
    assert not page.locator("nav").is_visible()
    assert page.get_by_role("cell", name="mask_loss@0").first.is_visible()
    kept = page.eval_on_selector_all(".swatch, .bar span", "all => all.map(one => getComputedStyle(one).printColorAdjust)")
    assert set(kept) == {"exact"}
    sizes = page.eval_on_selector(
        "thead .way", "way => [way, way.parentElement].map(one => parseFloat(getComputedStyle(one).fontSize))"
    )
    assert sizes[0] < sizes[1]
    page.close()


def test_of_a_model_only_what_is_known_is_told_in_words() -> None:
    found = model_facts("depth@0", "model-1", {"run_id": "r", "failing": None, "kind": "depth", "strengths": []})
    assert [(fact.label, fact.value) for fact in found.facts] == [("Run", "r"), ("Made for", "depth")]
