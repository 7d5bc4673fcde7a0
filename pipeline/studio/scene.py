"""Scenes by seed: a sitter, a backdrop, things between, the light and the camera, all as plain arrays.

Nothing here needs the renderer, so a scene can be described, compared and tested without it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pipeline.studio import backdrops, subject, textures
from pipeline.studio.meshes import Floats
from pipeline.studio.surfaces import Surface
from pipeline.studio.things import things

METRES_PER_UNIT = 0.44
"""The sitter's head is about 0.54 units high; a head is about 0.24 m."""


@dataclass(frozen=True)
class SceneLens:
    """A thin lens: its radius, and how far away the plane in focus lies along the axis; in scene units."""

    radius: float
    focus_distance: float

    @classmethod
    def of(cls, aperture_mm: float, focus_m: float) -> "SceneLens":
        """A lens of that diameter, focused at that distance."""
        return cls(aperture_mm / 2000 / METRES_PER_UNIT, focus_m / METRES_PER_UNIT)

    @property
    def aperture_mm(self) -> float:
        """Its diameter."""
        return 2000 * self.radius * METRES_PER_UNIT

    @property
    def focus_m(self) -> float:
        """Distance of the plane in focus."""
        return self.focus_distance * METRES_PER_UNIT


@dataclass(frozen=True)
class Camera:
    """Where the picture is taken from; lengths in scene units.

    `field_of_view_deg` spans the smaller side of the picture. The thin lens has `lens_radius` and is focused
    on the plane `focus_distance` away.
    """

    origin: tuple[float, float, float]
    target: tuple[float, float, float]
    field_of_view_deg: float
    lens_radius: float
    focus_distance: float

    @property
    def lens(self) -> SceneLens:
        """The camera's own: wide open, focused on the sitter's eyes."""
        return SceneLens(self.lens_radius, self.focus_distance)

    def focal_px(self, smaller_side_px: int) -> float:
        """Distance of the picture from the lens in its own pixels: radius in pixels = focal_px · radius · |1/s − 1/d|."""
        return smaller_side_px / 2 / float(np.tan(np.deg2rad(self.field_of_view_deg / 2)))


@dataclass(frozen=True)
class Light:
    """The light on the sitter, linear RGB. The renderer casts shadows of the key light only.

    Light from the sky, the ground and behind is added to what a surface shows by `radiance`: smooth light
    reckoned once, where sampling it would make the sitter noisy.
    """

    key_direction: tuple[float, float, float]
    key_irradiance: tuple[float, float, float]
    rim_direction: tuple[float, float, float]
    rim_irradiance: tuple[float, float, float]
    sky: tuple[float, float, float]
    ground: tuple[float, float, float]

    def radiance(self, surface: Surface) -> Floats:
        """What the surface shows apart from the key light, a texture in linear light."""
        if surface.emits:
            return surface.texture
        height_px, width_px = (max(size, 48) for size in surface.texture.shape[:2])
        normals = surface.mesh.normals_at(height_px, width_px)
        above = 0.5 + 0.5 * normals[..., 1:2]
        toward_rim = -np.array(self.rim_direction, np.float32) / np.linalg.norm(self.rim_direction)
        behind = np.clip(normals @ toward_rim, 0, 1)[..., None] * np.array(self.rim_irradiance) / np.pi
        around = np.array(self.sky) * above + np.array(self.ground) * (1 - above)
        return (surface.texture * (around + behind)).astype(np.float32)


@dataclass(frozen=True)
class Scene:
    """All that a renderer needs. `person` is empty for a scene without a sitter; `front` stands before the sitter."""

    seed: int
    person: tuple[Surface, ...]
    background: tuple[Surface, ...]
    light: Light
    camera: Camera
    front: tuple[Surface, ...] = ()


def describe_scene(seed: int, *, person: bool = True, furnished: bool = False) -> Scene:
    """The scene of a seed: the same seed gives the same scene, with or without its sitter.

    Sitter, backdrop, light, camera and, where it is `furnished`, the things at other distances draw from generators of
    their own, so that leaving one out changes nothing else.
    """
    for_sitter, for_backdrop, for_light, for_camera, for_things = np.random.default_rng(seed).spawn(5)
    scale, position = _placed(for_camera)
    sitter = subject.sitter(for_sitter, position, scale) if person else ()
    wall_z = -for_backdrop.uniform(2.2, 5.2)
    backdrop = backdrops.backdrop(for_backdrop, wall_z)
    front, behind = things(for_things, wall_z) if furnished else ((), ())
    return Scene(seed, sitter, (*backdrop, *behind), _light(for_light), _camera(for_camera, scale), front)


def camera_of(seed: int) -> Camera:
    """The camera of a seed's scene, without describing the rest of it."""
    for_camera = np.random.default_rng(seed).spawn(4)[3]
    scale, _ = _placed(for_camera)
    return _camera(for_camera, scale)


def _placed(rng: np.random.Generator) -> tuple[float, tuple[float, float, float]]:
    """The sitter's size and place."""
    scale = rng.uniform(0.92, 1.12)
    return scale, (rng.uniform(-0.17, 0.17), rng.uniform(-0.13, 0.0), 0.0)


def _camera(rng: np.random.Generator, scale: float) -> Camera:
    z = rng.uniform(1.95, 2.4)
    origin = (rng.uniform(-0.08, 0.08), rng.uniform(0.0, 0.2), z)
    return Camera(origin, (0.0, 0.0, 0.0), 34.0, rng.uniform(0.075, 0.1), z - subject.FACE_DEPTH * scale)


def _light(rng: np.random.Generator) -> Light:
    side, warmth = rng.choice([-1.0, 1.0]), rng.uniform(-0.06, 0.1)
    key = rng.uniform(2.6, 3.3) * np.array([1 + warmth, 1.0, 1 - warmth])
    rim = rng.uniform(0.3, 1.4) * textures.colour(rng.choice([0.08, 0.12, 0.58, 0.85]), rng.uniform(0.1, 0.5), 1.0)
    sky = rng.uniform(0.55, 0.7) * np.array([1 - warmth, 1.0, 1 + warmth])
    return Light(
        (-side * rng.uniform(0.3, 1.0), -rng.uniform(0.3, 0.9), -1.0),
        _triple(key),
        (side * rng.uniform(0.8, 1.2), -rng.uniform(0.2, 0.8), 0.45),
        _triple(rim),
        _triple(sky),
        _triple(sky * rng.uniform(0.3, 0.5)),
    )


def _triple(values: ArrayLike) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in np.asarray(values))
    return red, green, blue
