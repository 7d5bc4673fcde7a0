"""A person drawn with a few ellipses, which the embedded segmenter takes for one."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


def drawn_person(width_px: int, height_px: int) -> tuple[np.ndarray, np.ndarray]:
    """A bust before a wavy wall: uint8 [height, width, 3], and where it is: bool [height, width]."""
    ys, xs = np.mgrid[0:height_px, 0:width_px]
    wall = np.stack([120 + 60 * np.sin(xs / 17), 130 + 40 * np.cos(ys / 23), 110 + 0 * xs], -1)
    picture, mask = Image.fromarray(wall.clip(0, 255).astype(np.uint8)), Image.new("L", (width_px, height_px))
    body = [
        ((0.12, 0.62, 0.88, 1.4), (40, 60, 110)),
        ((0.42, 0.48, 0.58, 0.7), (200, 150, 120)),
        ((0.33, 0.12, 0.67, 0.58), (70, 45, 30)),
        ((0.36, 0.20, 0.64, 0.58), (224, 172, 140)),
    ]
    face = [
        ((0.41, 0.350, 0.47, 0.375), (255, 255, 255)),
        ((0.53, 0.350, 0.59, 0.375), (255, 255, 255)),
        ((0.43, 0.350, 0.45, 0.375), (40, 30, 20)),
        ((0.55, 0.350, 0.57, 0.375), (40, 30, 20)),
        ((0.48, 0.400, 0.51, 0.450), (190, 130, 100)),
        ((0.45, 0.490, 0.55, 0.510), (170, 70, 70)),
    ]
    for (left, top, right, bottom), colour in body + face:
        box = (left * width_px, top * height_px, right * width_px, bottom * height_px)
        ImageDraw.Draw(picture).ellipse(box, fill=colour)
        ImageDraw.Draw(mask).ellipse(box, fill=255)
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(1))), np.asarray(mask) > 0
