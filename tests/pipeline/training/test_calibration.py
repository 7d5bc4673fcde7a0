"""The strength of a trained lens: the right one for known pictures, kept with the weights, the same after interruptions."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.models.images import translate
from pipeline.models.large_photos import translate_photo
from pipeline.models.lens import LEVELS, PLAN_CHANNELS, radii_px
from pipeline.models.lens_generator import LensGenerator, build_generator
from pipeline.models.networks import Generator, GeneratorConfig
from pipeline.training.calibration import STRENGTHS, calibrate
from pipeline.training.checkpoints import load_generator_weights, save_generator
from pipeline.training.inference import load_generator
from pipeline.training.jobs import TrainingJob
from pipeline.training.progress_checks import Checker
from pipeline.training.runs import RunFolder
from tests.pipeline.test_softness import SIDE_PX
from tests.pipeline.training.test_process import completed, stop_after, stored, train

CONFIG = GeneratorConfig(
    channels=4, blocks=1, output="lens", lens_side_px=SIDE_PX, lens_holds_subject=True, lens_calibrated=True
)
CALIBRATED = {
    "output": "lens", "lens_bounded": True, "lens_highlights": False, "lens_holds_subject": True,
    "lens_calibrated": True, "plan_scale": 1,
}  # fmt: skip


def spreading(level: int) -> LensGenerator:
    """Spreads all light that is not held over the disc of that level."""
    generator = LensGenerator(CONFIG).eval()
    plan = torch.full((PLAN_CHANNELS,), -40.0)
    plan[1 + level] = 40.0
    with torch.no_grad():
        generator.last_convolution.weight.zero_()
        assert generator.last_convolution.bias is not None
        generator.last_convolution.bias.copy_(plan)
    return generator


def through_lens(strength: float, level: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The pictures of A as a lens of that strength makes them, and their alpha."""
    rgb, alpha = stored(0)
    generator = spreading(level)
    generator.calibrate(strength)
    return np.round(255 * translate(generator, rgb, alpha)).astype(np.uint8), alpha


@pytest.mark.parametrize("strength", [0.55, 1.0, 1.3])
def test_it_finds_the_strength_that_made_domain_b(strength: float) -> None:
    generator = spreading(level=1).train()
    assert calibrate(generator, Checker(stored(0), through_lens(strength))) == pytest.approx(strength)
    assert generator.training
    sizes = [strength * radius_px for radius_px in radii_px(SIDE_PX)]
    assert generator.lens.reach_px == int(sizes[-1] + 0.5)


def test_where_nothing_can_be_told_the_lens_stays_as_it_is() -> None:
    assert calibrate(spreading(level=1), Checker(stored(0), stored(2))) == 1.0


def test_it_begins_anew_each_time() -> None:
    generator, pictures = spreading(level=1), Checker(stored(0), through_lens(0.7))
    assert calibrate(generator, pictures) == calibrate(generator, pictures)
    assert calibrate(generator, pictures) in STRENGTHS


def test_only_a_lens_that_keeps_it_is_calibrated() -> None:
    with pytest.raises(ValueError, match="no lens that is calibrated"):
        calibrate(Generator(GeneratorConfig(channels=4, blocks=1)), Checker(stored(0), stored(1, 0.7)))


def test_weights_keep_the_strength_wherever_they_go(tmp_path: Path) -> None:
    generator, (rgb, alpha) = spreading(level=LEVELS - 1), stored(0)
    generator.calibrate(0.6)
    save_generator(generator, tmp_path / "weights.safetensors", {})
    loaded = build_generator(CONFIG)
    load_generator_weights(loaded, tmp_path / "weights.safetensors")
    expected = translate(generator, rgb, alpha)
    np.testing.assert_array_equal(translate(loaded.eval(), rgb, alpha), expected)
    assert np.abs(expected - translate(spreading(level=LEVELS - 1), rgb, alpha)).mean() > 0.002


def test_a_larger_photo_gets_larger_discs_of_that_strength() -> None:
    generator = spreading(level=LEVELS - 1)
    photo, mask = np.zeros((4 * SIDE_PX, 4 * SIDE_PX, 3), np.uint8), np.zeros((4 * SIDE_PX, 4 * SIDE_PX), np.uint8)
    photo[190:194, 190:194] = 255
    lit = []
    for strength in (1.0, 0.5):
        generator.calibrate(strength)
        lit.append(float((translate_photo(generator, photo, mask).mean(2) > 0.02).sum()))
    assert lit[1] / lit[0] == pytest.approx(0.25, abs=0.05)


def test_an_interrupted_run_ends_with_the_same_strength(make_job: Callable[..., TrainingJob]) -> None:
    straight, interrupted = (make_job(name, run_id="same", settings=CALIBRATED) for name in ("straight", "interrupted"))
    expected = completed(straight)
    assert train(interrupted, stop_after(5)) is None
    found = completed(interrupted)
    assert (found.files, found.strengths) == (expected.files, expected.strengths)
    assert set(found.strengths) == {"last", "best"}
    folder = RunFolder(interrupted.run_dir)
    folder.completion.unlink()
    assert completed(interrupted).files == expected.files
    assert f"{found.strengths['last']:g} times" in folder.card_page.read_text()
    for checkpoint in ("last", "best"):
        generator, _ = load_generator(interrupted.run_dir, checkpoint)
        assert isinstance(generator, LensGenerator)
        assert float(generator.strength) == pytest.approx(found.strengths[checkpoint])
