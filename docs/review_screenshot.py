"""Take the README's picture of the review page: `docs/review_screenshot.py ADDRESS`, after `make demo`.

`bokehflow review --home demo-data` prints the address. Needs Chromium and the extra `dev`.
"""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

TARGET = Path(__file__).with_name("review.png")
WIDTH_PX, HEIGHT_PX = 1280, 830
COLOURS = 256
PHOTO = "flickr:4950000147"
"""One of the demo's that has a duplicate."""


def take(address: str) -> None:
    """Save the page with the photo, in a palette, which dithers what it lacks."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH_PX, "height": HEIGHT_PX}, color_scheme="light")
        page.goto(address)
        page.goto(f"{page.url.partition('/grid')[0]}/single?status=all&photo={PHOTO}")
        page.wait_for_function("() => document.querySelector('img.photo').naturalWidth")
        data = page.screenshot()
        browser.close()
    with Image.open(io.BytesIO(data)) as image:
        rgb = image.convert("RGB")
    rgb.quantize(palette=rgb.quantize(COLOURS)).save(TARGET, optimize=True)


if __name__ == "__main__":
    take(sys.argv[1])
