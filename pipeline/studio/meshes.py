"""Triangle meshes as plain arrays: ellipsoids, tubes, bodies of revolution, rectangles.

Coordinates are scene units, y up, the camera on the positive z axis looking towards negative z. Meshes are
generated here rather than scaled by the renderer because its own spheres cannot be stretched.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Mesh:
    """Triangles with smooth normals and texture coordinates.

    `vertices` and `normals` are float32 [rows * columns, 3], a grid that runs over the mesh with v along its
    rows and u along its columns; `uv` float32 [rows * columns, 2] in [0, 1]; `faces` uint32 [m, 3].
    """

    vertices: Floats
    normals: Floats
    uv: Floats
    faces: NDArray[np.uint32]
    rows: int

    def placed(self, rotation: ArrayLike, position: ArrayLike, scale: float = 1.0) -> "Mesh":
        """The mesh scaled, then rotated by a 3x3 matrix, then moved."""
        turn = np.asarray(rotation, np.float32)
        vertices = self.vertices * scale @ turn.T + np.asarray(position, np.float32)
        normals = self.normals @ turn.T
        return replace(self, vertices=vertices.astype(np.float32), normals=normals.astype(np.float32))

    def without(self, vertex_is_cut: NDArray[np.bool_]) -> "Mesh":
        """The mesh without the triangles that touch a vertex marked True."""
        kept = self.faces[~vertex_is_cut[self.faces].any(axis=1)]
        return replace(self, faces=kept)

    def normals_at(self, height_px: int, width_px: int) -> Floats:
        """Unit normals at the centres of a texture's pixels [height, width, 3], row 0 at v = 1."""
        grid = self.normals.reshape(self.rows, -1, 3)
        across = _resampled(_resampled(grid, height_px, axis=0)[::-1], width_px, axis=1)
        return across / (np.linalg.norm(across, axis=-1, keepdims=True) + np.float32(1e-12))


def rotation(pitch_deg: float = 0.0, yaw_deg: float = 0.0, roll_deg: float = 0.0) -> Floats:
    """3x3 matrix that pitches about x, then yaws about y, then rolls about z."""
    (cx, cy, cz), (sx, sy, sz) = (f(np.deg2rad([pitch_deg, yaw_deg, roll_deg])) for f in (np.cos, np.sin))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return (about_z @ about_y @ about_x).astype(np.float32)


def ellipsoid(center: ArrayLike, radii: ArrayLike, segments: int = 32) -> Mesh:
    """A closed ellipsoid; u runs around the y axis from behind, v from the bottom pole to the top."""
    u, v = _grid_uv(segments // 2 + 1, segments + 1)
    around, up = 2 * np.pi * u, np.pi * (v - 0.5)
    unit = np.stack([-np.sin(around) * np.cos(up), np.sin(up), -np.cos(around) * np.cos(up)], axis=-1)
    radius = np.asarray(radii, np.float64)
    normals = unit / radius
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    return _from_grid(unit * radius + np.asarray(center, np.float64), normals, u, v)


def tube(path: ArrayLike, radius: float | ArrayLike, sides: int = 12) -> Mesh:
    """A round tube along `path` [n, 3]; `radius` is one number or one for each point."""
    points = np.asarray(path, np.float64)
    along = np.gradient(points, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    helper = np.where(np.abs(along[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
    side = np.cross(along, helper)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    u, v = _grid_uv(len(points), sides + 1)
    angle = 2 * np.pi * u[..., None]
    normals = np.cos(angle) * side[:, None] + np.sin(angle) * np.cross(along, side)[:, None]
    radii = np.broadcast_to(np.asarray(radius, np.float64), len(points))[:, None, None]
    return _from_grid(points[:, None] + radii * normals, normals, u, v)


def lathe(y: ArrayLike, radius_x: ArrayLike, radius_z: ArrayLike, segments: int = 48) -> Mesh:
    """A body around the y axis with elliptic sections: heights `y` rising, half-widths at each height."""
    height, half_width, half_depth = (np.asarray(values, np.float64)[:, None] for values in (y, radius_x, radius_z))
    u, v = _grid_uv(len(height), segments + 1)
    angle = 2 * np.pi * u
    points = np.stack([-np.sin(angle) * half_width, height + 0 * u, -np.cos(angle) * half_depth], axis=-1)
    across, up = np.gradient(points, axis=1), np.gradient(points, axis=0)
    across[:, 0] = across[:, -1] = points[:, 1] - points[:, -2]
    normals = np.cross(up, across)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True) + 1e-12
    return _from_grid(points, _facing_out(normals, points, height), u, v)


def rectangle(width: float, height: float) -> Mesh:
    """A rectangle about the origin that faces positive z; v = 0 at its lower edge."""
    u, v = _grid_uv(2, 2)
    points = np.stack([(u - 0.5) * width, (v - 0.5) * height, 0 * u], axis=-1)
    return _from_grid(points, np.broadcast_to([0.0, 0.0, 1.0], points.shape), u, v)


def _grid_uv(rows: int, columns: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    u, v = np.meshgrid(np.linspace(0, 1, columns), np.linspace(0, 1, rows))
    return u, v


def _facing_out(
    normals: NDArray[np.float64], points: NDArray[np.float64], height: NDArray[np.float64]
) -> NDArray[np.float64]:
    outward = points - np.stack([0 * height, height, 0 * height], axis=-1)
    inward = (normals * outward).sum(-1, keepdims=True) < 0
    return np.where(inward, -normals, normals)


def _from_grid(
    points: NDArray[np.float64], normals: NDArray[np.float64], u: NDArray[np.float64], v: NDArray[np.float64]
) -> Mesh:
    rows, columns = u.shape
    index = np.arange(rows * columns, dtype=np.uint32).reshape(rows, columns)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    uv = np.stack([u, v], axis=-1)
    return Mesh(
        points.reshape(-1, 3).astype(np.float32),
        normals.reshape(-1, 3).astype(np.float32),
        uv.reshape(-1, 2).astype(np.float32),
        faces,
        rows,
    )


def _resampled(grid: Floats, size: int, axis: int) -> Floats:
    """Linear interpolation of a grid's points at the centres of `size` pixels along an axis."""
    position = (np.arange(size) + 0.5) / size * (grid.shape[axis] - 1)
    low = np.minimum(position.astype(int), grid.shape[axis] - 2)
    weight = (position - low).astype(np.float32).reshape([-1 if k == axis else 1 for k in range(grid.ndim)])
    return np.take(grid, low, axis) * (1 - weight) + np.take(grid, low + 1, axis) * weight
