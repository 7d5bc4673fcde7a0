"""The page that applies a model: opened from the disk in Chromium, its result compared with `translate`'s."""

import base64
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from pipeline.errors import TrainingError
from pipeline.masks import salient
from pipeline.masks.salient import SalientObjects
from pipeline.models.images import AlphaPhoto, RgbPhoto
from pipeline.models.large_photos import translate_photo
from pipeline.models.lens_generator import LensGenerator, build_generator
from pipeline.models.networks import Generator
from pipeline.training.recipes import resolve
from pipeline.training.state import generator_config
from pipeline.training.web_page import SalientNetwork, write_page
from pipeline.weights import WEIGHTS as PACKAGED
from tests.conftest import REPOSITORY, WEIGHTS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PHOTO = next((REPOSITORY / "pipeline" / "studio" / "pictures" / "scoring").glob("*_sharp.jpg"))
SIZE_PX = 64
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")]


def packaged(name: str) -> bytes:
    path = WEIGHTS / PACKAGED[name].file_name
    if not path.exists():
        pytest.skip("the page's parts are not here: `bokehflow weights --page --home .venv/test-home` fetches them")
    return path.read_bytes()


def a_generator(profile: str, **changes: object) -> Generator:
    """Small, with random weights; a lens is set differently from place to place."""
    torch.manual_seed(0)
    changes = {"size_px": SIZE_PX, "generator_channels": 8, "generator_blocks": 1, **changes}
    generator = build_generator(generator_config(resolve(profile, changes))).eval()
    if isinstance(generator, LensGenerator):
        bias = generator.last_convolution.bias
        assert bias is not None
        with torch.no_grad():
            generator.last_convolution.weight.normal_(0, 0.3)
            bias.copy_(torch.tensor([-1.0, 0.5, 0.5, 0.5, 1.0, 1.0, 0.0, 0.0, 0.0]))
        generator.calibrate(0.8)
    return generator


def a_page(generator: Generator, path: Path) -> Path:
    runtime = {"ort": packaged("ort_web"), "wasm": packaged("ort_web_wasm")}
    finder = SalientNetwork(salient.squared(packaged("u2netp")), salient.SIDE_PX, salient.MEAN, salient.STD)
    write_page(generator, SIZE_PX, {"run_id": "a </script> run", "digest": "ab" * 32}, runtime, finder, path)
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


def result_of(page: Page, photo: Path) -> RgbPhoto:
    """What the page shows once it is done with the photo."""
    page.set_input_files("#file", str(photo))
    page.wait_for_selector("body[data-state=done], body[data-state=failed]", timeout=200_000)
    assert page.get_attribute("body", "data-state") == "done", page.inner_text("#said")
    url = page.evaluate("document.getElementById('result').toDataURL('image/png')")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB"))


def alpha_of(page: Page, shape: tuple[int, int]) -> AlphaPhoto | None:
    """Of the subject that the page found."""
    found = page.evaluate("JSON.stringify(bokehflow.photo.alpha ? Array.from(bokehflow.photo.alpha.data) : null)")
    values = json.loads(found)
    return None if values is None else np.array(values, np.uint8).reshape(shape)


def opened(browser: Browser, path: Path) -> Page:
    page = browser.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector("body[data-state=ready], body[data-state=failed]", timeout=100_000)
    assert page.inner_text("#said") == "Ready."
    return page


