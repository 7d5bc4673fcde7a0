"""Where subject and background are told apart."""

import numpy as np

from pipeline import regions
from tests.pipeline.evaluation.measure.test_metrics import centred_mask


def test_margin_grows_with_the_picture() -> None:
    assert [regions.margin_px(side) for side in (16, 64, 96, 256, 512)] == [2, 2, 3, 8, 16]


def test_regions_leave_a_rim_on_either_side() -> None:
    mask = centred_mask(32)
    subject, background = regions.subject_region(mask, 2), regions.background_region(mask, 2)
    assert subject[0, 16, :, 0].nonzero()[0].tolist() == list(range(10, 22))
    assert background[0, 16, :, 0].nonzero()[0].tolist() == [*range(6), *range(26, 32)]
    assert not (subject & background).any()


def test_a_subject_cut_by_the_frame_has_no_rim_there() -> None:
    mask = np.ones((1, 16, 16, 1))
    assert regions.subject_region(mask, 3).all()
    assert not regions.background_region(mask, 3).any()


def test_soft_alpha_is_cut_at_one_half() -> None:
    mask = np.full((1, 8, 8, 1), 0.49)
    assert not regions.subject_region(mask, 1).any()
    assert regions.subject_region(mask + 0.01, 1).all()
