"""What becomes of a person's edges, hair above all, where a lens holds people by the masks that photographs get.

People are cut out of labelled portraits and laid over the surroundings of others, so that the picture through a lens is
known: the surroundings alone behind one disc, the person in front. The same disc is applied to the composition, held by the
alpha of the default masks, and compared around the true edge: beside the person, in soft edges, inside. How much alpha
holds (`NOT_HELD` and `SURELY_HELD` in `pipeline/models/lens.py`) was chosen on one half of the portraits; this is the other.
The rival is the former choice, all of a pixel's light held from an alpha of .5 on, half as much of .25. Usage, with a folder
as for `mask_photographs.py`:

    python benchmarks/held_edges.py FOLDER
"""

import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.compositions import stand
from benchmarks.mask_photographs import CHOSEN_ON, WEIGHTS, portraits, unread
from benchmarks.results import Goal, report
from pipeline.config import MasksSection
from pipeline.intervals import mean_interval
from pipeline.masks.segmenters import make_segmenter
from pipeline.masks.sources import SegmentedMasks
from pipeline.models.images import from_model_range, images_from_uint8, masks_from_uint8
from pipeline.models.lens import LEVELS, NOT_HELD, PLAN_CHANNELS, SURELY_HELD, Lens

SIDE_PX, PEOPLE = 1024, 30
RADII_PX = (1.0, 3.0, 5.0, 7.0, 9.0)
"""Of the discs of the lens, of which the last is used."""
RIM_PX = 24
CLEAR, OPAQUE = 0.02, 0.98
ZONES = ("beside", "soft", "inside")


def disc_for_all(side_px: int) -> Tensor:
    """A plan that sends the light of every pixel to the last disc."""
    plan = torch.zeros(1, PLAN_CHANNELS, side_px, side_px)
    plan[:, LEVELS], plan[:, 1 + LEVELS :] = 40.0, -40.0
    return plan


def straight(alpha: Tensor) -> Tensor:
    """What alpha must be called for the lens to hold as much of it as it did: a straight line from 0 to .5."""
    share = (alpha / 0.5).clamp(max=1.0)
    place = 0.5 - torch.sin(torch.asin(1.0 - 2.0 * share) / 3.0)  # where the smooth step has this height
    return NOT_HELD + (SURELY_HELD - NOT_HELD) * place


def zones(alpha: np.ndarray) -> dict[str, np.ndarray]:
    """Which pixels lie around the edge of alpha in [0, 1]."""
    inside = (alpha > 0.5).astype(np.uint8)
    near = np.maximum(*(cv2.distanceTransform(one, cv2.DIST_L2, 5) for one in (inside, 1 - inside))) < RIM_PX
    return {
        "beside": near & (alpha < CLEAR),
        "soft": (alpha >= CLEAR) & (alpha <= OPAQUE),
        "inside": near & (alpha > OPAQUE),
    }


@torch.inference_mode()
def errors(folder: Path) -> dict[str, np.ndarray]:
    """Mean absolute errors in [0, 1] by who holds: people × zones."""
    people, device = portraits(folder, 1 - CHOSEN_ON, SIDE_PX), torch.device("cpu")
    people = [one for one in people if one.kind == "ordinary"]  # the others are smaller
    default = MasksSection()
    source = SegmentedMasks(make_segmenter("selfie", WEIGHTS), unread, default.long_side_px, refine=tuple(default.refine))
    lens, plan = Lens(RADII_PX, highlights=False, single_disc=True).eval(), disc_for_all(SIDE_PX)
    found = {name: [] for name in ("unchanged", "straight line to .5", "shipped")}
    for number in range(PEOPLE):
        shown, place = stand(people, SIDE_PX, np.random.default_rng([0, number]))
        images, alone = (images_from_uint8(one[None], device) for one in (shown.rgb, place))
        true, told = (masks_from_uint8(one[None], device) for one in (shown.alpha, source.full_size_alpha(shown.rgb)))
        truth = from_model_range(images) + (1.0 - true) * (from_model_range(lens(alone, plan)) - from_model_range(alone))
        outputs = images, lens(images, plan, straight(told)), lens(images, plan, told)
        around = zones(true[0, 0].numpy())
        for name, output in zip(found, outputs, strict=True):
            error = (from_model_range(output) - truth).abs().mean(1)[0].numpy()
            found[name].append([float(error[around[zone]].mean()) for zone in ZONES])
    return {name: np.array(rows) for name, rows in found.items()}


def main() -> None:
    """Measure and report."""
    if len(sys.argv) < 2 or not (Path(sys.argv[1]) / "masks").is_dir():
        print("held_edges: skipped, since no folder of labelled portraits was given")
        return
    found = errors(Path(sys.argv[1]))
    figures: dict[str, float | str] = {"people": PEOPLE}
    for name, rows in found.items():
        figures |= {f"{name}: {zone}": round(float(rows[:, column].mean()), 5) for column, zone in enumerate(ZONES)}
    goals = []
    for column, zone in enumerate(ZONES):
        less = found["shipped"][:, column] - found["straight line to .5"][:, column]
        told = mean_interval(less)
        assert told is not None
        words = f"{told.low:.5f} to {told.high:.5f}"
        figures[f"shipped by the straight line: {zone}, difference, 95 %"] = words
        goals.append(Goal(f"{zone}: less error than by a straight line, for sure", words, told.high < 0))
    report("held_edges", figures, goals)


if __name__ == "__main__":
    main()
