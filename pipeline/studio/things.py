"""Things at many distances: before the sitter, beside and behind, so that a scene is more than figure and ground.

A table's edge with something on it and leaves stand in front; a floor, a slanted wall, lamps on poles, pots and a second
person behind. Lengths in scene units, the sitter near z = 0, the camera at `CAMERA_Z`.
"""

from collections.abc import Callable

import numpy as np

from pipeline.studio import subject, textures
from pipeline.studio.backdrops import CAMERA_Z, dimmed
from pipeline.studio.meshes import Floats, ellipsoid, lathe, rectangle, rotation, tube
from pipeline.studio.surfaces import Surface, glowing, matte
from pipeline.studio.textures import colour

Random = np.random.Generator

NEAREST_BEHIND_Z, SITTER_FRONT_Z = -0.7, 0.42
"""Where room for things begins behind the sitter, and where it ends before: in between are arms and knees."""
VIEW = 0.31
"""Half-height of an ordinary picture at distance one."""
FLOOR_Y = (-1.15, -0.9)


def things(rng: Random, wall_z: float) -> tuple[tuple[Surface, ...], tuple[Surface, ...]]:
    """What stands before the sitter, and what stands between the sitter and a wall at `wall_z`."""
    before, behind = rng.spawn(2)
    return tuple(_before(before)), tuple(_behind(behind, wall_z))


# --- before the sitter -------------------------------------------------------------------------------------------------


def _before(rng: Random) -> list[Surface]:
    """A table in most scenes, leaves in some, at times neither."""
    table = _table(rng) if rng.random() < 0.7 else []
    leaves = _leaves(rng) if rng.random() < 0.45 else []
    return [*table, *leaves]


def _table(rng: Random) -> list[Surface]:
    """The far edge of a table top, which comes towards the camera, and what stands on it."""
    top_y, far_z, near_z = rng.uniform(-0.42, -0.28), rng.uniform(SITTER_FRONT_Z, 0.6), 1.45
    wood = colour(rng.uniform(0.04, 0.1), rng.uniform(0.25, 0.65), rng.uniform(0.35, 0.8))
    look = textures.planks(rng, wood)
    middle = [rng.uniform(-0.35, 0.35), top_y, (far_z + near_z) / 2]
    flat = rotation(-90) @ rotation(0, 0, rng.uniform(-8, 8))
    top = matte(rectangle(rng.uniform(0.9, 1.8), near_z - far_z).placed(flat, middle), look)
    count = int(rng.integers(1, 4))
    return [top, *(_on_table(rng, top_y, far_z + 0.08 + 0.16 * number) for number in range(count))]


def _on_table(rng: Random, top_y: float, z: float) -> Surface:
    """A cup, a bottle or a bowl."""
    kind = int(rng.integers(3))
    height, width = ((0.1, 0.045), (0.26, 0.035), (0.06, 0.09))[kind]
    profile = np.array(((0.85, 0.95, 1.0, 1.0), (1.0, 1.0, 0.45, 0.4), (0.5, 0.85, 0.98, 1.0))[kind])
    heights, radii = np.array([0, 0.35, 0.8, 1.0]) * height, profile * width
    x = rng.uniform(-0.85, 0.85) * VIEW * (CAMERA_Z - z)
    mesh = lathe(np.append(heights, height), np.append(radii, 0.001), np.append(radii, 0.001))
    return matte(mesh.placed(np.eye(3), [x, top_y, z]), colour(rng.random(), rng.uniform(0.1, 0.8), rng.uniform(0.3, 0.95)))


def _leaves(rng: Random) -> list[Surface]:
    """A twig that reaches into a corner, much nearer than the sitter."""
    side, z = rng.choice([-1.0, 1.0]), rng.uniform(0.75, 1.25)
    reach = VIEW * (CAMERA_Z - z)
    leaf, start = colour(rng.uniform(0.18, 0.36), rng.uniform(0.4, 0.8), rng.uniform(0.3, 0.7)), rng.uniform(-0.2, 0.9)
    path = np.linspace([side * reach * 1.3, start * reach, z], [side * reach * 0.45, start * reach - 0.1, z + 0.08], 9)
    blades = []
    for point in path[1:]:
        turn = rotation(rng.uniform(-50, 50), rng.uniform(-50, 50), rng.uniform(0, 180))
        blade = ellipsoid([0.028, 0, 0], [0.035, 0.014, 0.003], 16).placed(turn, point)
        blades.append(matte(blade, leaf * rng.uniform(0.7, 1.2)))
    return [matte(tube(path, 0.004, 6), leaf * 0.5), *blades]


# --- behind the sitter -------------------------------------------------------------------------------------------------


def _behind(rng: Random, wall_z: float) -> list[Surface]:
    """A floor always; of the rest some, each kind in more than half of the scenes."""
    floor_y = rng.uniform(*FLOOR_Y)
    kinds: list[Callable[[Random, float, float], list[Surface]]] = [_side_wall, _poles, _pots, _second_person]
    chosen = [kind for kind in kinds if rng.random() < 0.65] or [_second_person]
    return [_floor(rng, wall_z, floor_y), *(surface for kind in chosen for surface in kind(rng, wall_z, floor_y))]


