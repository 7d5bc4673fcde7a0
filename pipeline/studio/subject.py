"""The sitter: a person-like bust with varied pose, build, skin, hair, headwear, glasses and clothes.

The bust is built around its own origin, between the chin and the shoulders; the head is about 0.54 units
high. `sitter` poses it and returns surfaces in scene coordinates.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.studio import textures
from pipeline.studio.meshes import Floats, Mesh, ellipsoid, lathe, rotation, tube
from pipeline.studio.surfaces import Surface, glowing, matte, mattes, parts

Random = np.random.Generator
Reals = NDArray[np.float64]

HEAD_CENTER = np.array([0.0, 0.15, 0.0])
HEAD_RADII = np.array([0.2, 0.27, 0.22])
NECK = np.array([0.0, -0.1, -0.03])
"""The head turns about this point."""
FACE_DEPTH = 0.21
"""How far the eyes stand before the bust's own origin."""

SKIN_TONES = ["#f6d7c3", "#eec1a0", "#e0ac87", "#c98f6a", "#a8714d", "#8a5c40", "#6d4835", "#d9a98c"]
HAIR_TONES = ["#17110f", "#2d1c13", "#4f301c", "#7a4a26", "#b98a4a", "#dcc07f", "#8f3b1e", "#9a9a9c", "#d9d6d0"]
PEARL = [0.93, 0.92, 0.9]
IRIS_TONES = ["#4a2f1d", "#6b4a26", "#3f6a4a", "#3c6b93", "#5b6670", "#2c1c14"]
HAIR_STYLES = ["short", "short", "long", "long", "bob", "buns", "curls", "afro", "ponytail", "bald"]
HAIR_UNDER_HATS = ["long under hat", "bob under hat", "cropped"]
HEADWEAR = ["nothing"] * 10 + ["beanie", "headscarf", "cap"]


@dataclass(frozen=True)
class Tones:
    """The sitter's colours in sRGB."""

    skin: Floats
    hair: Floats
    iris: Floats


def sitter(rng: Random, position: ArrayLike, scale: float) -> tuple[Surface, ...]:
    """One sitter at `position`, `scale` times the ordinary size."""
    tones = Tones(*(_pick(rng, tones) for tones in (SKIN_TONES, HAIR_TONES, IRIS_TONES)))
    turn = rotation(rng.uniform(-7, 7), rng.uniform(-32, 32), rng.uniform(-9, 9))
    body_turn = rotation(0, rng.uniform(-18, 18), rng.uniform(-2, 2))
    wears = str(rng.choice(HEADWEAR))
    head = [*parts(_face(rng, tones), "skin"), *_head_top(rng, tones, wears), *parts(_glasses(rng), "skin")]
    if wears != "headscarf":
        head += _beard(rng, tones)
    at = np.asarray(position, np.float64)
    return tuple(
        [surface.placed(turn, at + scale * (NECK - turn @ NECK), scale) for surface in head]
        + [surface.placed(body_turn, at, scale) for surface in _body(rng, tones)]
    )


def _pick(rng: Random, hex_tones: list[str]) -> Floats:
    code = hex_tones[int(rng.integers(len(hex_tones)))].lstrip("#")
    tone = np.array([int(code[k : k + 2], 16) for k in (0, 2, 4)]) / 255
    return np.clip(tone * rng.uniform(0.94, 1.06, 3), 0.02, 0.98).astype(np.float32)


def _jaw(mesh: Mesh, strength: float) -> Mesh:
    """Narrow a head-shaped mesh below its middle, so that it gets a jaw and a chin."""
    below = np.clip((HEAD_CENTER[1] - mesh.vertices[:, 1]) / HEAD_RADII[1], 0, 1.2)
    vertices = mesh.vertices.copy()
    vertices[:, 0] *= 1 - strength * below**1.6
    vertices[:, 2] += 0.02 * below
    return replace(mesh, vertices=vertices.astype(np.float32))


