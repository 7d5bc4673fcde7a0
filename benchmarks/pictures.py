"""Photos for benchmarks: portraits that lie beside the checkout, or rendered ones with a photo's size, grain and edges."""

import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image

STUDIO = Path(__file__).parents[1] / "pipeline" / "studio" / "pictures"
PORTRAITS = Path(__file__).parents[2] / "shared" / "portraits"
GRAIN = 4.0
"""Standard deviation of the noise in levels: with it a JPEG of 1 MP has the usual 200 to 300 kB."""


def portraits(domain: str = "*") -> list[Path]:
    """The real portraits of a domain, of both by default; ends the benchmark where there are none."""
    if not (found := sorted(PORTRAITS.glob(f"{domain}/*.jpg"))):
        sys.exit(f"not measured: the portraits are missing, which lie in {PORTRAITS}")
    return found


def photo_like(width_px: int, height_px: int, number: int, quality: int = 90) -> bytes:
    """A JPEG of that size from the committed picture with this number, the same for the same arguments."""
    paths = sorted(path for group in ("ordinary", "shallow") for path in (STUDIO / group).glob("*.jpg"))
    with Image.open(paths[number * 37 % len(paths)]) as image:
        rgb = np.asarray(image.convert("RGB").resize((width_px, height_px), Image.Resampling.BICUBIC), np.float32)
    grain = np.random.default_rng(number).normal(0, GRAIN, (height_px, width_px, 1)).astype(np.float32)
    buffer = io.BytesIO()
    Image.fromarray((rgb + grain).clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
