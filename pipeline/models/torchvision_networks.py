"""torchvision's segmentation networks (COCO with the labels of VOC): made, and their weights fetched and checked."""

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pipeline.errors import WeightsError
from pipeline.plain_files import at_hand, file_sha256

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

SEGMENTATION_FILES = {
    "deeplabv3_resnet101": "deeplabv3_resnet101_coco-586e9e4e.pth",
    "deeplabv3_mobilenet": "deeplabv3_mobilenet_v3_large-fc3c493d.pth",
    "lraspp_mobilenet": "lraspp_mobilenet_v3_large-d234d4ea.pth",
}
"""torchvision's files of weights, each with the beginning of its SHA-256 in its name."""
VOC_CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("dining table", "dog", "horse", "motorbike", "person", "potted plant", "sheep", "sofa", "train", "television"),
)


def segmentation_network(name: str) -> "torch.nn.Module":
    """The network of that name without weights; its output `out` are logits of `VOC_CLASSES`."""
    from torchvision.models import segmentation

    if name == "lraspp_mobilenet":
        return segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=len(VOC_CLASSES))
    make = {
        "deeplabv3_resnet101": segmentation.deeplabv3_resnet101,
        "deeplabv3_mobilenet": segmentation.deeplabv3_mobilenet_v3_large,
    }[name]
    return make(weights=None, weights_backbone=None, num_classes=len(VOC_CLASSES), aux_loss=True)


def segmentation_state(name: str, path: Path, instead: str) -> "dict[str, torch.Tensor]":
    """The weights from `path`, fetched there by torchvision's own loader; `instead` says what else a person may set.

    Raises `WeightsError` where they are altered, or missing and cannot be fetched.
    """
    from torchvision.models import segmentation

    published = {
        "deeplabv3_resnet101": segmentation.DeepLabV3_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1,
        "deeplabv3_mobilenet": segmentation.DeepLabV3_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1,
        "lraspp_mobilenet": segmentation.LRASPP_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1,
    }[name]
    if not published.url.endswith(path.name):
        raise WeightsError(f"this torchvision publishes {published.url}, not {path.name}; pin another version of it")
    if at_hand(path):
        _refuse_altered(path)
    else:
        log.info("fetching %s (once)", path.name)
    try:
        state = published.get_state_dict(
            progress=False, check_hash=True, model_dir=str(path.parent), map_location="cpu", weights_only=True
        )
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"{path}: missing, and torchvision could not fetch it ({error}); connect to the internet and run again, put "
            f"{published.url} there by hand, or set {instead}"
        ) from error
    return cast("dict[str, torch.Tensor]", state)


def hash_in_name(file_name: str) -> str:
    """The beginning of the SHA-256 that torchvision puts into its file names."""
    match = re.search(r"-([0-9a-f]{8,})\.", file_name)
    if match is None:
        raise WeightsError(f"{file_name}: this torchvision names its weights without their hash; pin an older one")
    return match.group(1)


def _refuse_altered(path: Path) -> None:
    found = file_sha256(path)
    if not found.startswith(hash_in_name(path.name)):
        raise WeightsError(
            f"{path}: these weights are altered: their SHA-256 is {found}, it should begin with "
            f"{hash_in_name(path.name)}; delete the file and run again, which fetches it anew"
        )