def _on_face(x: float, y: float, jaw: float) -> Floats:
    """The point of the face's surface in front of (x, y)."""
    below = float(np.clip((HEAD_CENTER[1] - y) / HEAD_RADII[1], 0, 1.2))
    across = x / (HEAD_RADII[0] * (1 - jaw * below**1.6))
    up = (y - HEAD_CENTER[1]) / HEAD_RADII[1]
    z = HEAD_RADII[2] * np.sqrt(max(1 - across**2 - up**2, 0.0)) + 0.02 * below
    return np.array([x, y, z], np.float32)


def _face(rng: Random, tones: Tones) -> list[Surface]:
    jaw = rng.uniform(0.12, 0.3)
    head = _jaw(ellipsoid(HEAD_CENTER, HEAD_RADII, 48), jaw)
    nose_width, nose_length = rng.uniform(0.8, 1.25), rng.uniform(0.85, 1.2)
    tip = _on_face(0, 0.105, jaw)
    nose = [
        ellipsoid(np.add(tip, [0, 0.045, -0.004]), [0.019, 0.065 * nose_length, 0.028]),
        ellipsoid(np.add(tip, [0, 0, 0.012]), [0.028 * nose_width, 0.024, 0.03]),
        *(ellipsoid(np.add(tip, [s * 0.022 * nose_width, -0.003, 0]), [0.015, 0.014, 0.02]) for s in (-1, 1)),
    ]
    ears = [ellipsoid([s * 0.2, 0.14, -0.01], [0.03, 0.058, 0.04]) for s in (-1, 1)]
    lids = [ellipsoid(np.add(_on_face(s * 0.075, 0.198, jaw), [0, 0.006, -0.012]), [0.044, 0.03, 0.022]) for s in (-1, 1)]
    return [
        matte(head, textures.skin(rng, tones.skin)),
        *mattes([*nose, *ears, *lids], tones.skin * 0.97),
        *_eyes(rng, tones, jaw),
        *_mouth(rng, tones, jaw),
    ]


def _eyes(rng: Random, tones: Tones, jaw: float) -> list[Surface]:
    open_height, iris = rng.uniform(0.018, 0.025), rng.uniform(0.0165, 0.02)
    gaze = rng.uniform(-0.008, 0.008)
    whites, irises, pupils, glints, lashes, brows = [], [], [], [], [], []
    brow_height, brow_tilt = rng.uniform(0.04, 0.055), rng.uniform(-0.2, 0.35)
    for side in (-1, 1):
        center = _on_face(side * 0.075, 0.19, jaw)
        whites.append(ellipsoid(np.add(center, [0, 0, 0.0]), [0.037, open_height, 0.02]))
        irises.append(ellipsoid(np.add(center, [gaze, 0, 0.013]), [iris, min(iris, open_height), 0.011]))
        pupils.append(ellipsoid(np.add(center, [gaze, 0, 0.0195]), [iris * 0.5, iris * 0.5, 0.006]))
        glints.append(ellipsoid(np.add(center, [gaze + 0.006, 0.006, 0.0235]), [0.0042, 0.0042, 0.003], 12))
        across = np.linspace(-1, 1, 12)
        lashes.append(tube(np.add(center, _lash_line(across, open_height)), 0.0052))
        outward = side * across
        brows.append(tube(np.add(center, _brow_line(across, outward, brow_height, brow_tilt)), _brow_width(outward)))
    return [
        *mattes(whites, [0.95, 0.94, 0.92]),
        *mattes(irises, tones.iris),
        *mattes(pupils, [0.02, 0.02, 0.02]),
        *(glowing(glint, [1.0, 1.0, 1.0]) for glint in glints),
        *mattes(lashes, [0.09, 0.06, 0.05]),
        *mattes(brows, np.clip(tones.hair * 0.7, 0.05, 0.8)),
    ]


def _lash_line(across: Reals, open_height: float) -> Reals:
    """The upper lid's edge about the eye's centre; `across` runs from -1 to 1."""
    return np.stack([across * 0.041, open_height * (1.05 - 0.75 * across**2), 0.012 - 0.012 * across**2], 1)


def _brow_line(across: Reals, outward: Reals, height: float, tilt: float) -> Reals:
    """An arched brow about the eye's centre; `outward` is 1 at the temple."""
    up = height + 0.012 * (1 - across**2) - outward * 0.012 * tilt
    return np.stack([across * 0.045, up, 0.012 - 0.02 * (outward + 1) ** 2 / 4], 1)


