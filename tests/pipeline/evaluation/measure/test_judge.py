"""Judging: all methods on the same pictures at the model's size, and what cannot be judged."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.errors import DatasetError
from pipeline.evaluation.compare.summary import FAULT_METRICS, PHOTO_METRICS, compare_photos
from pipeline.evaluation.measure.baselines import disc_held
from pipeline.evaluation.measure.judge import MODEL_SET, Overlay, Trial, Yardstick, judge_masks, judge_model
from pipeline.evaluation.measure.judged_size import BATCH, SEGMENTER, Translate, View, fitting_widths, softness_px
from pipeline.evaluation.measure.scenes import Scenes, TrueMasks
from pipeline.evaluation.measure.set_scores import TEST_SET
from pipeline.evaluation.measure.tiles import read_pictures, shown
from pipeline.tables import conform
from tests.pipeline.evaluation.worlds import (
    JUDGED_PX,
    SIDE_PX,
    ArrayPhotos,
    background_blur,
    judge_photos,
    photos,
    round_alpha,
    scenes,
    textured,
    unchanged,
)

MODEL = "cyclegan@0"


def means_of(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Method → metric → mean."""
    return table.pivot_table(index="metric", columns="method", values="value").to_dict()  # pyright: ignore[reportReturnType]


def judge_scenes(translate: Translate, judged_px: int, world: Scenes, alpha: np.ndarray) -> pd.DataFrame:
    """The scores of every method on the scenes."""
    with tempfile.TemporaryDirectory() as folder:
        table = judge_model(MODEL, translate, Trial(judged_px, photos(1), (world, alpha)), Path(folder) / "pictures")
    return table[table["photo_id"].str.startswith("scene:") & (table["method"] != SEGMENTER)]


def test_photos_are_judged_by_every_method() -> None:
    table = judge_photos(MODEL, background_blur(2.0), JUDGED_PX, photos(3))
    assert set(table["method"]) == {"input", "average_5x5", "gaussian_9x9", MODEL}
    without_network = {metric.name for metric in (*PHOTO_METRICS, *FAULT_METRICS) if not metric.optional}
    assert set(table["metric"]) == without_network
    assert len(conform("evaluation", table)) == 3 * 4 * len(without_network)
    means = means_of(table)
    assert means["input"]["background_sharpness"] == 1.0
    assert means[MODEL]["background_sharpness"] < means["gaussian_9x9"]["background_sharpness"] < 1.0
    assert means["input"]["subject_ssim"] == pytest.approx(1.0)
    assert means["gaussian_9x9"]["subject_l1"] < 0.003
    assert means[MODEL]["subject_l1"] < 0.003


def test_scenes_are_judged_against_the_true_lens() -> None:
    world = scenes(3)
    table = judge_scenes(background_blur(1.5), JUDGED_PX, world, world.mask)
    means = means_of(table)
    assert set(table["photo_id"]) == {"scene:s000", "scene:s001", "scene:s002"}
    assert means["true_lens"]["truth_background_l1"] == means["true_lens"]["truth_subject_l1"] == 0.0
    assert means[MODEL]["truth_background_l1"] < 0.5 * means["input"]["truth_background_l1"]
    assert means["gaussian_9x9"]["truth_background_l1"] < means["input"]["truth_background_l1"]


def test_baselines_paste_scenes_by_the_segmenters_mask_and_score_by_the_true_one() -> None:
    world = scenes(2)
    nothing_found = np.zeros_like(world.mask)
    table = means_of(judge_scenes(unchanged, JUDGED_PX, world, nothing_found))
    assert table["gaussian_9x9"]["truth_subject_l1"] > table["input"]["truth_subject_l1"] + 0.005


def test_the_baselines_smooth_at_the_stored_size() -> None:
    """A 9×9 kernel takes more detail at the stored size when the picture is judged there."""
    small = means_of(judge_photos(MODEL, unchanged, JUDGED_PX, photos(2)))
    full = means_of(judge_photos(MODEL, unchanged, SIDE_PX, photos(2)))
    assert full["gaussian_9x9"]["background_sharpness"] < small["gaussian_9x9"]["background_sharpness"]


