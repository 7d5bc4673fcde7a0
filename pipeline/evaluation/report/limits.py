"""What a report cannot say; computed where it depends on the numbers of pictures, seeds and snapshots."""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from pipeline.evaluation.compare import summary
from pipeline.evaluation.compare.significance import MIN_SEEDS

LIMITS_OF_MEASURES = (
    "Background sharpness alone is a false success: a model that blurs everything, or invents a smooth background, "
    "scores low. The distances to domain B in softness rise again where a blur is too strong; they do not say whether it "
    "is in the right places. Read them with the subject's scores and, where there are scenes, with the error to the truth.",
    "On photos the regions come from the segmenter's masks: where a mask is wrong, subject and background are "
    "confused in the scores as well.",
    "L1, PSNR, SSIM and LPIPS compare pictures. They do not say whether a face is still the same person, whether blur "
    "looks like a lens's, or what people would prefer.",
    "The study sorted its results by eye. The groups here are sorted by scores and thresholds, so their sizes cannot be "
    "set against the study's.",
)
LIMITS_OF_CONTENT = (
    "Content is what a parser's classes tell, and where edges lie. What the parser has no class for, such as a smile, may "
    "change unseen; and where it errs on one domain, agreement says less than it seems to.",
    "Agreement of classes alone is a false success: an unchanged picture agrees best. Read it with the kernel distance to "
    "domain B and the distance of colours.",
)
LIMIT_OF_VGG = (
    "Kernel distances, precision and recall by VGG-16's features must not be compared with published ones, which are by "
    "Inception's; and even those depend on how pictures were scaled and how many there were."
)


def limits_of_review(unseen: int) -> Iterator[str]:
    """`unseen` counts the snapshot's photos that nobody looked at."""
    if unseen:
        yield (
            f"Nobody looked at {unseen:,} of the snapshot's photos: what measurements suggest was accepted, so that some "
            "may be of the wrong kind or in the wrong domain."
        )


def limits_of_seeds(runs: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """`runs` is recipe → its models."""
    few = [recipe for recipe, models in runs.items() if len(models) < MIN_SEEDS]
    if few:
        yield (
            f"With fewer than three seeds a recipe cannot be ranked, only these models can ({', '.join(few)}): another "
            "seed of the same recipe may differ by as much as another recipe."
        )


def limits_of_pictures(tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """`tables` is model → its rows of `evaluation`."""
    photos = min(summary.count_pictures(table, model, scenes=False) for model, table in tables.items())
    of_content = all(summary.is_of_content(table) for table in tables.values())
    scenes = min(summary.count_pictures(table, model, scenes=True) for model, table in tables.items())
    if photos < summary.FEW_PICTURES:
        yield (
            f"Only {photos} test photo{'' if photos == 1 else 's'}: means over so few are examples rather than estimates, "
            "and their intervals are too narrow."
        )
    if scenes:
        few = f", and there are only {scenes}" if scenes < summary.FEW_PICTURES else ""
        yield (
            "Rendered scenes are not photos: errors to the truth say how well a model does on pictures like these "
            f"renderings, with their materials and light{few}."
        )
    elif not of_content:
        yield "There are no scenes with known truth here, so nothing says how close the blur is to that of a lens."


def limits_of_outside(outside: Mapping[str, str]) -> Iterator[str]:
    """`outside` is method → on how much it was judged."""
    if outside:
        yield (
            f"How methods from outside ({', '.join(outside)}) were made, and on which photos, is not on record here: they "
            "may have been trained on test photos of this snapshot, or made from larger pictures than the models saw."
        )


def limits_of_sizes(judged_px: Sequence[int]) -> Iterator[str]:
    """`judged_px` of each model."""
    if len(set(judged_px)) > 1:
        yield "Models judged at different sizes stand in tables of their own; their scores must not be compared."


def limits_of_snapshots(test_photos: Mapping[str, int], common: int) -> Iterator[str]:
    """`test_photos` counts those of each snapshot, `common` those that all have with the same pixels and mask."""
    if len(test_photos) < 2:
        return
    counts = ", ".join(f"{count} in {snapshot}" for snapshot, count in test_photos.items())
    yield (
        f"The snapshots have different test sets ({counts}). Only the {common} photos that all of them have, with the same "
        "pixels and mask, are compared; distances to domain B are each to the snapshot's own."
        if common
        else f"The snapshots share no test photo ({counts}): their models stand in tables of their own and cannot be "
        "compared on photos."
    )
    yield "Models of different snapshots were trained on different photos: a difference may be the data's, not the recipe's."