def _brow_width(outward: Reals) -> Reals:
    return 0.0085 * (1.15 - 0.55 * (outward + 1) / 2)


def _mouth(rng: Random, tones: Tones, jaw: float) -> list[Surface]:
    width, smile = rng.uniform(0.045, 0.068), rng.uniform(0.2, 1.0)
    across = np.linspace(-1, 1, 16)
    curve = np.array([_on_face(t * width, 0.018 + smile * 0.022 * t * t, jaw) for t in across])
    lips = tones.skin * np.array([0.9, 0.55, 0.55], np.float32) * rng.uniform(0.85, 1.05)
    if rng.random() < 0.25:
        lips = textures.colour(rng.uniform(0.95, 1.02), 0.75, 0.65)
    fullness = rng.uniform(0.009, 0.015) * (1.1 - across**2 * 0.75)
    low = tube(np.add(curve, [0, -0.008, 0.002]), fullness)
    high = tube(np.add(curve, [0, 0.006, 0.0]), fullness * 0.75)
    line = tube(np.add(curve, [0, -0.0005, 0.0115]), 0.0035 * (1.1 - across**2 * 0.5))
    return [*mattes([low, high], np.clip(lips, 0.02, 0.98)), matte(line, np.clip(lips * 0.4, 0.02, 1))]


def _beard(rng: Random, tones: Tones) -> list[Surface]:
    if rng.random() >= 0.16:
        return []
    fringe = _jaw(ellipsoid([0, 0.145, 0.0], HEAD_RADII * [1.06, 1.1, 1.09], 64), 0.2)
    x, y, z = fringe.vertices.T
    mouth = (x / 0.075) ** 2 + ((y - 0.02) / 0.03) ** 2 < 1
    above = y > 0.075 - 0.35 * np.clip(0.12 - np.abs(x), -0.1, 0.1) - 0.03
    return parts([matte(fringe.without(mouth | above | (z < -0.03)), textures.strands(rng, tones.hair * 0.95))], "hair")


def _head_top(rng: Random, tones: Tones, wears: str) -> list[Surface]:
    if wears == "headscarf":
        return parts(_headscarf(rng), "clothes")
    if wears == "nothing":
        return _hair(rng, tones, str(rng.choice(HAIR_STYLES)))
    hat = _beanie(rng) if wears == "beanie" else _cap(rng)
    return parts(hat, "clothes") + _hair(rng, tones, str(rng.choice(HAIR_UNDER_HATS)))


def _hair(rng: Random, tones: Tones, style: str) -> list[Surface]:
    """One hair style: a scalp, and the locks that hang over it or stand out."""
    if style == "bald":
        return []
    scalp = ellipsoid([0, 0.225, -0.045], [0.222, 0.245, 0.215], 48)
    look = textures.strands(rng, tones.hair)
    # A lock is a small part of a head: it shows few strands.
    return parts([matte(scalp, look), *mattes(_locks(rng, style), look[:96, :96])], "hair")


def _locks(rng: Random, style: str) -> list[Mesh]:
    if style == "afro":
        return _tufts(rng, 90, 0.27, (0.06, 0.1))
    if style == "curls":
        return [*_tufts(rng, 70, 0.225, (0.035, 0.06)), *_hanging_curls(rng)]
    if style == "cropped":
        return []
    if style.startswith(("long", "bob")):
        curtain = _curtain(rng, rng.uniform(0.42, 0.62) if style.startswith("long") else rng.uniform(0.2, 0.3))
        return curtain if style.endswith("under hat") else [*_fringe(rng), *curtain]
    if style == "buns":
        spots = [0.0] if rng.random() < 0.6 else [-0.15, 0.15]
        return [*_fringe(rng), *(ellipsoid([x, 0.5 - abs(x) * 0.35, -0.07], [0.1, 0.095, 0.1]) for x in spots)]
    return [*_fringe(rng), *([_ponytail(rng)] if style == "ponytail" else [])]


