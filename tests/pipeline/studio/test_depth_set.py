"""Sets with depth: complete, repeatable, each picture with noise of its own, planes where things are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.studio.depth_set import (
    COLUMNS,
    STEPS_PER_DIOPTRE,
    DepthSet,
    encoded_disparity,
    planes_through,
    render_depth_set,
)
from pipeline.studio.render import Noise, Studio
from pipeline.studio.scene import SceneLens, camera_of, describe_scene

WANTED = DepthSet(scenes=1, side_px=32, planes=2, first_seed=7003, clean=False)


@given(st.floats(0.16, 100.0))
def test_stored_disparity_is_right_to_half_a_step(depth_m: float) -> None:
    stored = int(encoded_disparity(np.array([depth_m]))[0])
    assert abs(stored / STEPS_PER_DIOPTRE - 1 / depth_m) <= 0.5001 / STEPS_PER_DIOPTRE


def test_no_depth_is_unknown() -> None:
    assert encoded_disparity(np.array([np.nan, np.inf, 1e9])).tolist() == [0, 0, 0]


def test_planes_are_spread_evenly_in_disparity_over_what_is_known() -> None:
    disparity = np.concatenate([np.zeros(50), np.linspace(0.5, 1.5, 1001)]).astype(np.float32)
    planes = planes_through(disparity, 3)
    assert planes == pytest.approx([0.53, 1.0, 1.47], abs=0.002)


@given(st.floats(5, 100), st.floats(0.3, 10))
def test_a_lens_in_metres_is_the_same_in_scene_units(aperture_mm: float, focus_m: float) -> None:
    lens = SceneLens.of(aperture_mm, focus_m)
    assert (lens.aperture_mm, lens.focus_m) == (pytest.approx(aperture_mm), pytest.approx(focus_m))


def test_the_picture_lies_as_far_behind_the_lens_as_the_field_of_view_says() -> None:
    assert camera_of(7003).focal_px(256) == pytest.approx(128 / np.tan(np.deg2rad(17)))


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mitsuba")
    folder = tmp_path_factory.mktemp("set")
    render_depth_set(folder, WANTED)
    return folder


def test_the_list_names_every_file_and_the_lens(rendered: Path) -> None:
    views = pd.read_csv(rendered / "views.csv", keep_default_na=False)
    assert tuple(views.columns) == COLUMNS
    assert len(views) == 2
    for file in (*views["rgb"], *views["depth"], *views["mask"], *views["refocused"]):
        assert (rendered / file).exists()
    lens, camera = views.iloc[0], camera_of(7003)
    assert lens["focus_m"] == pytest.approx(camera.lens.focus_m, abs=1e-4)
    assert lens["px_per_dioptre"] == pytest.approx(camera.focal_px(32) * lens["aperture_mm"] / 2000, rel=1e-3)


def test_the_map_has_16_bits_and_the_sitter_is_nearer_than_the_wall(rendered: Path) -> None:
    with Image.open(rendered / "depth" / "7003.png") as image:
        assert image.mode == "I;16"
        disparity = np.asarray(image) / STEPS_PER_DIOPTRE
    with Image.open(rendered / "mask" / "7003.png") as image:
        mask = np.asarray(image)
    assert np.median(disparity[mask == 255]) == pytest.approx(1 / camera_of(7003).lens.focus_m, rel=0.25)
    assert np.quantile(disparity[mask == 0], 0.1) < 0.7 * np.median(disparity[mask == 255])


def test_an_interrupted_set_is_finished_with_the_same_bytes(rendered: Path) -> None:
    picture = rendered / "refocused" / "7003_1.png"
    before = picture.read_bytes()
    picture.unlink()
    render_depth_set(rendered, WANTED)
    assert picture.read_bytes() == before


@pytest.mark.usefixtures("rendered")
def test_no_two_views_share_their_noise_and_what_hides_the_sitter_is_not_in_the_mask() -> None:
    studio = Studio(describe_scene(7003, furnished=True), 24, 24)
    whole = replace(studio.scene, front=())
    assert studio.scene.front
    assert (studio.mask() <= Studio(whole, 24, 24).mask()).all()
    assert (studio.mask() < Studio(whole, 24, 24).mask()).any()
    nearly_closed = SceneLens.of(0.01, 1.0)
    still = studio.photograph(64, noise=Noise.NONE).astype(float)
    noise = [studio.photograph(16, lens, Noise.OF_VIEW) - still for lens in (None, nearly_closed)]
    shared = [studio.photograph(16, lens, Noise.OF_SCENE) - still for lens in (None, nearly_closed)]
    of_view, of_scene = (np.corrcoef(pair[0].ravel(), pair[1].ravel())[0, 1] for pair in (noise, shared))
    assert abs(of_view) < 0.2 < 0.3 < of_scene


def test_a_set_without_furniture_has_the_sitter_and_the_backdrop_only(rendered: Path, tmp_path: Path) -> None:
    render_depth_set(tmp_path, replace(WANTED, planes=0, furnished=False))
    depth = []
    for folder in (rendered, tmp_path):
        with Image.open(folder / "depth" / "7003.png") as image:
            depth.append(np.asarray(image) / STEPS_PER_DIOPTRE)
    furnished, plain = depth
    assert (furnished >= plain - 1e-3).mean() > 0.99  # things only hide what is behind them
    assert (furnished > plain + 0.05).any()
