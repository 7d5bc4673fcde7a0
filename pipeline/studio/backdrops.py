"""What stands behind the sitter: walls, things at several depths, and small lights.

Each theme is one function of a random generator and the depth of its wall; all surfaces glow with their own
picture and face the camera roughly. Depths are z coordinates, negative behind the sitter.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from pipeline.studio import textures
from pipeline.studio.meshes import Floats, Mesh, ellipsoid, rectangle, rotation, tube
from pipeline.studio.surfaces import Surface, glowing
from pipeline.studio.textures import colour

Random = np.random.Generator

CAMERA_Z = 2.2
"""Where the camera ordinarily stands; half-widths of the view are reckoned from it."""
HALF_VIEW = 0.41
"""Half-width of the widest picture at distance one."""
BRIGHTNESS = (0.3, 0.52)
"""Range of the backdrop's brightness: darker than the sitter, as in most portraits that are lit."""
COOL = np.array([0.58, 1.08, 1.25], np.float32)
"""Tint of the backdrop, linear RGB: the light behind is colder than that on the sitter."""


def backdrop(rng: Random, wall_z: float) -> tuple[Surface, ...]:
    """A backdrop of a random theme with its wall at depth `wall_z`."""
    theme = list(THEMES.values())[int(rng.integers(len(THEMES)))]
    return tuple(theme(rng, wall_z))


def brick_lane(rng: Random, wall_z: float) -> list[Surface]:
    """A brick wall with posters before it and lamps on a cable."""
    brick = colour(rng.choice([0.99, 0.02, 0.1, 0.55, 0.6]), rng.uniform(0.2, 0.6), rng.uniform(0.35, 0.75))
    wall = _wall(rng, textures.bricks(rng, brick, [0.75, 0.72, 0.68]), wall_z)
    posters = [_panel(rng, textures.poster(rng), wall_z, 0.25) for _ in range(int(rng.integers(1, 4)))]
    return [wall, *posters, *_festoon(rng, wall_z), *_lights(rng, wall_z, 6, (0.05, 0.14))]


def library(rng: Random, wall_z: float) -> list[Surface]:
    """Book shelves at two depths and reading lamps."""
    wood = colour(rng.uniform(0.04, 0.09), rng.uniform(0.4, 0.65), rng.uniform(0.3, 0.6))
    near = [_panel(rng, textures.shelves(rng, wood), wall_z, 0.5, tilt_deg=0) for _ in range(int(rng.integers(0, 3)))]
    return [_wall(rng, textures.shelves(rng, wood), wall_z), *near, *_lights(rng, wall_z, 14, (0.08, 0.14))]


def night_street(rng: Random, wall_z: float) -> list[Surface]:
    """Dark facades at several depths, lit windows and many coloured lights."""
    surfaces = [_wall(rng, textures.windows(rng, [0.1, 0.11, 0.16], [0.95, 0.8, 0.5], 0.35), wall_z)]
    for _ in range(int(rng.integers(2, 5))):
        facade = colour(rng.random(), rng.uniform(0.15, 0.5), rng.uniform(0.15, 0.4))
        lit = colour(rng.uniform(0.06, 0.16), 0.45, 0.95)
        surfaces.append(_panel(rng, textures.windows(rng, facade, lit, 0.4), wall_z, 0.4, tilt_deg=3))
    return [*surfaces, *_lights(rng, wall_z, 34, None), *_festoon(rng, wall_z)]


def garden(rng: Random, wall_z: float) -> list[Surface]:
    """A hedge, bushes before it, and sun shining through in spots."""
    hue = rng.uniform(0.2, 0.38)
    leaf, gap = colour(hue, rng.uniform(0.4, 0.75), rng.uniform(0.5, 0.85)), colour(hue + 0.04, 0.6, 0.14)
    surfaces = [_wall(rng, textures.foliage(rng, leaf, gap), wall_z)]
    for _ in range(int(rng.integers(2, 6))):
        bush = textures.foliage(rng, colour(hue + rng.uniform(-0.12, 0.05), 0.6, rng.uniform(0.4, 0.9)), gap)
        z = rng.uniform(wall_z * 0.85, -1.2)
        reach = HALF_VIEW * (CAMERA_Z - z)
        size = reach * rng.uniform(0.2, 0.45)
        center = [rng.uniform(-1, 1) * reach, rng.uniform(-0.8, 0.1) * reach, z - size]
        surfaces.append(glowing(ellipsoid(center, [size, size * rng.uniform(0.7, 1.4), size]), bush, dimmed(rng)))
    return [*surfaces, *_lights(rng, wall_z, 26, (0.1, 0.22))]


