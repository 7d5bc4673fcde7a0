"""Surfaces: a mesh with what it looks like, in scene coordinates.

The sitter reflects light (`matte`); the background glows with its own picture (`glowing`), so that it costs no
shadow rays and its noise comes from the lens alone; small lights are brighter than white.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from pipeline.studio import textures
from pipeline.studio.meshes import Floats, Mesh

Part = Literal["backdrop", "skin", "hair", "clothes"]
PARTS: tuple[Part, ...] = get_args(Part)
"""Of a picture, each surface one; hats and scarves are clothes, glasses and eyes go with the skin around them."""


@dataclass(frozen=True)
class Surface:
    """`texture`: linear light, float32 [height, width, 3] (one pixel for a plain colour).

    `emits`: the texture is radiance instead of reflectance. `part`: what of the picture it is, one of `PARTS`.
    """

    mesh: Mesh
    texture: Floats
    emits: bool
    part: Part = "backdrop"

    def placed(self, rotation: ArrayLike, position: ArrayLike, scale: float = 1.0) -> "Surface":
        """The surface scaled, then rotated, then moved."""
        return replace(self, mesh=self.mesh.placed(rotation, position, scale))


def matte(mesh: Mesh, look: ArrayLike) -> Surface:
    """A diffuse surface; `look` is an sRGB triple or an sRGB texture."""
    return Surface(mesh, textures.linear(_as_texture(look)), emits=False)


def mattes(meshes: Sequence[Mesh], look: ArrayLike) -> list[Surface]:
    """Diffuse surfaces that look alike."""
    return [matte(mesh, look) for mesh in meshes]


def glowing(mesh: Mesh, look: ArrayLike, brightness: ArrayLike = 1.0) -> Surface:
    """A surface that shows `look` (sRGB triple or texture) whatever the light.

    `brightness` multiplies it in linear light: one number or RGB.
    """
    return Surface(mesh, textures.linear(_as_texture(look)) * np.asarray(brightness, np.float32), emits=True)


def parts(surfaces: Sequence[Surface], part: Part) -> list[Surface]:
    """The surfaces as that part of the picture."""
    return [replace(surface, part=part) for surface in surfaces]


def _as_texture(look: ArrayLike) -> Floats:
    values = np.asarray(look, np.float32)
    return values if values.ndim == 3 else values.reshape(1, 1, 3)