def _floor(rng: Random, wall_z: float, floor_y: float) -> Surface:
    """Paving or boards from under the sitter to behind the wall."""
    stone = colour(rng.uniform(0.05, 0.6), rng.uniform(0.05, 0.25), rng.uniform(0.4, 0.8))
    look = textures.planks(rng, stone) if rng.random() < 0.5 else textures.tiles(rng, stone, stone * rng.uniform(0.6, 0.9))
    length = CAMERA_Z - wall_z
    mesh = rectangle(length * 2, length).placed(rotation(-90), [0, floor_y, wall_z - 0.8 + length / 2])
    return glowing(mesh, np.tile(look, (2, 4, 1)), dimmed(rng))


def _side_wall(rng: Random, wall_z: float, floor_y: float) -> list[Surface]:
    """A wall that runs from beside the sitter into the depth, seen aslant."""
    side, near_z = rng.choice([-1.0, 1.0]), rng.uniform(-1.2, NEAREST_BEHIND_Z)
    start = np.array([side * rng.uniform(0.85, 1.05) * VIEW * (CAMERA_Z - near_z), near_z])
    end = np.array([side * rng.uniform(0.35, 0.8) * VIEW * (CAMERA_Z - wall_z), wall_z])
    length, height = float(np.linalg.norm(end - start)), 4.0
    yaw_deg = np.degrees(np.arctan2(start[1] - end[1], side * (start[0] - end[0]))) * -side
    tone = colour(rng.random(), rng.uniform(0.1, 0.5), rng.uniform(0.45, 0.85))
    look = textures.bricks(rng, tone, [0.75, 0.72, 0.68]) if rng.random() < 0.5 else textures.plaster(rng, tone)
    middle = (start + end) / 2
    mesh = rectangle(length, height).placed(rotation(0, yaw_deg), [middle[0], floor_y + height / 2, middle[1]])
    return [glowing(mesh, np.tile(look, (2, 2, 1)), dimmed(rng))]


def _poles(rng: Random, wall_z: float, floor_y: float) -> list[Surface]:
    """Lamps on poles, one behind the other."""
    tone, glow = colour(rng.uniform(0.06, 0.15), rng.uniform(0.2, 0.6), 1.0), rng.uniform(2.0, 4.0)
    surfaces = []
    for z in _distances(rng, wall_z, int(rng.integers(2, 5))):
        reach = VIEW * (CAMERA_Z - z)
        x, top = rng.uniform(0.25, 0.95) * rng.choice([-1.0, 1.0]) * reach, rng.uniform(0.2, 0.8) * reach
        pole = tube(np.linspace([x, floor_y, z], [x, top, z], 4), 0.02)
        bulb = ellipsoid([x, top, z], [0.02 * (CAMERA_Z - z) ** 0.5] * 3, 16)
        surfaces += [matte(pole, [0.2, 0.2, 0.22]), glowing(bulb, tone, glow)]
    return surfaces


def _pots(rng: Random, wall_z: float, floor_y: float) -> list[Surface]:
    """Pots with round bushes, on the floor at several distances."""
    surfaces = []
    for z in _distances(rng, wall_z, int(rng.integers(2, 5))):
        x = rng.uniform(0.3, 0.95) * rng.choice([-1.0, 1.0]) * VIEW * (CAMERA_Z - z)
        size = rng.uniform(0.16, 0.3)
        leaf = colour(rng.uniform(0.2, 0.38), rng.uniform(0.4, 0.7), rng.uniform(0.4, 0.8))
        bush = textures.foliage(rng, leaf, leaf * 0.2)
        pot = lathe([0, 0.3, 0.55, 0.56], np.array([0.6, 0.8, 0.9, 0.01]) * size, np.array([0.6, 0.8, 0.9, 0.01]) * size)
        surfaces += [
            matte(pot.placed(np.eye(3), [x, floor_y, z]), colour(0.05, rng.uniform(0.2, 0.7), rng.uniform(0.4, 0.8))),
            glowing(ellipsoid([x, floor_y + 0.5 + size, z], [size, size * rng.uniform(1, 1.8), size]), bush, dimmed(rng)),
        ]
    return surfaces


def _second_person(rng: Random, wall_z: float, floor_y: float) -> list[Surface]:
    """Somebody further back, beside the sitter's head."""
    z = rng.uniform(max(-2.2, wall_z * 0.85), -1.0)
    x = rng.choice([-1.0, 1.0]) * rng.uniform(0.4, 0.75) * VIEW * (CAMERA_Z - z)
    return list(subject.sitter(rng, (x, rng.uniform(-0.05, 0.2), z), rng.uniform(0.92, 1.12)))


def _distances(rng: Random, wall_z: float, count: int) -> Floats:
    """z of so many things between the sitter and the wall, spread evenly in 1 / distance, as blur is."""
    nearest, farthest = 1 / (CAMERA_Z - NEAREST_BEHIND_Z), 1 / (CAMERA_Z - wall_z * 0.92)
    parts = (np.arange(count) + rng.uniform(0.1, 0.9, count)) / count
    return (CAMERA_Z - 1 / (farthest + (nearest - farthest) * parts)).astype(np.float32)