def market(rng: Random, wall_z: float) -> list[Surface]:
    """Awnings and signs over a paved square, string lights above."""
    tone = colour(rng.random(), rng.uniform(0.35, 0.8), rng.uniform(0.5, 0.85))
    surfaces = [_wall(rng, textures.planks(rng, colour(0.08, 0.4, 0.6)), wall_z), _floor(rng, wall_z)]
    for _ in range(int(rng.integers(2, 5))):
        other = colour(rng.random(), rng.uniform(0.3, 0.8), rng.uniform(0.4, 0.9))
        stripes = textures.awning(rng, [0.93, 0.9, 0.85], tone if rng.random() < 0.5 else other)
        surfaces.append(_panel(rng, stripes, wall_z, 0.35, tilt_deg=6))
    return [*surfaces, *_festoon(rng, wall_z), *_festoon(rng, wall_z), *_lights(rng, wall_z, 8, (0.05, 0.14))]


def cafe(rng: Random, wall_z: float) -> list[Surface]:
    """Tiles, framed pictures and warm lamps."""
    glaze = colour(rng.random(), rng.uniform(0.15, 0.55), rng.uniform(0.5, 0.9))
    surfaces = [_wall(rng, textures.tiles(rng, glaze, glaze * rng.uniform(0.75, 0.95)), wall_z)]
    frames = [textures.painting(rng, colour(0.09, 0.5, 0.35)) for _ in range(int(rng.integers(1, 4)))]
    surfaces += [_panel(rng, frame, wall_z, 0.22, tilt_deg=4) for frame in frames]
    return [*surfaces, *_lights(rng, wall_z, 16, (0.06, 0.13)), *_festoon(rng, wall_z)]


def gallery(rng: Random, wall_z: float) -> list[Surface]:
    """A painted wall hung with pictures, spotlights."""
    wall = _wall(rng, textures.plaster(rng, colour(rng.random(), rng.uniform(0.1, 0.5), rng.uniform(0.45, 0.85))), wall_z)
    pictures = [textures.painting(rng, [0.12, 0.1, 0.08]) for _ in range(int(rng.integers(3, 6)))]
    posters = [textures.poster(rng) for _ in range(int(rng.integers(1, 3)))]
    hung = [_panel(rng, picture, wall_z, 0.3, tilt_deg=3) for picture in pictures + posters]
    return [wall, *hung, *_lights(rng, wall_z, 14, (0.08, 0.16))]


def waterfront(rng: Random, wall_z: float) -> list[Surface]:
    """An evening sky over towers, their lights along the shore."""
    surfaces = [_wall(rng, textures.dusk(rng), wall_z - 1.0, yaw_deg=0)]
    for _ in range(int(rng.integers(5, 9))):
        facade = colour(rng.uniform(0.55, 0.8), rng.uniform(0.2, 0.5), rng.uniform(0.15, 0.4))
        tower = textures.windows(rng, facade, colour(rng.uniform(0.08, 0.15), 0.4, 0.95), rng.uniform(0.2, 0.5))
        z = rng.uniform(wall_z, wall_z * 0.6)
        reach = HALF_VIEW * (CAMERA_Z - z)
        width, height = reach * rng.uniform(0.2, 0.45), reach * rng.uniform(1.3, 2.3)
        mesh = rectangle(width, height).placed(np.eye(3), [rng.uniform(-1, 1) * reach, -reach * 0.85, z])
        surfaces.append(glowing(mesh, tower[:, :256], dimmed(rng)))
    return [*surfaces, *_lights(rng, wall_z, 30, None)]


THEMES: dict[str, Callable[[Random, float], list[Surface]]] = {
    "brick_lane": brick_lane,
    "library": library,
    "night_street": night_street,
    "garden": garden,
    "market": market,
    "cafe": cafe,
    "gallery": gallery,
    "waterfront": waterfront,
}