def test_the_model_sees_pictures_of_its_own_size() -> None:
    seen: list[tuple[tuple[int, ...], np.dtype]] = []

    def translate(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        seen.append((rgb.shape, rgb.dtype))
        return unchanged(rgb)

    judge_photos(MODEL, translate, JUDGED_PX, photos(BATCH + 3))
    uint8 = np.dtype(np.uint8)
    assert seen == [((BATCH, JUDGED_PX, JUDGED_PX, 3), uint8), ((3, JUDGED_PX, JUDGED_PX, 3), uint8)]


def test_a_photos_scores_do_not_depend_on_the_others() -> None:
    many = photos(BATCH + 2)
    last = ArrayPhotos(many.ids[-1:], many.rgb[-1:], many.alpha[-1:])
    together = judge_photos(MODEL, background_blur(1.0), JUDGED_PX, many)
    alone = judge_photos(MODEL, background_blur(1.0), JUDGED_PX, last)
    merged = alone.merge(together, on=["photo_id", "method", "metric"], suffixes=("", "_together"))
    assert len(merged) == len(alone) == 4 * alone["metric"].nunique()
    assert merged["value"].to_numpy() == pytest.approx(merged["value_together"].to_numpy(), rel=1e-9)


def test_no_subject_and_no_background_are_null() -> None:
    world = photos(2)
    alpha = np.stack([np.zeros((SIDE_PX, SIDE_PX), np.uint8), np.full((SIDE_PX, SIDE_PX), 255, np.uint8)])
    table = judge_photos(MODEL, unchanged, JUDGED_PX, ArrayPhotos(world.ids, world.rgb, alpha))
    unknown = table[table["value"].isna()].groupby("photo_id")["metric"].unique().map(sorted).to_dict()
    assert unknown == {
        "flickr:1000": ["leak", "rim_sharpness", "subject_colour_shift", "subject_l1", "subject_psnr_db", "subject_ssim"],
        "flickr:1001": ["background_sharpness", "blur_unevenness", "imagined", "leak", "rim_sharpness"],
    }


class FourColours:
    """Stands in for the network: sees the mean colour of each quarter."""

    def look(self, images: np.ndarray) -> SimpleNamespace:
        half = images.shape[1] // 2
        quarters = [images[:, rows, columns].mean((1, 2)) for rows in (slice(half), slice(half, None)) for columns in
                    (slice(half), slice(half, None))]  # fmt: skip
        return SimpleNamespace(features=10 * np.concatenate(quarters, axis=1))

    def background_features(self, look: SimpleNamespace, regions: np.ndarray) -> np.ndarray:
        return look.features

    def distance(self, first: SimpleNamespace, second: SimpleNamespace, regions: np.ndarray | None = None) -> np.ndarray:
        return np.abs(first.features - second.features).mean(axis=1)


def test_the_test_set_is_compared_with_domain_b_as_a_whole() -> None:
    ordinary, shallow = photos(12), photos(20)
    reddish = (shallow.rgb * np.array([1.0, 0.6, 0.6])).astype(np.uint8)
    tinted = ArrayPhotos(shallow.ids, reddish, shallow.alpha)

    def tint(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        return (rgb / 255.0 * np.array([1.0, 0.6, 0.6])).astype(np.float32)

    yardstick = Yardstick(tinted, FourColours())
    table = judge_photos(MODEL, tint, JUDGED_PX, ordinary, yardstick=yardstick)
    of_set = table[table["photo_id"] == TEST_SET].set_index(["method", "metric"])["value"]
    for prefix in ("", "background_"):
        assert of_set[MODEL, f"{prefix}kid"] < 0.2 * of_set["input", f"{prefix}kid"]
        assert of_set[MODEL, f"{prefix}kid_low"] <= of_set[MODEL, f"{prefix}kid_high"]
    assert of_set[MODEL, "precision"] > of_set["input", "precision"] == 0
    assert (table.loc[(table["metric"] == "subject_lpips") & (table["method"] == "input"), "value"] == 0).all()
    assert len(conform("evaluation", table)) == len(table)


def test_a_small_test_set_has_no_scores_as_a_whole() -> None:
    yardstick = Yardstick(photos(20), FourColours())
    table = judge_photos(MODEL, unchanged, JUDGED_PX, photos(3), yardstick=yardstick)
    of_set = table[table["photo_id"] == TEST_SET]
    assert not set(of_set["metric"]) & {"kid", "precision"}
    assert of_set[of_set["metric"].isin(["gap", "scales", "above"])]["value"].isna().all()
    assert of_set.set_index("metric")["value"]["pictures"] == 20


def world_of(seed: int, count: int = 12, side_px: int = SIDE_PX) -> ArrayPhotos:
    ids = [f"flickr:{seed}{index:03d}" for index in range(count)]
    return ArrayPhotos(ids, textured(count, seed, side_px), round_alpha(count, side_px))


def through_a_disc(world: ArrayPhotos, radius_px: float) -> ArrayPhotos:
    output = disc_held(world.rgb.astype(np.float32) / 255, world.alpha[..., None] / np.float32(255), radius_px)
    return ArrayPhotos(world.ids, np.round(255 * output).astype(np.uint8), world.alpha)


def test_matched_baselines_are_as_wide_as_makes_a_training_picture_like_b() -> None:
    widths = fitting_widths(world_of(1), through_a_disc(world_of(2), 2.0), SIDE_PX)
    assert widths["disc_matched"] == pytest.approx(2.0, rel=0.2)
    assert widths["gaussian_matched"] == pytest.approx(1.0, rel=0.3)  # a disc's standard deviation is half its radius


def test_no_baseline_is_matched_where_the_domains_are_alike_or_missing() -> None:
    assert fitting_widths(world_of(1), world_of(2), SIDE_PX) == {}
    assert fitting_widths(None, world_of(2), SIDE_PX) == {}
    assert fitting_widths(world_of(1), photos(0), SIDE_PX) == {}


def softness_scores(table: pd.DataFrame) -> dict[str, float]:
    return table[table["photo_id"] == TEST_SET].set_index(["method", "metric"])["value"].to_dict()  # pyright: ignore[reportReturnType]


def test_backgrounds_are_held_against_domain_b(tmp_path: Path) -> None:
    judged_photos, domain_b = world_of(0), through_a_disc(world_of(2), 2.0)
    yardstick = Yardstick(domain_b, ordinary=world_of(1))
    table = judge_model(
        MODEL, background_blur(1.0), Trial(SIDE_PX, judged_photos, yardstick=yardstick), tmp_path / "pictures"
    )
    found = softness_scores(table)
    assert (found["input", "gap"], found["input", "scales"], found["input", "left"]) == (1.0, 1.0, 1.0)
    assert max(found["disc_matched", name] for name in ("gap", "scales")) < 0.35
    assert found[MODEL, "gap"] < 0.35
    assert found[MODEL, "gap_low"] <= found[MODEL, "gap"] <= found[MODEL, "gap_high"]
    assert found["input", "above"] > 0.9 > found[MODEL, "above"] > 0.1
    assert found["disc_matched", "subject_left"] == pytest.approx(1.0)
    assert found["domain_b", "softness_px"] == SIDE_PX
    ranks = table[(table["metric"] == "background_rank_in_b") & (table["method"] == "input")]["value"]
    assert (ranks > 0.9).all()


def test_backgrounds_are_measured_at_a_size_that_tells() -> None:
    """The model is judged at 64 px, where a blur of a pixel of 192 does not show."""
    seen: list[int] = []

    def translate(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        assert alpha.shape == rgb.shape[:3]
        seen.append(rgb.shape[1])
        return unchanged(rgb)

    photos_a, ordinary, shallow = (world_of(seed, side_px=192) for seed in range(3))
    slightly = Yardstick(through_a_disc(shallow, 1.0), ordinary=ordinary)
    table = judge_photos(MODEL, translate, 48, photos_a, yardstick=slightly)
    assert seen == [48, 192]
    assert softness_scores(table)["domain_b", "softness_px"] == 192


def test_a_cameras_noise_makes_the_smaller_size_tell_more() -> None:
    """Noise in both domains is sharpness at the stored size, and hardly at a quarter of it."""
    chance = np.random.default_rng(0)

    def noisy(world: ArrayPhotos) -> ArrayPhotos:
        values = world.rgb + chance.normal(0, 25, world.rgb.shape)
        return ArrayPhotos(world.ids, np.clip(values, 0, 255).astype(np.uint8), world.alpha)

    ordinary, shallow = (world_of(seed, side_px=256) for seed in (1, 2))
    strongly = through_a_disc(shallow, 12.0)
    assert softness_px(noisy(ordinary), noisy(strongly), 64) < 192
    assert softness_px(None, shallow, 64) == 64


def test_masks_are_compared_at_the_stored_size() -> None:
    table = judge_masks(["a", "b"], round_alpha(2), np.stack([round_alpha(1)[0], np.zeros((SIDE_PX, SIDE_PX), np.uint8)]))
    assert table["method"].unique().tolist() == ["segmenter"]
    assert table["value"].tolist() == [1.0, 0.0]


def test_one_call_judges_everything_and_shows_some(tmp_path: Path) -> None:
    world, masks = scenes(8), TrueMasks(["flickr:1000"], round_alpha(1))
    folder = tmp_path / "pictures"
    table = judge_model(
        MODEL,
        background_blur(1.0),
        Trial(JUDGED_PX, photos(14), (world, world.mask), (masks, round_alpha(1, radius=0.25))),
        folder,
    )
    assert table.equals(conform("evaluation", table))
    iou = table[table["metric"] == "mask_iou"].set_index("photo_id")["value"]
    assert iou["scene:s000"] == 1.0
    assert 0.5 < iou["flickr:1000"] < 0.8
    tiles = read_pictures(folder)
    assert sum(one.photo_id.startswith("scene:") for one in tiles) == 6
    assert sum(one.photo_id.startswith("flickr:") for one in tiles) == 14
    by_id = {one.photo_id: one.files for one in tiles}
    some_scene, some_photo = (next(name for name in by_id if name.startswith(kind)) for kind in ("scene:", "flickr:"))
    assert set(by_id[some_photo]) == {"input", "mask", "average_5x5", "gaussian_9x9", "model"}
    assert set(by_id[some_scene]) == {*by_id[some_photo], "true_lens"}
    with Image.open(by_id[some_photo]["model"]) as image:
        assert image.size == (JUDGED_PX, JUDGED_PX)


def test_judging_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    tables = [judge_model(MODEL, background_blur(1.0), Trial(JUDGED_PX, photos(4)), tmp_path / name) for name in ("a", "b")]
    assert tables[0].equals(tables[1])
    files = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("a", "b")]
    assert files[0] == files[1]


def interrupted_after_one_batch() -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    batches: list[int] = []

    def translate(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        batches.append(len(rgb))
        if len(batches) > 1:
            raise KeyboardInterrupt
        return unchanged(rgb)

    return translate


def test_pictures_appear_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    judge_model(MODEL, unchanged, Trial(JUDGED_PX, photos(2)), folder)
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(KeyboardInterrupt):
        judge_model(MODEL, interrupted_after_one_batch(), Trial(JUDGED_PX, photos(BATCH + 1)), folder)
    assert sorted(path.name for path in folder.iterdir()) == before
    judge_model(MODEL, unchanged, Trial(JUDGED_PX, photos(1)), folder)
    assert [one.photo_id for one in read_pictures(folder)] == ["flickr:1000"]
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"]


def test_what_is_shown_is_stable_as_the_set_grows() -> None:
    few, many = [f"flickr:{n}" for n in range(20)], [f"flickr:{n}" for n in range(40)]
    assert shown(many, 12) & set(few) <= shown(few, 12)
    assert len(shown(few, 12)) == 12


def test_missing_pictures_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no finished pictures"):
        read_pictures(tmp_path)
    folder = tmp_path / "pictures"
    judge_model(MODEL, unchanged, Trial(JUDGED_PX, photos(1)), folder)
    next(folder.glob("*-mask.png")).unlink()
    with pytest.raises(DatasetError, match=r"lacks 1 picture, first .*-mask\.png"):
        read_pictures(folder)


def with_pixel(value: float) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    def translate(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        output = unchanged(rgb)
        output[1, 3, 4, 0] = value
        return output

    return translate


def test_pixels_that_are_no_numbers_are_refused() -> None:
    says = "cyclegan@0: the output has NaN or infinite pixels in 1 of 3 pictures, first in flickr:1001"
    for value in (np.nan, np.inf):
        with pytest.raises(DatasetError, match=says):
            judge_photos(MODEL, with_pixel(value), JUDGED_PX, photos(3))


def test_values_outside_the_range_are_refused() -> None:
    with pytest.raises(DatasetError, match=r"reaches from .* to 1\.500 instead of 0 to 1"):
        judge_photos(MODEL, with_pixel(1.5), JUDGED_PX, photos(3))


def test_an_output_of_another_shape_is_refused() -> None:
    with pytest.raises(DatasetError, match="gave an output of shape"):
        judge_photos(MODEL, lambda rgb, _: unchanged(rgb)[:, ::2, ::2], JUDGED_PX, photos(3))


def test_an_all_black_output_is_refused() -> None:
    with pytest.raises(DatasetError, match="all 3 outputs are of one colour"):
        judge_photos(MODEL, lambda rgb, _: np.zeros(rgb.shape, np.float32), JUDGED_PX, photos(3))


def test_one_black_output_is_not_scored(caplog: pytest.LogCaptureFixture) -> None:
    def translate(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        output = unchanged(rgb)
        output[0] = 0.0
        return output

    table = judge_photos(MODEL, translate, JUDGED_PX, photos(3))
    own = table[(table["method"] == MODEL) & (table["photo_id"] == "flickr:1000")].set_index("metric")["value"]
    assert own["flat_output"] == 1.0
    assert own.drop("flat_output").isna().all()
    assert (table["metric"] == "flat_output").sum() == 1
    assert "1 of 3 outputs are of one colour" in caplog.text
    conform("evaluation", table)


def test_an_empty_test_split_is_refused() -> None:
    with pytest.raises(DatasetError, match="no photos to judge by"):
        judge_photos(MODEL, unchanged, JUDGED_PX, photos(0))


def test_a_model_larger_than_the_pictures_is_refused() -> None:
    with pytest.raises(DatasetError, match="the model works at 128 px, the pictures have 64"):
        judge_photos(MODEL, unchanged, 128, photos(1))


def test_masks_that_do_not_fit_are_refused() -> None:
    world = photos(2)
    with pytest.raises(DatasetError, match="differ"):
        judge_photos(MODEL, unchanged, JUDGED_PX, ArrayPhotos(world.ids, world.rgb, world.alpha[:, ::2, ::2]))
    with pytest.raises(DatasetError, match="differ"):
        judge_masks(["a"], round_alpha(1), round_alpha(2))


def dark_is_subject(pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
    """A segmenter for pictures whose subject is dark."""
    return [np.where(picture.mean(axis=2) < 100, 255, 0).astype(np.uint8) for picture in pictures]


def test_what_the_segmenter_sees_is_compared() -> None:
    """The subject is the dark left half; the model leaves half of that."""
    rgb = np.full((2, SIDE_PX, SIDE_PX, 3), 200, np.uint8)
    rgb[:, :, : SIDE_PX // 2] = 50
    world = ArrayPhotos(["a", "b"], rgb, (rgb[..., 0] < 100).astype(np.uint8) * 255)

    def bleach(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        output = unchanged(rgb)
        output[1, :, : rgb.shape[2] // 4] = 0.9
        return output

    table = judge_photos(MODEL, bleach, JUDGED_PX, world, yardstick=Yardstick(segment=dark_is_subject))
    found = table[(table["metric"] == "subject_mask_iou")].set_index(["method", "photo_id"])["value"]
    assert found[MODEL, "a"] == found["input", "a"] == 1.0
    assert found[MODEL, "b"] == pytest.approx(0.5)


def test_an_overlay_is_judged_with_and_without_by_one_pass() -> None:
    seen: list[int] = []

    def darker(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        seen.append(len(rgb))
        return unchanged(rgb) * np.float32(0.5)

    for on_result, other in ((False, f"{MODEL}+overlay"), (True, f"{MODEL}-overlay")):
        table = judge_photos(MODEL, darker, JUDGED_PX, photos(3), overlay=Overlay(on_result))
        found = table[table["metric"] == "subject_l1"].groupby("method")["value"].mean()
        plain, pasted = (other, MODEL) if on_result else (MODEL, other)
        assert found[pasted] == pytest.approx(0, abs=1e-6)
        assert found[plain] > 0.1
        sharpness = table[table["metric"] == "background_sharpness"].groupby("method")["value"].mean()
        assert sharpness[plain] == pytest.approx(sharpness[pasted])
    assert seen == [3, 3]


def test_a_soft_overlay_mixes_by_alpha() -> None:
    view = View.of(*photos(1).batch(np.array([0])), JUDGED_PX, {})
    half = View(view.rgb, np.full_like(view.alpha, 51), view.outputs)
    black = np.zeros_like(view.input)
    np.testing.assert_allclose(Overlay(True, soft=True).variants("m", black, half)["m"], 0.2 * view.input, rtol=1e-6)
    assert (Overlay(True).variants("m", black, half)["m"] == 0).all()


def test_an_overlay_does_not_hide_a_generator_that_shows_nothing() -> None:
    with pytest.raises(DatasetError, match="all 3 outputs are of one colour"):
        judge_photos(MODEL, lambda rgb, _: np.zeros(rgb.shape, np.float32), JUDGED_PX, photos(3), overlay=Overlay(True))


def test_scores_of_the_model_itself_have_an_id_of_their_own(tmp_path: Path) -> None:
    extra = {"parameters": 12.0, "cycle_l1_a": np.nan}
    table = judge_model(MODEL, unchanged, Trial(JUDGED_PX, photos(2)), tmp_path / "p", extra=extra)
    own = table[table["photo_id"] == MODEL_SET].set_index("metric")["value"]
    assert set(table.loc[table["photo_id"] == MODEL_SET, "method"]) == {MODEL}
    assert own["parameters"] == 12.0
    assert np.isnan(own["cycle_l1_a"])
    assert compare_photos(table, [MODEL]).pictures == 2


def test_whole_pictures_are_compared_with_the_truth_by_hand() -> None:
    world = scenes(1)
    flat = Scenes(world.names, np.full_like(world.sharp, 100), np.full_like(world.sharp, 151), world.mask)
    means = means_of(judge_scenes(unchanged, SIDE_PX, flat, flat.mask))
    assert means["input"]["truth_psnr_db"] == pytest.approx(-20 * np.log10(51 / 255), abs=1e-4)
    x, y = 100 / 255, 151 / 255
    assert means["input"]["truth_ssim"] == pytest.approx((2 * x * y + 1e-4) / (x * x + y * y + 1e-4), abs=1e-5)
    assert means["true_lens"]["truth_psnr_db"] == 100
    assert means["true_lens"]["truth_ssim"] == pytest.approx(1)


def test_how_scenes_were_taken_stands_beside_their_errors(tmp_path: Path) -> None:
    world = scenes(2)
    told = Scenes(world.names, world.sharp, world.shallow, world.mask, {"aperture_mm": [70.0, np.nan]})
    table = judge_model(MODEL, unchanged, Trial(JUDGED_PX, photos(2), (told, told.mask)), tmp_path / "p")
    found = table[(table["method"] == "true_lens") & (table["metric"] == "aperture_mm")].set_index("photo_id")["value"]
    assert found["scene:s000"] == 70.0
    assert np.isnan(found["scene:s001"])


def test_sharpness_is_ranked_among_domain_b() -> None:
    """The input is as sharp as domain B's sharpest half, a blur is softer than all of it."""
    world = photos(6)
    table = judge_photos(MODEL, background_blur(4.0), SIDE_PX, world, yardstick=Yardstick(world))
    means = table[table["metric"] == "background_rank_in_b"].groupby("method")["value"].mean()
    assert means["input"] == pytest.approx(0.5)
    assert means[MODEL] == 0


def test_known_operations_move_scores_the_right_way() -> None:
    """Blurring around the subject leaves the subject's scores; tinting the subject leaves the background's."""

    def tint(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        inside = round_alpha(len(rgb), rgb.shape[1])[..., None] > 0
        return np.where(inside, unchanged(rgb) * np.array([1, 0.7, 0.7], np.float32), unchanged(rgb))

    blurred, tinted = (means_of(judge_photos(MODEL, one, SIDE_PX, photos(4)))[MODEL] for one in (background_blur(2.0), tint))
    assert blurred["background_sharpness"] < 0.6 < tinted["background_sharpness"] == pytest.approx(1)
    assert blurred["subject_colour_shift"] < 0.1 < 5 < tinted["subject_colour_shift"]
    assert blurred["subject_ssim"] == pytest.approx(1, abs=1e-3)
    assert tinted["subject_psnr_db"] < 30 < blurred["subject_psnr_db"]
    assert tinted["imagined"] == pytest.approx(0, abs=1e-6)


def test_a_handful_of_photos_is_said_to_be_one(caplog: pytest.LogCaptureFixture) -> None:
    judge_photos(MODEL, unchanged, JUDGED_PX, photos(3))
    assert "only 3 test photos: nothing is said about the set as a whole" in caplog.text
