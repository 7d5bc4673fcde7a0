"""Textures of walls, foliage, shelves, posters, cloth, skin and hair, drawn with numpy from a random generator.

Each function returns float32 [height, width, 3] in sRGB, range [0, 1], row 0 at the top. Colours come in as
triples in the same space; `linear` converts to the renderer's space in one place.
"""

import colorsys
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]
Random = np.random.Generator

SIZE_PX = 512
SPINE_HUES = [0.0, 0.04, 0.09, 0.12, 0.33, 0.55, 0.62, 0.95]


def linear(srgb: ArrayLike) -> Floats:
    """sRGB in [0, 1] to linear light (IEC 61966-2-1)."""
    value = np.asarray(srgb, np.float64)
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


def srgb(linear_light: ArrayLike) -> NDArray[np.float64]:
    """Linear light, clipped to [0, 1], to sRGB (IEC 61966-2-1)."""
    value = np.clip(np.asarray(linear_light, np.float64), 0, 1)
    return np.where(value <= 0.0031308, 12.92 * value, 1.055 * value ** (1 / 2.4) - 0.055)


def colour(hue: float, saturation: float, value: float) -> Floats:
    """One sRGB triple from hue (in turns, wrapped), saturation and value."""
    return np.array(colorsys.hsv_to_rgb(hue % 1.0, saturation, value), np.float32)


def smooth_noise(rng: Random, cells: int, height_px: int = SIZE_PX, width_px: int = SIZE_PX) -> Floats:
    """Value noise in [0, 1]: a random lattice of `cells` a side, interpolated by a cubic ease."""
    lattice = rng.random((cells + 1, cells + 1))
    y, x = np.linspace(0, cells, height_px, endpoint=False), np.linspace(0, cells, width_px, endpoint=False)
    row, column = y.astype(int), x.astype(int)
    fy, fx = _ease(y - row)[:, None], _ease(x - column)[None]
    upper = lattice[row][:, column] * (1 - fx) + lattice[row][:, column + 1] * fx
    lower = lattice[row + 1][:, column] * (1 - fx) + lattice[row + 1][:, column + 1] * fx
    return (upper * (1 - fy) + lower * fy).astype(np.float32)


def layered_noise(rng: Random, cells: int, octaves: int = 4) -> Floats:
    """Octaves of value noise, stretched to fill [0, 1]."""
    total = sum(smooth_noise(rng, cells * 2**k) / 1.6**k for k in range(octaves))
    noise = np.asarray(total)
    return ((noise - noise.min()) / (noise.max() - noise.min())).astype(np.float32)


