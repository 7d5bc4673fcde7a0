"""Meshes: normals, texture coordinates, placing and cutting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.studio.meshes import Mesh, ellipsoid, lathe, rectangle, rotation, tube

MESHES = {
    "ellipsoid": ellipsoid([0.1, 0.2, 0.3], [0.2, 0.4, 0.1]),
    "tube": tube([[0, 0, 0], [0.1, 1, 0], [0.3, 2, 0.2]], [0.1, 0.2, 0.1]),
    "lathe": lathe(np.linspace(-1, 0, 9), np.linspace(0.5, 0.3, 9), np.linspace(0.2, 0.2, 9)),
    "rectangle": rectangle(2.0, 1.0),
}


@pytest.mark.parametrize("mesh", MESHES.values(), ids=MESHES.keys())
def test_meshes_are_sound(mesh: Mesh) -> None:
    count = len(mesh.vertices)
    assert mesh.normals.shape == (count, 3)
    assert mesh.uv.shape == (count, 2)
    assert mesh.faces.max() < count
    assert count % mesh.rows == 0
    assert np.isfinite(mesh.vertices).all()
    assert np.linalg.norm(mesh.normals, axis=1) == pytest.approx(1, abs=1e-4)
    assert mesh.uv.min() == 0
    assert mesh.uv.max() == 1


def test_an_ellipsoid_lies_on_its_surface_and_faces_outward() -> None:
    mesh = MESHES["ellipsoid"]
    out = mesh.vertices - np.array([0.1, 0.2, 0.3])
    assert ((out / [0.2, 0.4, 0.1]) ** 2).sum(1) == pytest.approx(1, abs=1e-4)
    assert ((out * mesh.normals).sum(1) > 0).all()


def test_a_body_of_revolution_faces_outward() -> None:
    mesh = MESHES["lathe"]
    assert ((mesh.vertices * [1, 0, 1] * mesh.normals).sum(1) > 0).all()


@given(st.floats(-180, 180), st.floats(-180, 180), st.floats(-180, 180), st.floats(0.1, 3))
def test_placing_keeps_shape(pitch_deg: float, yaw_deg: float, roll_deg: float, scale: float) -> None:
    turn = rotation(pitch_deg, yaw_deg, roll_deg)
    assert turn @ turn.T == pytest.approx(np.eye(3), abs=1e-5)
    assert np.linalg.det(turn) == pytest.approx(1, abs=1e-5)
    mesh = MESHES["rectangle"]
    placed = mesh.placed(turn, [1, 2, 3], scale)
    assert np.linalg.norm(placed.vertices - [1, 2, 3], axis=1) == pytest.approx(
        scale * np.linalg.norm(mesh.vertices, axis=1), rel=1e-3
    )


def test_cutting_drops_the_triangles_of_the_marked_vertices() -> None:
    mesh = MESHES["ellipsoid"]
    upper = mesh.without(mesh.vertices[:, 1] < 0.2)
    assert 0 < len(upper.faces) < len(mesh.faces)
    assert mesh.vertices[upper.faces][..., 1].min() >= 0.2


def test_normals_at_a_textures_pixels_start_at_the_top() -> None:
    normals = MESHES["ellipsoid"].normals_at(40, 24)
    assert normals.shape == (40, 24, 3)
    assert (normals[0, :, 1] > 0.9).all()
    assert (normals[-1, :, 1] < -0.9).all()
    front = normals[20, 12]
    assert front @ [0, 0, 1] > 0.98
