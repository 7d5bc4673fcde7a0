"""Depth of photos: at their own size, along their edges, the mirror image of the mirror image."""

import numpy as np
import pytest
import torch

from pipeline.depth.predicting import along_edges, predict_depth
from pipeline.models.disparity_generator import DisparityGenerator
from pipeline.models.networks import GeneratorConfig


def test_values_follow_the_photos_edges_and_are_never_mixed() -> None:
    photo = np.zeros((80, 80, 3), np.uint8)
    photo[:, 43:] = 255
    small = photo[4::8, 4::8]
    disparity = np.where(small[..., 0] > 0, 1.2, 0.4).astype(np.float32)
    found = along_edges(disparity, small, photo)
    assert set(np.unique(found)) == {np.float32(0.4), np.float32(1.2)}
    assert ((found > 1) == (photo[..., 0] > 0)).all()


@pytest.fixture(scope="module")
def generator() -> DisparityGenerator:
    torch.manual_seed(0)
    return DisparityGenerator(GeneratorConfig(channels=2, output="disparity"))


@pytest.mark.parametrize("size_px", [(40, 90), (150, 64), (20, 400)])
def test_any_photo_gets_a_map_of_its_size(generator: DisparityGenerator, size_px: tuple[int, int]) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (*size_px, 3), dtype=np.uint8)
    found = predict_depth(generator, photo, 32, is_metric=True)
    assert found.disparity.shape == size_px
    assert found.known.all()
    assert found.is_metric


def test_the_mirror_image_has_the_mirrored_map(generator: DisparityGenerator) -> None:
    photo = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    here = predict_depth(generator, photo, 32, is_metric=False).disparity
    there = predict_depth(generator, np.ascontiguousarray(photo[:, ::-1]), 32, is_metric=False).disparity
    np.testing.assert_allclose(here, there[:, ::-1], rtol=1e-4)