def bricks(rng: Random, brick: ArrayLike, mortar: ArrayLike) -> Floats:
    """Running bond of bricks that differ in shade."""
    height = int(rng.choice([26, 32, 40]))
    width = int(height * rng.uniform(2.0, 2.6))
    y, x = _pixels()
    row = y // height
    shifted = x + (row % 2) * (width // 2)
    joint = (y % height < 4) | (shifted % width < 4)
    shade = _shade(rng, row, shifted // width, 0.35)
    return _finish(rng, np.where(joint[..., None], mortar, np.asarray(brick) * shade), 0.12)


def tiles(rng: Random, first: ArrayLike, second: ArrayLike) -> Floats:
    """Tiles in two colours by turns, with a dark joint."""
    side = int(rng.choice([28, 36, 48]))
    y, x = _pixels()
    board = ((y // side + x // side) % 2)[..., None]
    joint = ((y % side < 3) | (x % side < 3))[..., None]
    mixed = np.where(board == 1, first, second) * _shade(rng, y // side, x // side, 0.3)
    return _finish(rng, np.where(joint, mixed * 0.4, mixed), 0.08)


def foliage(rng: Random, leaf: ArrayLike, gap: ArrayLike) -> Floats:
    """Leaves: overlapping bright and dark blades over a dark ground."""
    canvas = np.asarray(gap) * (0.5 + layered_noise(rng, 6)[..., None])
    y, x = np.mgrid[-14:15, -14:15]
    for depth in np.linspace(0.35, 1.15, 900):
        angle, length, width = rng.uniform(0, np.pi), rng.uniform(7, 14), rng.uniform(2.5, 5)
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        blade = (along / length) ** 2 + (across / width) ** 2 < 1
        rows, columns = (y[blade] + rng.integers(SIZE_PX)) % SIZE_PX, (x[blade] + rng.integers(SIZE_PX)) % SIZE_PX
        canvas[rows, columns] = np.asarray(leaf) * depth * rng.uniform(0.7, 1.3, 3) ** [1, 0.3, 1]
    return _finish(rng, canvas, 0.05)


def shelves(rng: Random, wood: ArrayLike) -> Floats:
    """Rows of books with coloured spines on wooden boards."""
    canvas = np.tile(np.asarray(wood, np.float64) * 0.35, (SIZE_PX, SIZE_PX, 1))
    shelf = int(rng.choice([64, 86, 102]))
    for top in range(0, SIZE_PX, shelf):
        column = int(rng.integers(0, 8))
        while column < SIZE_PX:
            width, gap = int(rng.integers(7, 20)), int(rng.random() < 0.08) * 14
            start = top + 8 + int(rng.integers(0, shelf // 4))
            spine = colour(rng.choice(SPINE_HUES), rng.uniform(0.2, 0.65), rng.uniform(0.25, 0.85))
            canvas[start : top + shelf, column : column + width] = spine
            band = start + (top + shelf - start) // 5
            canvas[band : band + 5, column : column + width] = spine * 0.35 + 0.6 * rng.random()
            canvas[start : top + shelf, column : column + 1] *= 0.4
            column += width + gap
        canvas[top : top + 8] = wood
    return _finish(rng, canvas, 0.08)


def windows(rng: Random, facade: ArrayLike, lit: ArrayLike, lit_share: float) -> Floats:
    """A facade with a grid of windows, some of them lit."""
    height, width = int(rng.choice([30, 36, 46])), int(rng.choice([22, 28, 36]))
    y, x = _pixels()
    pane = (y % height > height * 0.3) & (x % width > width * 0.35)
    is_lit = _cell(rng, y // height, x // width) < lit_share
    glow = np.asarray(lit) * _shade(rng, y // height, x // width, 0.4)
    dark = np.asarray(facade) * 0.4
    return _finish(rng, np.where(pane[..., None], np.where(is_lit[..., None], glow, dark), facade), 0.08)


def poster(rng: Random) -> Floats:
    """A printed sheet: a few coloured shapes above lines of text."""
    hue = rng.random()
    paper, ink = colour(hue, 0.18, 0.92), colour(hue + 0.5, 0.7, 0.25)
    canvas = np.tile(paper.astype(np.float64), (SIZE_PX, SIZE_PX, 1))
    y, x = _pixels()
    for _ in range(int(rng.integers(3, 7))):
        tone = colour(hue + rng.choice([0.0, 0.08, 0.5, 0.6]), rng.uniform(0.5, 0.9), rng.uniform(0.4, 0.95))
        cx, cy, radius = rng.uniform(60, 450), rng.uniform(60, 290), rng.uniform(30, 110)
        if rng.random() < 0.5:
            inside = (x - cx) ** 2 + (y - cy) ** 2 < radius**2
        else:
            inside = (abs(x - cx) < radius) & (abs(y - cy) < radius * rng.uniform(0.4, 1.2))
        canvas[inside & (y < 320)] = tone
    _print_lines(rng, canvas, ink, 345)
    canvas[:14] = canvas[-14:] = canvas[:, :14] = canvas[:, -14:] = paper
    return _finish(rng, canvas, 0.03)


def painting(rng: Random, frame: ArrayLike) -> Floats:
    """A framed abstract landscape."""
    hue = rng.random()
    tone = layered_noise(rng, 4)[..., None] + np.linspace(0.5, 0, SIZE_PX)[:, None, None]
    canvas = np.zeros((SIZE_PX, SIZE_PX, 3))
    for k, edge in enumerate((0.0, 0.4, 0.65, 0.9, 1.15)):
        step = colour(hue + 0.13 * k, rng.uniform(0.4, 0.8), rng.uniform(0.3, 0.95))
        canvas = np.where(tone >= edge, step, canvas)
    margin = 36
    for edge in (np.s_[:margin], np.s_[-margin:], np.s_[:, :margin], np.s_[:, -margin:]):
        canvas[edge] = frame
    return _finish(rng, canvas, 0.05)


def planks(rng: Random, wood: ArrayLike) -> Floats:
    """Upright boards with grain."""
    width = int(rng.choice([36, 48, 64]))
    _, x = _pixels()
    grain = np.repeat(smooth_noise(rng, 128)[:1], SIZE_PX, 0)
    board = np.asarray(wood) * _shade(rng, x * 0, x // width, 0.4) * (0.75 + 0.5 * grain[..., None])
    return _finish(rng, np.where((x % width < 3)[..., None], board * 0.3, board), 0.12)


def awning(rng: Random, first: ArrayLike, second: ArrayLike) -> Floats:
    """Broad stripes."""
    width = int(rng.choice([24, 32, 43, 64]))
    _, x = _pixels()
    return _finish(rng, np.where((x // width % 2)[..., None] == 1, first, second), 0.06)


def plaster(rng: Random, tone: ArrayLike) -> Floats:
    """A painted wall with stains and fine grain."""
    stains = layered_noise(rng, 5, 5)[..., None]
    return _finish(rng, np.asarray(tone) * (0.75 + 0.4 * stains), 0.14)


def dusk(rng: Random) -> Floats:
    """An evening sky with streaks of cloud, from deep blue above to orange below."""
    top, low = colour(rng.uniform(0.58, 0.75), 0.6, rng.uniform(0.25, 0.55)), colour(rng.uniform(0.02, 0.1), 0.65, 0.95)
    fall = np.linspace(0, 1, SIZE_PX)[:, None, None] ** 1.3
    streaks = np.repeat(smooth_noise(rng, 40)[:, :8], SIZE_PX // 8, 1) * 0.5 + layered_noise(rng, 8) * 0.5
    cloud = np.clip((streaks[..., None] - 0.45) * 2.5, 0, 1) * 0.35
    return _finish(rng, (top * (1 - fall) + low * fall) * (1 - cloud) + colour(0.95, 0.25, 0.95) * cloud, 0.02)


def cloth(rng: Random) -> Floats:
    """Clothing: plain, hoops, pinstripes, plaid or dots in two colours that go together."""
    hue = rng.random()
    base = colour(hue, rng.uniform(0.25, 0.8), rng.uniform(0.55, 0.92))
    trim = colour(hue + rng.choice([0.0, 0.08, 0.5, 0.58]), rng.uniform(0.05, 0.6), rng.uniform(0.6, 0.97))
    y, x = _pixels()
    # A torso's texture is wrapped once around and is about three times as wide as high.
    pitch = int(rng.choice([32, 42, 52]))
    pattern = rng.choice(["plain", "plain", "hoops", "pinstripes", "plaid", "dots"])
    if pattern == "hoops":
        share = (y // (pitch // 2) % 2).astype(float)
    elif pattern == "pinstripes":
        share = (x % (pitch // 2) < 4).astype(float)
    elif pattern == "plaid":
        share = (y // pitch % 2) * 0.5 + (x // (pitch // 2) % 2) * 0.5
    elif pattern == "dots":
        row = y // pitch
        dx = (x + (row % 2) * (pitch // 4)) % (pitch // 2) - pitch / 4
        share = ((dx * 2) ** 2 + (y % pitch - pitch / 2) ** 2 < (pitch * 0.28) ** 2).astype(float)
    else:
        share = np.zeros((SIZE_PX, SIZE_PX))
    return _finish(rng, base * (1 - share[..., None]) + trim * share[..., None], 0.06)


def knit(rng: Random, tone: ArrayLike) -> Floats:
    """Ribbed knitwear."""
    _, x = _pixels()
    rib = 0.78 + 0.22 * np.cos(2 * np.pi * x / 16)[..., None]
    return _finish(rng, np.asarray(tone) * rib, 0.08)


def skin(rng: Random, tone: ArrayLike) -> Floats:
    """Skin of a whole head, the face in the middle: faint mottling, warm cheeks, on some people freckles."""
    canvas = np.asarray(tone) * (0.95 + 0.1 * layered_noise(rng, 12)[..., None])
    y, x = _pixels()
    distance = ((abs(x - SIZE_PX / 2) - 50) / 30) ** 2 + ((y - SIZE_PX * 0.58) / 30) ** 2
    canvas = canvas * (1 - np.exp(-distance)[..., None] * rng.uniform(0.05, 0.22) * np.array([0.1, 1.0, 0.9]))
    if rng.random() < 0.3:
        row, column = rng.normal(SIZE_PX * 0.57, 22, 70).astype(int), rng.normal(SIZE_PX / 2, 45, 70).astype(int)
        for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
            canvas[np.clip(row + down, 0, SIZE_PX - 1), np.clip(column + right, 0, SIZE_PX - 1)] *= 0.78
    return _finish(rng, canvas, 0.01)


def strands(rng: Random, tone: ArrayLike) -> Floats:
    """Hair: fine lines from the bottom pole to the top."""
    fine = np.repeat(smooth_noise(rng, 110)[:1], SIZE_PX, 0) * 0.7 + smooth_noise(rng, 40) * 0.3
    return _finish(rng, np.asarray(tone) * (0.55 + 0.9 * fine[..., None]), 0.08)


def _print_lines(rng: Random, canvas: NDArray[np.float64], ink: Floats, top: int) -> None:
    for row in range(top, SIZE_PX - 36, 22):
        column = 30
        while column < SIZE_PX - 60:
            width = int(rng.integers(12, 48))
            canvas[row : row + 10, column : column + width] = ink
            column += width + 10


def _pixels() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX]
    return y, x


def _cell(rng: Random, row: NDArray[np.int64], column: NDArray[np.int64]) -> NDArray[np.float64]:
    table = rng.random((97, 89))
    return table[row % 97, column % 89]


def _shade(rng: Random, row: NDArray[np.int64], column: NDArray[np.int64], spread: float) -> NDArray[np.float64]:
    return (1 - spread * _cell(rng, row, column))[..., None]


def _ease(fraction: NDArray[np.float64]) -> NDArray[np.float64]:
    return fraction * fraction * (3 - 2 * fraction)


def _finish(rng: Random, canvas: NDArray[np.floating[Any]], grain: float) -> Floats:
    """Add fine grain and keep clear of pure black and white, which no surface reflects."""
    grained = canvas * rng.uniform(1 - grain, 1 + grain, (*canvas.shape[:2], 1))
    return np.clip(grained, 0.02, 0.98).astype(np.float32)
