"""What models are judged on: photos of a snapshot, scenes and true masks, cut as the dataset's pictures were."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.config import Project
from pipeline.dataset.crop import Crop, Transform, parse_transform
from pipeline.dataset.exported import picture_ids
from pipeline.dataset.prepare import cut
from pipeline.dataset.shards import ShardReader
from pipeline.evaluation.measure.scenes import Cut, Frame, TrueMasks, load_true_masks, true_mask_file
from pipeline.file_names import child, inside
from pipeline.masks.person_masks import read_mask
from pipeline.masks.segmenter import Segmenter
from pipeline.operations.masks import segmented_masks
from pipeline.operations.outside import JudgedPicture, Unusable, names_of
from pipeline.operations.training_images import plan
from storage import Home

ASPECT_ERROR = 0.02
"""So far the proportions of another's picture may be from the photo's, of 1: sizes are rounded."""


def is_test(manifest: pd.DataFrame, project: Project) -> pd.Series:
    """For each row whether its picture is one that models are judged on."""
    return (manifest["split"] == "test") & (manifest["domain"] == project.training.domain_a)


@dataclass(frozen=True)
class SnapshotPhotos:
    """Pictures of a snapshot, read from its shards as they are needed."""

    ids: list[str]
    reader: ShardReader

    @classmethod
    def of(cls, home: Home, rows: pd.DataFrame) -> "SnapshotPhotos":
        """The pictures of these rows of a manifest."""
        reader = ShardReader([child(home.shards, shard) for shard in rows["shard"]], rows["row"].tolist())
        return cls(picture_ids(rows).tolist(), reader)

    def first(self, count: int) -> list[tuple[str, np.ndarray]]:
        """Id and RGB of the first ones."""
        indices = np.arange(min(count, len(self.ids)))
        return list(zip(self.ids[:count], self.batch(indices)[0], strict=True))

    def batch(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """RGB and alpha, uint8."""
        return self.reader.batch(indices)


def scene_frame(project: Project, home: Home, segmenter: Segmenter) -> Frame:
    """How a rendered scene is treated: as the project's photos are, from the segmenter to the crop.

    A folder of given masks has none of scenes; there the embedded segmenter stands in. Scenes, which are small, are not
    tiled: of a dataset of tiles the square in their middle is judged.
    """
    planned, source = plan(project), segmented_masks(project, home, segmenter)
    transform = planned if isinstance(planned, Crop) else Crop("centre", planned.size_px)

    def frame(sharp: np.ndarray) -> tuple[Cut, np.ndarray]:
        alpha = source.subject(sharp).alpha
        return _cutter(transform, alpha), alpha

    return frame


def true_masks(home: Home, manifest: pd.DataFrame, folder: Path) -> tuple[TrueMasks, np.ndarray]:
    """True masks of the photos that have one, cut exactly as their pictures were, and the alphas of these pictures."""
    known = manifest.drop_duplicates(["photo_id", "transform"])
    rows = known[known["photo_id"].map(lambda photo_id: true_mask_file(folder, str(photo_id)).exists()).astype(bool)]
    columns = zip(picture_ids(rows), rows["photo_id"], rows["transform"], rows["mask"], strict=True)
    cutters = {name: (photo, _frozen_cutter(home, transform, mask)) for name, photo, transform, mask in columns}
    photos = SnapshotPhotos.of(home, rows) if len(rows) else None
    alpha = photos.batch(np.arange(len(rows)))[1] if photos else np.empty((0, 0, 0), np.uint8)
    return load_true_masks(folder, cutters, alpha.shape[1]), alpha


def _frozen_cutter(home: Home, transform: str, mask: str) -> Cut:
    """How the picture with this transform was cut, by the alpha it was made with where that decided it."""
    parsed = parse_transform(transform)
    by_subject = isinstance(parsed, Crop) and parsed.crop == "subject"
    return _cutter(parsed, read_mask(inside(home.masks, mask)) if by_subject else None)


def _cutter(transform: Transform, alpha: np.ndarray | None) -> Cut:
    """Cuts pictures of any size to the square that `transform` takes; `alpha` None: it does not look at it."""

    def cut_square(pixels: np.ndarray) -> np.ndarray:
        looked_at = pixels if alpha is None else alpha
        square = transform.square(looked_at.reshape(*looked_at.shape[:2], -1)[..., 0])
        return cut(pixels, (pixels.shape[1], pixels.shape[0]), square, transform.size_px)

    return cut_square


def outside_targets(home: Home, rows: pd.DataFrame) -> dict[str, JudgedPicture]:
    """What methods from outside are asked for: the pictures of these rows of a manifest, without their pixels."""
    columns = zip(picture_ids(rows), rows["image_url"], rows["transform"], rows["mask"], strict=True)
    return {
        name: JudgedPicture(name, np.empty(0, np.uint8), names_of(name, address if isinstance(address, str) else None),
                     partial(_cut_whole, home, transform, mask if isinstance(mask, str) else None))
        for name, address, transform, mask in columns
    }  # fmt: skip


def _cut_whole(home: Home, transform: str, mask: str | None, picture: np.ndarray) -> np.ndarray:
    """The square that the dataset has of a photo, of another's picture of the whole photo.

    Raises `Unusable` where that has other proportions than the photo, or nobody knows the photo's.
    """
    parsed, alpha = parse_transform(transform), None
    if isinstance(parsed, Crop):
        if mask is None or not inside(home.masks, mask).exists():
            raise Unusable("is not square, and the photo's proportions are not known any more")
        alpha = read_mask(inside(home.masks, mask))
        width, height = alpha.shape[1], alpha.shape[0]
    else:
        width, height = parsed.photo_px
    if abs(picture.shape[1] / picture.shape[0] * height / width - 1) > ASPECT_ERROR:
        raise Unusable(
            f"is {picture.shape[1]}×{picture.shape[0]} px: neither square nor of the photo's proportions, "
            f"{width / height:.2f} to 1"
        )
    return _cutter(parsed, alpha)(picture)
