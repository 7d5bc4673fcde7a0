"""Rendering scenes with Mitsuba: through a pinhole, through a thin lens, as a mask and as depth.

The thin lens is sampled over its aperture, so bokeh and the occlusion at the sitter's edge are those of a lens.
Mitsuba is an optional extra and imported on first use; its scalar variant runs on every processor.

Noise: fewer lens samples find a small light than pinhole samples find a wall, so the pictures would differ in
noise, and a discriminator would learn the noise. Each picture is therefore rendered in two halves, whose
difference measures its own noise, and sensor noise of a fixed pattern fills it up to one level for all.
"""

import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError
from pipeline.studio import textures
from pipeline.studio.scene import METRES_PER_UNIT, Scene, SceneLens, describe_scene
from pipeline.studio.surfaces import PARTS, Surface

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

NOISE_LEVEL = 2.2
"""Standard deviation of the noise that every picture is filled up to, in steps of 8 bits."""
MASK_SAMPLES = 16


class Noise(Enum):
    """What the noise of a picture hangs on.

    A network that is shown two views of a scene with the same noise can copy it, and seem better than physics allows.
    """

    OF_SCENE = auto()
    """One pattern for all views of a scene: the committed pictures, of which each scene shows one to a network."""
    OF_VIEW = auto()
    """A pattern of its own for each lens: pairs of views."""
    NONE = auto()
    """As little as the samples leave: pictures to score by."""


@dataclass(frozen=True)
class RenderedScene:
    """Views of one scene; None where a view was not asked for.

    `sharp`, `shallow`: uint8 [height, width, 3], sRGB. `mask`: uint8 [height, width], the sitter's coverage of
    each pixel through the pinhole, 255 for all. `depth_m`: float32 [height, width], metres along the optical axis.
    `parts`: uint8 [height, width], which of `PARTS` each pixel shows.
    """

    seed: int
    sharp: Bytes | None
    shallow: Bytes | None
    mask: Bytes | None
    depth_m: Floats | None
    parts: Bytes | None = None


@dataclass(frozen=True)
class WantedViews:
    """Which views of a scene are wanted, and with how many samples a pixel, for both halves together."""

    sharp: bool = True
    shallow: bool = True
    mask: bool = True
    depth: bool = True
    parts: bool = False
    sharp_samples: int = 32
    shallow_samples: int = 128


def render_scene(
    seed: int,
    width_px: int,
    height_px: int,
    *,
    person: bool = True,
    views: WantedViews | None = None,
) -> RenderedScene:
    """Render the views asked for, or those of `Views()`, of the scene with this seed.

    Same arguments, same bytes, on one version of Mitsuba.
    Raises ConfigError if Mitsuba is not installed.
    """
    views = views or WantedViews()
    studio = Studio(describe_scene(seed, person=person), width_px, height_px)
    return RenderedScene(
        seed,
        studio.photograph(views.sharp_samples) if views.sharp else None,
        studio.photograph(views.shallow_samples, studio.scene.camera.lens) if views.shallow else None,
        studio.mask() if views.mask else None,
        studio.depth_m() if views.depth else None,
        studio.parts() if views.parts else None,
    )


def import_mitsuba() -> ModuleType:
    """Mitsuba with its scalar variant set; ConfigError with the remedy if it is missing."""
    try:
        mitsuba = importlib.import_module("mitsuba")
    except ImportError as error:
        raise ConfigError(
            "Rendering scenes needs Mitsuba, which is not installed: run `pip install 'bokehflow[studio]'`"
        ) from error
    mitsuba.set_variant("scalar_rgb")
    mitsuba.set_log_level(mitsuba.LogLevel.Error)
    return mitsuba


