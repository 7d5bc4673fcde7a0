"""From a JPEG of 1 MP to a stored alpha: the embedded segmenter on all cores, refinement off and on.

Through the pipeline's own `segment_photos`: read, decode, scale to a long side of 512, segment, choose the subject,
write the PNG durably. Wall time; the CPU time of the whole process stands beside it, since other work on the machine
slows the first and hardly the second.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.pictures import photo_like
from benchmarks.results import Goal, report
from pipeline.config import MasksSection
from pipeline.masks.person_masks import segment_photos
from pipeline.masks.segmenters import make_segmenter
from pipeline.masks.sources import SegmentedMasks
from pipeline.memory import keep_freed_memory
from pipeline.photos.decode import decode_reduced

WEIGHTS = Path(__file__).parents[1] / ".venv" / "test-home" / "weights"
LONG_SIDE_PX, PICTURES = 512, 160
CASES = {
    "one_view": MasksSection(views=1, refine=[]),
    "four_views": MasksSection(second_opinion=False, refine=[]),
    "default": MasksSection(),
}
"""How masks are made."""


def main() -> None:
    """Measure and report."""
    keep_freed_memory()  # as the product's own processes do
    figures: dict[str, float | str] = {"cores": os.cpu_count() or 1}
    with tempfile.TemporaryDirectory(prefix="bokehflow-bench-") as name:
        folder = Path(name)
        for number in range(PICTURES):
            (folder / f"{number:03}.jpg").write_bytes(
                photo_like(*((1224, 816), (816, 1224), (1024, 1024))[number % 3], number)
            )
        photos = pd.DataFrame({"sha256": [f"{number:03}" for number in range(PICTURES)]})
        photos = photos.assign(photo_id="flickr:" + photos["sha256"], target_domain="ordinary", split_key=photos["sha256"])

        def read_rgb(sha256: str) -> np.ndarray:
            data = (folder / f"{sha256}.jpg").read_bytes()
            return decode_reduced(data, 0, 10**8, min_long_edge_px=LONG_SIDE_PX).rgb

        for case, looks in CASES.items():
            segmenter = make_segmenter("selfie", WEIGHTS, looks)
            segmenter.see([np.zeros((64, 64, 3), np.uint8)])
            source = SegmentedMasks(segmenter, read_rgb, LONG_SIDE_PX, refine=tuple(looks.refine))
            wall, cpu = time.perf_counter(), time.process_time()
            table = segment_photos(photos, source, folder / "masks", min_coverage=0.02)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            figures[f"{case}_pictures_per_s"] = round(PICTURES / wall, 1)
            figures[f"{case}_cpu_ms_per_picture"] = round(cpu / PICTURES * 1e3, 1)
            figures[f"{case}_with_a_subject"] = int(table["mask"].notna().sum())
    speed = float(figures["four_views_pictures_per_s"])
    report(
        "masks",
        figures,
        [Goal("pictures a second with the default's four views, refinement off, at least 40", speed, speed >= 40)],
    )


if __name__ == "__main__":
    main()