def _ponytail(rng: Random) -> Mesh:
    side, t = rng.choice([-1.0, 1.0]), np.linspace(0, 1, 16)
    path = [side * (0.02 + 0.24 * np.sin(2.4 * t)), 0.38 - 0.75 * t**1.3, -0.2 - 0.06 * np.sin(3 * t)]
    return tube(np.stack(path, 1), 0.075 * np.sin(np.linspace(0.5, 2.9, 16)) + 0.012)


def _fringe(rng: Random) -> list[Mesh]:
    parting = rng.uniform(-0.8, 0.8)
    locks = []
    for start in np.linspace(-1, 1, 11):
        away = 0.35 * np.sign(start - parting) * rng.uniform(0.5, 1.1)
        length = rng.uniform(0.85, 1.15)
        path = []
        for t in np.linspace(0, 1, 9):
            angle = 1.25 * start + away * t
            up = 0.95 - 0.55 * t * length
            ring = np.sqrt(max(1 - up * up, 0.05))
            path.append([0.225 * np.sin(angle) * ring, 0.2 + 0.25 * up, -0.03 + 0.245 * np.cos(angle) * ring])
        locks.append(tube(np.array(path), 0.032 * np.sin(np.linspace(0.9, 3.0, 9)) + 0.006, 10))
    return locks


def _tufts(rng: Random, count: int, reach: float, size: tuple[float, float]) -> list[Mesh]:
    """Balls of hair over the scalp, spread evenly by the golden angle, the face left free."""
    tufts = []
    for k in range(count):
        up = 1 - 1.45 * (k + 0.5) / count
        ring, angle = np.sqrt(1 - up * up), k * 2.39996 + rng.uniform(-0.2, 0.2)
        x, z = ring * np.sin(angle), ring * np.cos(angle)
        if z > 0.25 and up < 0.72:
            continue
        center = np.array([0, 0.21, -0.04]) + reach * np.array([x * 0.95, up, z * 0.9])
        tufts.append(ellipsoid(center, rng.uniform(*size, 3), 20))
    return tufts


def _hanging_curls(rng: Random) -> list[Mesh]:
    curls = []
    for _ in range(34):
        angle = rng.uniform(0.9, 2 * np.pi - 0.9)
        drop = rng.uniform(-0.25, 0.15)
        center = [0.23 * np.sin(angle), drop, 0.2 * np.cos(angle) - 0.06]
        curls.append(ellipsoid(center, rng.uniform(0.035, 0.06, 3), 16))
    return curls


def _curtain(rng: Random, length: float) -> list[Mesh]:
    """Hair that falls beside and behind the face, thick locks side by side."""
    locks = []
    for angle in np.linspace(1.15, 2 * np.pi - 1.15, 22):
        wave, phase = rng.uniform(0.0, 0.02), rng.uniform(0, 6)
        path = []
        for t in np.linspace(0, 1, 14):
            ring = 0.215 * (1 + 0.12 * t) + wave * np.sin(5 * t + phase)
            path.append([ring * np.sin(angle), 0.3 - (length + 0.12) * t, 0.19 * np.cos(angle) - 0.05])
        locks.append(tube(np.array(path), 0.042 * np.sin(np.linspace(0.7, 2.95, 14)) + 0.012, 10))
    return locks


def _beanie(rng: Random) -> list[Surface]:
    tone = textures.colour(rng.random(), rng.uniform(0.3, 0.85), rng.uniform(0.3, 0.85))
    dome = ellipsoid([0, 0.27, -0.035], [0.245, 0.24, 0.245], 48)
    dome = dome.without(dome.vertices[:, 1] < 0.25)
    circle = np.linspace(0, 2 * np.pi, 48)
    cuff = tube(np.stack([0.242 * np.sin(circle), 0.285 + 0.02 * np.cos(circle), -0.035 + 0.24 * np.cos(circle)], 1), 0.034)
    worn = [matte(dome, textures.knit(rng, tone)), matte(cuff, textures.knit(rng, tone * 0.75))]
    if rng.random() < 0.6:
        pompom = ellipsoid([0, 0.53, -0.05], [0.07, 0.065, 0.07])
        worn.append(matte(pompom, textures.knit(rng, np.clip(tone + 0.35, 0, 0.95))))
    return worn