class Studio:
    """One scene, set up for pictures of one size; ConfigError if Mitsuba is not installed."""

    def __init__(self, scene: Scene, width_px: int, height_px: int) -> None:
        self.mitsuba = import_mitsuba()
        self.scene, self.width_px, self.height_px = scene, width_px, height_px
        self._person = [self._shape(surface) for surface in scene.person]
        self._front = [self._shape(surface) for surface in scene.front]
        self._background = [self._shape(surface) for surface in scene.background]

    def photograph(self, samples: int, lens: SceneLens | None = None, noise: Noise = Noise.OF_SCENE) -> Bytes:
        """uint8 [height, width, 3], sRGB, with so many samples a pixel; without a `lens` everything is in focus."""
        integrator = {"type": "direct", "emitter_samples": 1, "bsdf_samples": 0}
        world = self._world(integrator, self._everything)
        half = max(samples // 2, 1)
        first, second = (self._render(world, half, lens, seed)[..., :3] for seed in self._sample_seeds(lens, noise))
        if noise is Noise.NONE:
            return np.clip(textures.srgb((first + second) / 2) * 255 + 0.5, 0, 255).astype(np.uint8)
        return self._developed(first, second, self._pattern_seed(lens, noise))

    def mask(self) -> Bytes:
        """uint8 [height, width], the sitter's coverage of each pixel through the pinhole, 255 for all."""
        if not self.scene.person:
            return np.zeros((self.height_px, self.width_px), np.uint8)
        alpha = self._coverage([*self._front, *self._person])
        if self._front:  # the same samples see the front alone: what is left is the sitter where nothing hides it
            alpha = alpha - self._coverage(self._front)
        return (np.clip(alpha, 0, 1) * 255 + 0.5).astype(np.uint8)

    def parts(self) -> Bytes:
        """uint8 [height, width]: which of `PARTS` covers most of each pixel, through the pinhole."""
        return _labelled(self.scene, self.width_px, self.height_px)._coverage_of_parts().argmax(-1).astype(np.uint8)

    def depth_m(self) -> Floats:
        """float32 [height, width], metres along the axis; one sample a pixel: of one point, never a mixture of two."""
        world = self._world({"type": "aov", "aovs": "at:position"}, self._everything)
        position = self._render(world, 1, None, self.scene.seed)[..., -3:]
        origin, target = self._viewpoint()
        axis = (target - origin) / np.linalg.norm(target - origin)
        return ((position - origin) @ axis * METRES_PER_UNIT).astype(np.float32)

    @property
    def _everything(self) -> list[object]:
        return [*self._front, *self._person, *self._background]

    def _coverage(self, shapes: Iterable[object]) -> Floats:
        world = self._world({"type": "direct", "emitter_samples": 0, "bsdf_samples": 1}, shapes)
        return self._render(world, MASK_SAMPLES, None, self.scene.seed)[..., 3]

    def _coverage_of_parts(self) -> Floats:
        """Of a scene whose surfaces glow in the colours of `_labelled`: [height, width, part]."""
        world = self._world({"type": "direct", "emitter_samples": 0, "bsdf_samples": 1}, self._everything)
        of_sitter = self._render(world, MASK_SAMPLES, None, self.scene.seed)[..., :3]
        return np.concatenate([1 - of_sitter.sum(-1, keepdims=True), of_sitter], -1)

    def _sample_seeds(self, lens: SceneLens | None, noise: Noise) -> tuple[int, int]:
        """Of the two half-exposures."""
        if noise is Noise.OF_SCENE:
            return 2 * self.scene.seed, 2 * self.scene.seed + 1
        first, second = np.random.SeedSequence(self._pattern_seed(lens, Noise.OF_VIEW)).generate_state(2)
        return int(first), int(second)

    def _pattern_seed(self, lens: SceneLens | None, noise: Noise) -> Sequence[int]:
        if noise is Noise.OF_SCENE:
            return [self.scene.seed]
        view = (0, 0) if lens is None else (round(lens.aperture_mm * 1000), round(lens.focus_m * 1e6))
        return [self.scene.seed, *view]

    def _viewpoint(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Camera and target; upright pictures look lower, so that the head stays in the upper third."""
        drop = np.array([0, 0.28 * max(self.height_px / self.width_px - 1, 0), 0])
        return np.array(self.scene.camera.origin) - drop, np.array(self.scene.camera.target) - drop

    def _render(self, world: dict[str, Any], samples: int, lens: SceneLens | None, seed: int) -> Floats:
        scene = self.mitsuba.load_dict({**world, "sensor": self._sensor(samples, lens)})
        return np.array(self.mitsuba.render(scene, seed=seed), np.float32)

    def _sensor(self, samples: int, lens: SceneLens | None) -> dict[str, Any]:
        camera = self.scene.camera
        origin, target = self._viewpoint()
        sensor = {
            "type": "perspective" if lens is None else "thinlens",
            "fov": camera.field_of_view_deg,
            "fov_axis": "smaller",
            "to_world": self.mitsuba.ScalarTransform4f().look_at(list(origin), list(target), [0, 1, 0]),
            "film": {
                "type": "hdrfilm",
                "width": self.width_px,
                "height": self.height_px,
                "pixel_format": "rgba",
                # A box keeps every sample in its own pixel, which makes the picture independent of threads.
                "rfilter": {"type": "box"},
            },
            "sampler": {"type": "multijitter", "sample_count": samples},
        }
        return sensor if lens is None else {**sensor, "aperture_radius": lens.radius, "focus_distance": lens.focus_distance}

    def _world(self, integrator: dict[str, Any], shapes: Iterable[object]) -> dict[str, Any]:
        key = {
            "type": "directional",
            "direction": list(self.scene.light.key_direction),
            "irradiance": {"type": "rgb", "value": list(self.scene.light.key_irradiance)},
        }
        named = {f"surface{k}": shape for k, shape in enumerate(shapes)}
        return {"type": "scene", "integrator": integrator, "key": key, **named}

    def _shape(self, surface: Surface) -> object:
        mesh, properties = surface.mesh, self.mitsuba.Properties()
        radiance, black = self._bitmap(self.scene.light.radiance(surface)), {"type": "rgb", "value": 0.0}
        reflectance = black if surface.emits else self._bitmap(surface.texture)
        # Only the key light is ever sampled: with a single light there is no noise from choosing among lights.
        glow = {"type": "area", "sampling_weight": 0.0, "radiance": radiance}
        properties["glow"] = self.mitsuba.load_dict(glow)
        properties["look"] = self.mitsuba.load_dict({"type": "diffuse", "reflectance": reflectance})
        counts = len(mesh.vertices), len(mesh.faces)
        shape = self.mitsuba.Mesh("", *counts, properties, has_vertex_normals=True, has_vertex_texcoords=True)
        parameters = self.mitsuba.traverse(shape)
        parameters["vertex_positions"] = mesh.vertices.ravel()
        parameters["vertex_normals"] = mesh.normals.ravel()
        parameters["vertex_texcoords"] = mesh.uv.ravel()
        parameters["faces"] = mesh.faces.ravel()
        parameters.update()
        return shape

    def _bitmap(self, texture: Floats) -> dict[str, Any]:
        """A texture plugin; Mitsuba puts a bitmap's row 0 at v = 0, ours is at the top."""
        data = self.mitsuba.TensorXf(np.ascontiguousarray(texture[::-1]))
        return {"type": "bitmap", "data": data, "raw": True, "filter_type": "bilinear"}

    def _developed(self, first: Floats, second: Floats, pattern_seed: Sequence[int]) -> Bytes:
        """Two half-exposures to one picture with noise of the common level."""
        half_difference = (textures.srgb(first) - textures.srgb(second)) * 127.5
        missing = NOISE_LEVEL**2 - _smoothed((half_difference**2).mean(-1))
        pattern = np.random.default_rng(pattern_seed).normal(0, 1, first.shape)
        picture = textures.srgb((first + second) / 2) * 255
        return np.clip(picture + pattern * np.sqrt(np.maximum(missing, 0))[..., None] + 0.5, 0, 255).astype(np.uint8)


def _labelled(scene: Scene, width_px: int, height_px: int) -> Studio:
    """The scene with every surface glowing in the colour of its part: backdrop black, the others red, green and blue."""
    colours = dict(zip(PARTS, np.eye(len(PARTS), dtype=np.float32)[:, 1:], strict=True))

    def glow(surfaces: Sequence[Surface]) -> tuple[Surface, ...]:
        return tuple(replace(one, texture=colours[one.part].reshape(1, 1, 3), emits=True) for one in surfaces)

    layers = {name: glow(getattr(scene, name)) for name in ("person", "background", "front")}
    return Studio(replace(scene, **layers), width_px, height_px)


def _smoothed(values: NDArray[np.float64], reach_px: int = 4) -> NDArray[np.float64]:
    """Mean over a square of 2 * reach_px + 1 pixels a side."""
    side = 2 * reach_px + 1
    padded = np.pad(values, reach_px, mode="edge")
    for axis in (0, 1):
        padded = np.lib.stride_tricks.sliding_window_view(padded, side, axis=axis).mean(-1)
    return padded