@pytest.mark.parametrize(
    ("changes", "finds"),
    [
        ({}, False),
        pytest.param(
            {"lens_single_disc": False, "lens_keeps_grain": False, "lens_opens_points": False}, False, marks=pytest.mark.slow
        ),
        pytest.param({"lens_finds_subject": True}, True, marks=pytest.mark.slow),
    ],
)
def test_the_page_blurs_as_translate_does(browser: Browser, tmp_path: Path, changes: dict[str, object], finds: bool) -> None:
    generator = a_generator("small", **changes)
    page = opened(browser, a_page(generator, tmp_path / "page" / "index.html"))
    rgb = np.array(Image.open(PHOTO).convert("RGB"))[:200]
    Image.fromarray(rgb).save(tmp_path / "me.png")
    shown = result_of(page, tmp_path / "me.png")
    alpha = alpha_of(page, rgb.shape[:2])
    assert alpha is not None
    wanted = translate_photo(generator, rgb, None if finds else alpha) * 255
    assert np.abs(wanted - rgb).mean() > (1.5 if finds else 3)  # an untrained finder holds half of it
    assert np.abs(shown - wanted).mean() < 1
    assert np.percentile(np.abs(shown - wanted), 99) < 3
    if not finds:
        found = SalientObjects(WEIGHTS / PACKAGED["u2netp"].file_name).opacity(Image.fromarray(rgb))
        subject = np.asarray(Image.fromarray(found).resize((rgb.shape[1], rgb.shape[0]))) > 0.5
        assert ((alpha > 127) & subject).sum() / ((alpha > 127) | subject).sum() > 0.9
    (tmp_path / "no-photo.jpg").write_text("<html>")
    page.set_input_files("#file", str(tmp_path / "no-photo.jpg"))
    page.wait_for_selector("body[data-state=failed]")
    assert "no-photo.jpg: this browser cannot read it as a picture" in page.inner_text("#said")
    page.set_viewport_size({"width": 360, "height": 800})
    page.click("summary")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.close()


DROP = """async ([data, name]) => {
    const moved = new DataTransfer();
    moved.items.add(new File([await (await fetch(data)).blob()], name));
    return document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: moved, bubbles: true, cancelable: true }));
}"""
HOLD_FIRST = """() => {
    const network = bokehflow.networks.model, run = network.run.bind(network);
    network.run = async (planes) => {
        network.run = run;
        await new Promise((go) => { window.release = go; });
        return window.late = run(planes);
    };
}"""
RELEASE = """async () => {
    release();
    while (!window.late) await new Promise((go) => setTimeout(go));
    await late;
    await new Promise((go) => setTimeout(go));
}"""


def test_a_photo_counts_wherever_it_is_dropped_until_the_next_one(browser: Browser, tmp_path: Path) -> None:
    page = opened(browser, a_page(a_generator("small", lens_finds_subject=True), tmp_path / "index.html"))
    page.evaluate(HOLD_FIRST)
    written = io.BytesIO()
    Image.new("RGB", (80, 64)).save(written, "png")
    data = f"data:image/png;base64,{base64.b64encode(written.getvalue()).decode()}"
    assert not page.evaluate(DROP, [data, "first.png"]), "the browser is not to leave the page for it"
    page.wait_for_function("Boolean(window.release)")
    Image.new("RGB", (64, 96)).save(tmp_path / "second.png")
    assert result_of(page, tmp_path / "second.png").shape == (96, 64, 3)
    page.evaluate(RELEASE)
    assert page.evaluate("[bokehflow.name, bokehflow.photo.width]") == ["second", 64]
    page.close()


@pytest.mark.slow
def test_a_model_that_paints_is_applied_at_the_size_of_its_training(browser: Browser, tmp_path: Path) -> None:
    generator = a_generator("study")
    page = opened(browser, a_page(generator, tmp_path / "index.html"))
    rgb = np.array(Image.open(PHOTO).convert("RGB").resize((3 * SIZE_PX // 2, SIZE_PX)))
    Image.fromarray(rgb).save(tmp_path / "me.png")
    shown = result_of(page, tmp_path / "me.png")
    assert np.abs(shown - translate_photo(generator, rgb) * 255).max() <= 2
    page.close()


def test_models_of_depth_have_no_page(tmp_path: Path) -> None:
    generator = build_generator(generator_config(resolve("depth", {})))
    with pytest.raises(TrainingError, match="predicts depth"):
        write_page(generator, 64, {"run_id": "depth-0"}, {}, None, tmp_path / "index.html")
    assert not list(tmp_path.iterdir())
