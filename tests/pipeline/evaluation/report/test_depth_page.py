"""The report of models of depth: it needs nothing else, escapes what it shows, and can be leafed through."""

import base64
import datetime
import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import DatasetError
from pipeline.evaluation.compare.depth_outcomes import DEPTH_METRICS
from pipeline.evaluation.measure.tiles import picture_folder
from pipeline.evaluation.report.depth_page import POINTED_PX, write_depth_report
from pipeline.evaluation.report.page import ModelReport, ReportInputs

PLANES, APERTURES, SIDE_PX = 7, 3, 24
METRES = [3.5, 3, 2.5, 2, 1.5, 1, 0.5]
SCRIPT = "<script>document.title='owned'</script>"
CARD = {"run_id": "run-7", "recipe": "refocus", "model": "refocus", "seed": 0, "settings": {"size_px": 96}}


def pictures(folder: Path) -> Path:
    """A scene that can be leafed through, frame by frame of another grey, and a photo."""
    planes = np.tile(np.arange(SIDE_PX) * PLANES // SIDE_PX, (SIDE_PX, 1)).astype(np.uint8)
    with picture_folder(folder) as writer:
        for name in ("scene:7000", "folder:1"):
            for role in ("input", "true_depth", "depth", "error"):
                told = "3.41 to 0.4 m" if (name, role) == ("scene:7000", "true_depth") else ""
                writer.add(name, role, np.full((SIDE_PX, SIDE_PX, 3), 90, np.uint8), told)
        for by in ("model", "true"):
            writer.add("scene:7000", f"planes-{by}", planes, " ".join(map(str, METRES)) if by == "model" else "")
            for plane in range(PLANES):
                for aperture in range(1, APERTURES + 1):
                    grey = np.full((SIDE_PX, SIDE_PX, 3), 20 * plane + 5 * aperture, np.uint8)
                    writer.add("scene:7000", f"sweep-{by}-{plane}-{aperture}", grey)
    return folder


def evaluation(model: str) -> pd.DataFrame:
    rows = [(f"folder:{n}", method, metric.name, value + n / 100) for n in range(3)
            for method, value in ((model, 0.1), ("mean map", 0.3), ("mask, two constants", 0.2))
            for metric in DEPTH_METRICS]  # fmt: skip
    for view in range(1, 6):
        name = f"scene:7000@{view}"
        rows += [(name, model, f"obeyed_{told}", 1.0) for told in ("map", "patch", "click")]
        rows += [(name, method, "l1_rim", 0.02) for method in (model, "input", "true depth")]
    return pd.DataFrame(rows, columns=["photo_id", "method", "metric", "value"])


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("depth")
    losses = pd.DataFrame({"step": np.arange(4), "depth": 0.5, "picture": 0.1})
    shown = pictures(folder / "translated")
    model = ModelReport("refocus@0", 96, CARD, evaluation("refocus@0"), losses, shown, "ab" * 8)
    credits = pd.DataFrame([("folder:1", SCRIPT, None, "unknown", None)],
                           columns=["photo_id", "title", "owner_name", "license_name", "page_url"])  # fmt: skip
    inputs = ReportInputs(
        project="focus", snapshot_id="0123456789abcdef", snapshot_digest="cd" * 32, config_digest="ef", counts={},
        domains={}, models=[model], credits=credits, made_on=datetime.date(2026, 1, 1),
    )  # fmt: skip
    return write_depth_report(folder / "index.html", inputs)


def test_the_page_needs_nothing_else_and_runs_its_own_script_alone(path: Path) -> None:
    html = path.read_text()
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html
    assert not re.findall(r'(?:src|href)="(?!data:|#)', html)
    assert SCRIPT not in html
    assert "&lt;script&gt;document.title" in html


def test_all_planes_and_apertures_are_in_it(path: Path) -> None:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', path.read_text(), re.DOTALL)
    assert found is not None
    model, true = json.loads(found[1])
    assert (model["by"], true["by"]) == ("refocus@0", "True depth")
    assert [len(frames) for frames in model["frames"]] == [APERTURES] * PLANES
    assert len({frame for frames in model["frames"] for frame in frames}) == PLANES * APERTURES
    assert len(model["planes"]) == POINTED_PX**2
    assert [model["planes"][0], model["planes"][-1]] == ["0", str(PLANES - 1)]


def test_figures_are_those_of_the_evaluation(path: Path) -> None:
    html = path.read_text()
    assert "Obeys its plane" in html
    assert "Rims" in html
    assert "0.0200" in html
    assert "True depth, 3.41 to 0.4 m" in html
    assert html.count("<figcaption>True depth</figcaption>") == 1, "of the photo nothing is told"
    assert "licence unknown" in html


def test_without_models_there_is_no_page(path: Path) -> None:
    inputs = ReportInputs("x", "0123456789abcdef", "cd", "ef", {}, {}, [], pd.DataFrame(), datetime.date(2026, 1, 1))
    with pytest.raises(DatasetError, match="no evaluated model of depth"):
        write_depth_report(path.parent / "none.html", inputs)


@pytest.mark.browser
def test_a_click_makes_sharp_what_it_points_at(path: Path) -> None:
    api = pytest.importorskip("playwright.sync_api")
    system = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=system, args=["--no-sandbox"])
        except api.Error as error:
            pytest.skip(f"no browser: {error}")
        page, complaints = browser.new_page(), []
        page.on("console", lambda message: complaints.append(message.text))
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto(path.as_uri())
        assert page.locator(".scroll").evaluate_all("all => all.every(one => one.scrollWidth <= one.clientWidth)")
        picture = page.locator("#dark-left")
        box, before = picture.bounding_box(), picture.get_attribute("src")
        picture.click(position={"x": box["width"] * 0.97, "y": box["height"] / 2})
        assert page.locator("#dark-plane").input_value() == str(PLANES - 1)
        assert picture.get_attribute("src") != before
        picture.click(position={"x": 2, "y": box["height"] / 2})
        assert page.locator("#dark-plane").input_value() == "0"
        assert "Plane 1 of 7, counted from the farthest: 3.5 m by refocus@0; aperture" in page.inner_text("#dark-words")
        page.locator("#dark-aperture").fill("0")
        assert "everything is sharp" in page.locator("#dark-words").inner_text()
        browser.close()
    assert not complaints
