"""Take the README's picture of the report: `docs/report_screenshot.py demo-data/reports/ID/index.html`, after `make demo`.

Needs Chromium and the extra `dev`.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

TARGET = Path(__file__).with_name("report.png")
WIDTH_PX = 1280


def take(report: Path) -> None:
    """Save the report's first rendered scene, with all methods side by side."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH_PX, "height": 900}, color_scheme="light")
        page.goto(report.resolve().as_uri())
        page.locator(".side", has_text="Rendered scene").first.screenshot(path=TARGET)
        browser.close()


if __name__ == "__main__":
    take(Path(sys.argv[1]))
