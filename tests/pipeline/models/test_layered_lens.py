"""The layered lens: a plain disc on a flat plane, nothing at no aperture, no halo, energy kept."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline.models.layered_lens import Highlights, LayeredLens, isolation, layer_radii_px, refocused, spread
from pipeline.models.lens import disc, linear

SIDE_PX = 48


def picture(seed: int = 0, side_px: int = SIDE_PX) -> Tensor:
    return torch.rand(1, 3, side_px, side_px, generator=torch.Generator().manual_seed(seed))


def radii(value: float, side_px: int = SIDE_PX) -> Tensor:
    return torch.full((1, 1, side_px, side_px), value)


@given(st.floats(-9.0, 9.0))
@settings(max_examples=15, deadline=None)
def test_no_picture_is_as_bright_elsewhere_as_nowhere(radius_px: float) -> None:
    grey = torch.full((1, 3, SIDE_PX, SIDE_PX), 0.3)
    assert torch.allclose(refocused(grey, radii(radius_px)), grey, atol=1e-4)


@pytest.mark.parametrize("number", [1, 3, 6, 9])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_flat_plane_is_spread_by_a_plain_disc(number: int, sign: int) -> None:
    radius_px = layer_radii_px(20)[number]
    light = linear(picture())
    reach_px = int(radius_px + 0.5)
    kernel = disc(radius_px, reach_px).expand(3, 1, -1, -1)
    plain = torch.nn.functional.conv2d(light, kernel, padding=reach_px, groups=3)
    inner = np.s_[..., reach_px:-reach_px, reach_px:-reach_px]
    assert torch.allclose(LayeredLens(20)(light, radii(sign * radius_px))[inner], plain[inner], atol=1e-4)


@given(st.floats(-0.5, 0.5))
@settings(max_examples=10, deadline=None)
def test_a_disc_no_larger_than_a_pixel_changes_nothing(radius_px: float) -> None:
    assert torch.allclose(refocused(picture(), radii(radius_px)), picture(), atol=1e-5)


def test_no_aperture_is_the_picture_itself_whatever_its_depths() -> None:
    disparity = torch.rand(1, 1, SIDE_PX, SIDE_PX)
    assert torch.allclose(refocused(picture(), 0.0 * disparity), picture(), atol=1e-5)


@given(st.floats(-8.0, 8.0))
@settings(max_examples=15, deadline=None)
def test_energy_is_kept(radius_px: float) -> None:
    light = torch.zeros(1, 3, SIDE_PX, SIDE_PX)
    light[..., 20:28, 20:28] = 1.0
    assert float(LayeredLens(8)(light, radii(radius_px)).sum()) == pytest.approx(float(light.sum()), rel=1e-3)


def test_a_surface_that_slopes_keeps_its_light_and_lets_hardly_any_through() -> None:
    """Cut into many layers, it is still one surface: a bright wall far behind must not shine through the cuts."""
    radius_px = radii(-8.0)
    radius_px[..., 8:40] = torch.linspace(-1.5, 1.5, 32)
    light = torch.full((1, 3, SIDE_PX, SIDE_PX), 1.0)
    light[..., 8:40] = 0.2
    seen = LayeredLens(8)(light, radius_px)
    assert torch.allclose(seen[..., 12:36], torch.tensor(0.2), atol=0.02)


def test_twice_the_picture_has_twice_the_disc() -> None:
    small, large = torch.zeros(1, 3, 33, 33), torch.zeros(1, 3, 66, 66)
    small[..., 16, 16], large[..., 32:34, 32:34] = 1.0, 1.0
    one = LayeredLens(5)(small, radii(5.0, 33))
    two = LayeredLens(10)(large, radii(10.0, 66))
    assert torch.allclose(torch.nn.functional.avg_pool2d(two, 2), one, atol=2e-3)


def step(before: float, behind: float) -> tuple[Tensor, Tensor]:
    """A white sheet before a black wall: light and radii; the sheet covers the left half."""
    light, radius_px = torch.zeros(1, 3, SIDE_PX, SIDE_PX), radii(behind)
    light[..., : SIDE_PX // 2], radius_px[..., : SIDE_PX // 2] = 1.0, before
    return light, radius_px


def test_a_sharp_subject_before_a_blurred_wall_has_no_halo() -> None:
    light, radius_px = step(0.0, -8.0)
    assert torch.allclose(LayeredLens(8)(light, radius_px), light, atol=1e-5)


def test_a_blurred_subject_is_half_transparent_at_its_edge_before_a_sharp_wall() -> None:
    seen = LayeredLens(8)(*step(8.0, 0.0))[0, 0, SIDE_PX // 2]
    edge = SIDE_PX // 2
    assert seen[edge - 12 : edge - 8].min() > 0.99
    assert seen[edge + 9 : edge + 12].max() < 0.01
    assert 0.3 < seen[edge] < 0.55
    assert (seen[edge : edge + 8].diff() < 0).all()


def test_with_focus_behind_everything_the_nearer_still_lies_in_front() -> None:
    light, radius_px = step(8.0, 3.0)
    seen = LayeredLens(8)(light, radius_px)[0, 0, SIDE_PX // 2]
    assert seen[SIDE_PX // 2 + 4] > 0.15
    assert seen[SIDE_PX // 2 - 10] > 0.99


@given(st.floats(0.6, 20.0), st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_the_layers_share_every_pixel_among_them(largest_px: float, seed: int) -> None:
    lens = LayeredLens(largest_px)
    size = (torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) - 0.5) * 2.5 * largest_px
    assert torch.allclose(sum(lens.share(size, number) for number in lens.near_to_far()), torch.ones_like(size), atol=1e-5)


@pytest.mark.parametrize(("start", "sign"), [(0.5, -1), (0.9, 1)])
def test_the_plane_can_be_learnt_by_descent(start: float, sign: int) -> None:
    """Gradients flow to the radii: from either side the error falls towards the true plane."""
    unit, plane = picture(1, 24), torch.tensor(start, requires_grad=True)
    with torch.inference_mode():
        refocused(unit, radii(3.0, 24))  # its discs are kept, and must not spoil what learns later
    blocks = (
        torch.rand(1, 1, 3, 3, generator=torch.Generator().manual_seed(3)).repeat_interleave(8, 2).repeat_interleave(8, 3)
    )
    truth = refocused(unit, 6 * (blocks - 0.7))
    (refocused(unit, 6 * (blocks - plane)) - truth).square().mean().backward()
    assert plane.grad is not None
    assert sign * float(plane.grad) > 0


def test_small_highlights_are_brighter_where_they_are_spread_and_nothing_else_is() -> None:
    unit, blurred = 0.9 * picture(), radii(-3.0)
    unit[..., 20:22, 20:22] = 1.0
    lamp = (unit == 1.0).all(1, keepdim=True).expand_as(unit)
    light = Highlights(gain=2.0, knee=0.98).light(unit, blurred)
    assert torch.allclose(light[~lamp], linear(unit)[~lamp])
    assert 1.5 < float(light[lamp].min()) <= float(light[lamp].max()) < 3.0
    for nothing in (Highlights().light(unit, blurred), Highlights(2.0, 0.98).light(unit, 0 * blurred)):
        assert torch.allclose(nothing, linear(unit))


def test_a_white_shirt_is_no_lamp() -> None:
    shirt = torch.ones(1, 3, SIDE_PX, SIDE_PX)
    assert torch.allclose(Highlights(2.0, 0.98).light(shirt, radii(-3.0)), shirt)


def test_how_isolated_a_highlight_is_does_not_depend_on_the_size_of_the_picture() -> None:
    excess = torch.zeros(1, 1, 100, 120)
    excess[..., 40:44, 50:54] = 1.0
    larger = excess.repeat_interleave(4, 2).repeat_interleave(4, 3)
    assert torch.allclose(isolation(larger)[..., 168, 208], isolation(excess)[..., 42, 52], atol=0.1)
    assert float(isolation(excess)[..., 90, 10]) == 1.0


def test_spreading_by_transforms_is_the_convolution() -> None:
    layer = torch.rand(1, 4, 20, 31)
    kernel = disc(3.3, 3).expand(4, 1, -1, -1)
    plain = torch.nn.functional.conv2d(layer, kernel, padding=3, groups=4)
    inner = np.s_[..., 3:-3, 3:-3]
    assert torch.allclose(spread(layer, 3.3)[inner], plain[inner], atol=1e-5)


@pytest.mark.slow
def test_it_runs_as_onnx(tmp_path: Path) -> None:
    import onnxruntime

    lens, inputs = LayeredLens(3).eval(), (picture(2, 24), radii(0.0, 24) + torch.linspace(-3, 3, 24))
    path = tmp_path / "lens.onnx"
    torch.onnx.export(lens, inputs, path, input_names=["light", "radius_px"], dynamo=True, external_data=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (seen,) = session.run(None, {"light": inputs[0].numpy(), "radius_px": inputs[1].numpy()})
    assert np.allclose(seen, lens(*inputs).numpy(), atol=1e-4)


@pytest.mark.gpu
def test_a_gpu_sees_the_same() -> None:
    inputs = picture(), radii(0.0) + torch.linspace(-6, 6, SIDE_PX)
    seen = LayeredLens(6).cuda()(*(one.cuda() for one in inputs)).cpu()
    assert torch.allclose(seen, LayeredLens(6)(*inputs), atol=1e-4)