def _cap(rng: Random) -> list[Surface]:
    tone = textures.colour(rng.random(), rng.uniform(0.2, 0.9), rng.uniform(0.2, 0.85))
    dome = ellipsoid([0, 0.26, -0.035], [0.235, 0.225, 0.24], 48)
    dome = dome.without(dome.vertices[:, 1] < 0.26)
    brim = ellipsoid([0, 0.285, 0.2], [0.18, 0.016, 0.15])
    return [matte(dome, textures.knit(rng, tone)), matte(brim, tone * 0.7)]


def _headscarf(rng: Random) -> list[Surface]:
    tone = textures.colour(rng.random(), rng.uniform(0.2, 0.75), rng.uniform(0.35, 0.95))
    hood = ellipsoid([0, 0.16, -0.03], [0.25, 0.315, 0.265], 96)
    x, y, z = hood.vertices.T
    hood = hood.without((z > 0) & ((x / 0.172) ** 2 + ((y - 0.12) / 0.215) ** 2 < 1))
    angle = np.linspace(0, 2 * np.pi, 40)
    across, up = 0.168 * np.sin(angle), np.cos(angle)
    rim = tube(np.stack([across, 0.12 + 0.212 * up, 0.165 - 0.45 * across**2 * 5 - 0.03 * up], 1), 0.02)
    y = np.linspace(-0.42, 0.05, 16)
    spread = 0.14 + 0.17 * np.clip(-y / 0.42, 0, 1) ** 0.8
    drape = lathe(y, spread, spread * 0.8).placed(np.eye(3), [0, 0, -0.03])
    return mattes([hood, rim, drape], textures.plaster(rng, tone))


def _glasses(rng: Random) -> list[Surface]:
    kind = rng.random()
    if kind > 0.38:
        return []
    frame = [0.04, 0.035, 0.03] if rng.random() < 0.5 else textures.colour(rng.random(), 0.6, 0.45)
    width, height = rng.uniform(0.05, 0.062), rng.uniform(0.038, 0.056)
    rounding = rng.choice([2.0, 3.0, 4.0])
    angle = np.linspace(0, 2 * np.pi, 40)
    cos, sin = np.cos(angle), np.sin(angle)
    rims, lenses = [], []
    for side in (-1, 1):
        x = side * 0.076 + width * np.sign(cos) * np.abs(cos) ** (2 / rounding)
        y = 0.185 + height * np.sign(sin) * np.abs(sin) ** (2 / rounding)
        rims.append(tube(np.stack([x, y, 0.235 - 0.9 * x * x], 1), 0.0058))
        rims.append(tube([[side * 0.135, 0.195, 0.222], [side * 0.2, 0.19, 0.12], [side * 0.222, 0.18, -0.02]], 0.006))
        lenses.append(ellipsoid([side * 0.076, 0.185, 0.226], [width, height, 0.004]))
    rims.append(tube([[-0.026, 0.19, 0.236], [0, 0.197, 0.242], [0.026, 0.19, 0.236]], 0.006))
    worn = mattes(rims, frame)
    return [*worn, *mattes(lenses, [0.1, 0.1, 0.12])] if kind < 0.09 else worn


def _body(rng: Random, tones: Tones) -> list[Surface]:
    shoulder, slope, depth = rng.uniform(0.44, 0.53), rng.uniform(1.7, 2.6), rng.uniform(0.19, 0.24)
    top = -0.17
    y = np.concatenate([np.linspace(-1.9, -0.75, 12), np.linspace(-0.72, top, 30)])
    fall = np.clip((top - y) / 0.4, 0, 1)
    half_width = 0.115 + (shoulder - 0.115) * (1 - (1 - fall) ** slope)
    half_depth = 0.115 + (depth - 0.115) * (1 - (1 - fall) ** 1.6)
    torso = lathe(y, half_width, half_depth).placed(np.eye(3), [0, 0, -0.05])
    arms = [
        ellipsoid([side * (shoulder - 0.03), -1.36, -0.05], [0.12, 0.85, 0.13]).placed(rotation(0, 0, side * 3), [0, 0, 0])
        for side in (-1, 1)
    ]
    fabric = textures.cloth(rng)
    neck = ellipsoid([0, -0.12, -0.03], [0.1 * rng.uniform(0.9, 1.15), 0.24, 0.105])
    worn = [
        matte(torso, np.tile(fabric[::2, ::2], (2, 4, 1))),
        *mattes(arms, np.tile(fabric[::2, ::2], (2, 1, 1))),
        *_neckline(rng, fabric),
    ]
    return [*parts([matte(neck, tones.skin * 0.94)], "skin"), *parts(worn, "clothes")]


