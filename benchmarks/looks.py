"""What it takes to look at a picture: processor time of its hints, with the thumbnail, and of its mask.

Through what the stages call, in a home of this benchmark: bytes read and checked, decoded, measured, written. Photographs
where there are any, else the studio's pictures, as small as in `scale.py` with one view, and of 1024 px with the default's
four and a second opinion. The network's own time for one view stands beside it, which nothing here makes less.
"""

import io
import sys
import tempfile
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.pictures import PORTRAITS
from benchmarks.results import Goal, report
from pipeline.config import Project
from pipeline.curation.hints import few_at_a_time
from pipeline.masks.person_masks import make_masks
from pipeline.masks.segmenters import make_segmenter
from pipeline.masks.sources import PhotoToMask
from pipeline.memory import keep_freed_memory
from pipeline.operations.curation import hints_measurer
from pipeline.operations.masks import source_for_photos
from pipeline.studio.pictures import PICTURES
from resources.segmenter import SegmenterResource
from storage import Home

WEIGHTS = Path(__file__).parents[1] / ".venv" / "test-home" / "weights"
PICTURES_EACH, ROUNDS = 40, 3
CASES: dict[str, tuple[int, dict[str, object]]] = {
    "192 px, one view": (192, {"views": 1, "refine": [], "min_coverage": 0.0}),
    "1024 px, default": (1024, {}),
}
GOAL_MS = 8.0


def photographs() -> list[Path]:
    """Those that lie beside the checkout, if any."""
    return sorted(PORTRAITS.glob("ordinary/*.jpg"))


def filled(root: Path, edge_px: int) -> tuple[Home, list[str]]:
    """A home with pictures of that size, and their digests."""
    home, digests = Home(root), []
    root.mkdir()
    home.weights.symlink_to(WEIGHTS)
    for path in (photographs() or sorted((PICTURES / "ordinary").glob("*[0-9].jpg")))[:PICTURES_EACH]:
        buffer = io.BytesIO()
        with Image.open(path) as image:
            image.convert("RGB").resize((edge_px, edge_px), Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=88)
        digests.append(sha256(buffer.getvalue()).hexdigest())
        with home.blobs.temporary() as incoming:
            incoming.write_bytes(buffer.getvalue())
            home.blobs.adopt(incoming, digests[-1])
    return home, digests


def spent_ms(work: Callable[[], object], pictures: int) -> float:
    """Processor time of this process for each picture."""
    start = time.process_time()
    work()
    return 1000 * (time.process_time() - start) / pictures


def measured(root: Path, edge_px: int, masks: dict[str, object]) -> tuple[float, float]:
    """Milliseconds of hints and of masks for each picture, one after the other."""
    project = Project.model_validate({"domains": {"ordinary": {}, "shallow": {}}, "masks": masks})
    segmenter = SegmenterResource(project.masks)
    home, digests = filled(root, edge_px)
    measure, _ = hints_measurer(project, home, segmenter)
    source = source_for_photos(project, home, segmenter)
    measure(digests[:1])  # loads and compiles
    list(make_masks([PhotoToMask(digests[0], ("flickr:0",))], source, home.masks))
    rest = digests[1:]
    hints_ms = spent_ms(lambda: [measure(few) for few in few_at_a_time(rest)], len(rest))
    pictures = [PhotoToMask(digest, (f"flickr:{n}",)) for n, digest in enumerate(rest, 1)]
    return hints_ms, spent_ms(lambda: list(make_masks(pictures, source, home.masks)), len(rest))


def network_ms() -> float:
    """Of one view, with what scales the picture to it."""
    segmenter, picture = make_segmenter("selfie", WEIGHTS), np.zeros((256, 256, 3), np.float32)
    segmenter._general.opacity(picture)  # pyright: ignore[reportAttributeAccessIssue]
    return spent_ms(lambda: [segmenter._general.opacity(picture) for _ in range(50)], 50)  # pyright: ignore[reportAttributeAccessIssue]


def main() -> None:
    """The least of some rounds of each, since other work on the machine only adds."""
    keep_freed_memory()  # as the product's own processes do
    figures: dict[str, float | str] = {"pictures": PICTURES_EACH, "of": "photographs" if photographs() else "the studio"}
    with tempfile.TemporaryDirectory(prefix="bokehflow-bench-") as name:
        for case, (edge_px, masks) in CASES.items():
            rounds = [measured(Path(name) / f"{edge_px}-{number}", edge_px, masks) for number in range(ROUNDS)]
            hints_ms, masks_ms = (round(min(values), 1) for values in zip(*rounds, strict=True))
            figures |= {f"{case}: hints_cpu_ms": hints_ms, f"{case}: masks_cpu_ms": masks_ms}
            figures[f"{case}: both_cpu_ms"] = round(hints_ms + masks_ms, 1)
    figures["network_for_one_view_cpu_ms"] = round(min(network_ms() for _ in range(ROUNDS)), 1)
    small = float(figures["192 px, one view: both_cpu_ms"])
    report("looks", figures, [Goal(f"hints and mask of 192 px, {GOAL_MS:.0f} ms of a core", small, small <= GOAL_MS)])


if __name__ == "__main__":
    main()