def _wall(rng: Random, look: Floats, wall_z: float, yaw_deg: float | None = None) -> Surface:
    """A wall that fills the view, its picture repeated four times so that it keeps fine detail."""
    side = (CAMERA_Z - wall_z) * HALF_VIEW * 3.4
    yaw = rng.uniform(-14, 14) if yaw_deg is None else yaw_deg
    mesh = rectangle(side, side).placed(rotation(0, yaw, 0), [0, 0.1, wall_z])
    repeated = look if yaw_deg is not None else np.tile(look, (2, 2, 1))
    return glowing(mesh, repeated, dimmed(rng))


def dimmed(rng: Random) -> Floats:
    """Brightness of one thing in the backdrop, linear RGB."""
    return COOL * np.float32(rng.uniform(*BRIGHTNESS))


def _floor(rng: Random, wall_z: float) -> Surface:
    paving = textures.tiles(rng, colour(0.09, 0.15, 0.62), colour(0.08, 0.2, 0.42))
    depth = CAMERA_Z - wall_z
    mesh = rectangle(depth * 2, depth).placed(rotation(-90), [0, rng.uniform(-1.15, -0.85), wall_z + depth / 2 - 1])
    return glowing(mesh, np.tile(paving, (2, 4, 1)), dimmed(rng))


def _panel(rng: Random, look: Floats, wall_z: float, size: float, tilt_deg: float = 12) -> Surface:
    """Something flat that hangs or stands between the sitter and the wall."""
    z = rng.uniform(wall_z * 0.9, min(-1.0, wall_z * 0.4))
    reach = HALF_VIEW * (CAMERA_Z - z)
    width, height = reach * size * rng.uniform(0.7, 1.4), reach * size * rng.uniform(1.0, 2.2)
    side = rng.choice([-1.0, 1.0])
    center = [side * rng.uniform(0.3, 0.95) * reach, rng.uniform(-0.5, 0.75) * reach, z]
    turn = rotation(0, rng.uniform(-15, 15), rng.uniform(-tilt_deg, tilt_deg))
    crop = look if height < 1.5 * width else look[:, : textures.SIZE_PX * 2 // 3]
    return glowing(rectangle(width, height).placed(turn, center), crop, dimmed(rng))


def _festoon(rng: Random, wall_z: float) -> list[Surface]:
    """Bulbs on a sagging cable across the view."""
    z = rng.uniform(wall_z * 0.85, -1.1)
    distance = CAMERA_Z - z
    reach = HALF_VIEW * distance * 1.15
    height, sag, slope = rng.uniform(0.25, 0.75) * reach, rng.uniform(0.08, 0.3) * reach, rng.uniform(-0.2, 0.2)
    across = np.linspace(-1, 1, 25)
    cable = np.stack([across * reach, height - sag * (1 - across**2) + slope * reach * across, z + 0 * across], 1)
    tone = colour(rng.uniform(0.07, 0.13), rng.uniform(0.25, 0.6), 1.0)
    step = int(rng.choice([1, 2]))
    bulbs = [_bulb(point - [0, 0.012 * distance, 0], distance * rng.uniform(0.008, 0.0105)) for point in cable[::step]]
    brightness = rng.uniform(2.0, 4.0)
    lit = [glowing(bulb, tone, brightness) for bulb in bulbs]
    return [glowing(tube(cable, 0.002 * distance, 6), [0.06, 0.06, 0.07]), *lit]


def _lights(rng: Random, wall_z: float, count: int, hues: tuple[float, float] | None) -> list[Surface]:
    """Scattered small lights; `hues` None lets every colour in."""
    lights = []
    for _ in range(int(rng.integers(count // 2, count + 1))):
        z = rng.uniform(wall_z + 0.1, min(-1.2, wall_z * 0.5))
        distance = CAMERA_Z - z
        reach = HALF_VIEW * distance
        center = np.array([rng.uniform(-1, 1) * reach, rng.uniform(-0.45, 0.95) * reach, z])
        hue = rng.uniform(*hues) if hues else rng.choice([0.0, 0.08, 0.12, 0.14, 0.4, 0.55, 0.62, 0.9])
        tone = colour(hue, rng.uniform(0.15, 0.7), 1.0)
        lights.append(glowing(_bulb(center, distance * rng.uniform(0.006, 0.0115)), tone, rng.uniform(1.8, 4.0)))
    return lights


def _bulb(center: ArrayLike, radius: float) -> Mesh:
    return ellipsoid(center, [radius] * 3, 16)