def _neckline(rng: Random, fabric: Floats) -> list[Surface]:
    """A collar, a scarf, a turtleneck, a hood or a necklace."""
    kind = str(rng.choice(["crew", "crew", "scarf", "turtleneck", "hood", "necklace", "shirt"]))
    trim = np.clip(fabric.mean((0, 1)) * rng.uniform(0.6, 0.85), 0.03, 0.95)
    if kind == "scarf":
        return _scarf(rng)
    if kind == "turtleneck":
        rolls = [_ring((0.118 + 0.01 * k, 0.12 + 0.01 * k), -0.12 - 0.045 * k, -0.035, 0.03) for k in range(3)]
        return mattes(rolls, textures.knit(rng, trim))
    if kind == "hood":
        return _hood(fabric)
    if kind == "shirt":
        return _shirt_collar(trim)
    collar = matte(_ring((0.128, 0.128), -0.185, -0.045, 0.024), trim)
    return [collar] if kind == "crew" else [collar, *_necklace(rng)]


def _ring(half_widths: tuple[float, float], y: float | Reals, z: float, thickness: float) -> Mesh:
    """A tube around the neck."""
    angle = np.linspace(0, 2 * np.pi, 48)
    width, depth = half_widths
    return tube(np.stack([np.sin(angle) * width, y + 0 * angle, np.cos(angle) * depth + z], 1), thickness)


def _scarf(rng: Random) -> list[Surface]:
    tone = textures.colour(rng.random(), rng.uniform(0.3, 0.8), rng.uniform(0.35, 0.9))
    rolls = [_ring((0.16 + 0.015 * k, 0.155 + 0.015 * k), -0.13 - 0.055 * k, -0.03, 0.05) for k in range(2)]
    end = tube([[0.09, -0.16, 0.12], [0.1, -0.35, 0.2], [0.11, -0.75, 0.2]], [0.05, 0.065, 0.06])
    return mattes([*rolls, end], textures.knit(rng, tone))


def _hood(fabric: Floats) -> list[Surface]:
    """A hood that lies on the shoulders, with its strings."""
    roll = _ring((0.185, 0.15), -0.19 - 0.03 * np.cos(np.linspace(0, 2 * np.pi, 48)), -0.07, 0.06)
    paths = [[[s * 0.07, -0.22, 0.14], [s * 0.075, -0.33, 0.175], [s * 0.07, -0.47, 0.19]] for s in (-1, 1)]
    return [matte(roll, fabric), *mattes([tube(path, 0.008) for path in paths], PEARL)]


def _shirt_collar(trim: Floats) -> list[Surface]:
    flaps = []
    for side in (-1, 1):
        path = np.array([[0.115, -0.12, -0.06], [0.1, -0.16, 0.06], [0.035, -0.215, 0.115], [0.075, -0.29, 0.14]])
        flaps.append(tube(path * [side, 1, 1], [0.03, 0.036, 0.034, 0.012]))
    places = [(-0.33, 0.155), (-0.46, 0.185), (-0.59, 0.185)]
    buttons = [ellipsoid([0, y, z], [0.012, 0.012, 0.02], 12) for y, z in places]
    return [*mattes(flaps, np.clip(trim * 1.3, 0.03, 0.97)), *mattes(buttons, PEARL)]


def _necklace(rng: Random) -> list[Surface]:
    beads = []
    for angle in np.linspace(0, 2 * np.pi, 48)[:-1]:
        front = np.cos(angle)
        sag = 0.06 * front**2 * (front > 0)
        beads.append(ellipsoid([0.15 * np.sin(angle), -0.215 - sag, -0.03 + 0.165 * front], [0.014] * 3, 12))
    return mattes(beads, textures.colour(rng.random(), 0.45, 0.9))
