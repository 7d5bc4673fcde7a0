"""`bokehflow refocus`: what is told is done, what cannot be done says why."""

import errno
import shutil
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from pipeline.commands.refocusing import refocus
from pipeline.depth.planes import SubjectPlane
from pipeline.depth.units import DepthError
from pipeline.errors import BokehflowError, ConfigError
from pipeline.training.jobs import TrainingJob
from pipeline.training.process import TrainingData, run_training
from pipeline.training.recipes import resolve
from pipeline.training.sampling import ArrayImages
from tests.pipeline.depth.networks import write_network

WIDTH_PX, HEIGHT_PX = 60, 40


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A photo of stripes, its left half at 1 m and its right at 4 m, and its map in millimetres."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOKEHFLOW_HOME", str(tmp_path / "home"))
    stripes = np.where(np.arange(WIDTH_PX) // 3 % 2, 200, 40).astype(np.uint8)
    rgb = np.repeat(np.tile(stripes, (HEIGHT_PX, 1))[..., None], 3, axis=2)
    depth = np.full((HEIGHT_PX, WIDTH_PX), 4000, np.uint16)
    depth[:, : WIDTH_PX // 2] = 1000
    Image.fromarray(rgb).save(tmp_path / "me.png")
    Image.fromarray(depth).save(tmp_path / "map.png")
    np.save(tmp_path / "map.npy", depth / 1000.0)
    return tmp_path


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(refocus, arguments, standalone_mode=False)
    if isinstance(result.exception, (BokehflowError, click.ClickException)):
        raise result.exception
    assert result.exit_code == 0, result.exception
    return result


def halves(folder: Path, name: str = "me-refocused.png") -> tuple[float, float]:
    """How much the left and the right half differ from the photo, clear of the edge between them."""
    seen, photo = (np.asarray(Image.open(folder / file)).astype(float) for file in (name, "me.png"))
    difference = np.abs(seen - photo).mean((0, 2))
    return float(difference[: WIDTH_PX // 2 - 4].mean()), float(difference[WIDTH_PX // 2 + 4 :].mean())


@pytest.mark.parametrize(
    ("plane", "sharp"),
    [(("--at", "10,20"), 0), (("--at", "50,20"), 1), (("--distance", "1"), 0), (("--distance", "4"), 1)],
)
def test_what_is_pointed_at_is_sharp_and_the_rest_is_not(folder: Path, plane: tuple[str, str], sharp: int) -> None:
    result = run("me.png", *plane, "--depth", "map.png", "--depth-unit", "mm", "--strength", "6")
    found = halves(folder)
    assert found[sharp] < 0.5
    assert found[1 - sharp] > 10
    assert "1 to 4 m" in result.stderr


def test_a_disk_that_fills_is_no_fault_of_the_photos(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "maps").mkdir()
    shutil.copy(folder / "me.png", folder / "you.png")
    for name in ("me.png", "you.png"):
        shutil.copy(folder / "map.png", folder / "maps" / name)
    saved: list[object] = []

    def full(self: Image.Image, path: object, **_: object) -> None:
        saved.append(path)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    arguments = ("me.png", "you.png", "--at", "10,20", "--depth", "maps", "--depth-unit", "mm", "--out", "out")
    result = CliRunner().invoke(refocus, arguments, standalone_mode=False)
    assert isinstance(result.exception, OSError)
    assert result.exception.filename == "out/me-refocused.png"
    assert len(saved) == 1, "the other one is not tried"


def test_a_map_that_is_too_large_is_of_its_photo_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.depth.files.MAX_ARRAY_BYTES", (folder / "map.npy").stat().st_size)
    (folder / "maps").mkdir()
    shutil.copy(folder / "me.png", folder / "you.png")
    np.save(folder / "maps" / "me.npy", np.ones((HEIGHT_PX, 2 * WIDTH_PX)))
    shutil.copy(folder / "map.npy", folder / "maps" / "you.npy")
    with pytest.raises(click.ClickException, match=r"1 of 2 photos could not be refocused\nme\.png: .*allowed are"):
        run("me.png", "you.png", "--at", "10,20", "--depth", "maps", "--depth-unit", "m", "--out", "out")
    assert (folder / "out" / "you-refocused.png").exists()


def test_an_array_in_metres_is_the_same_map(folder: Path) -> None:
    run("me.png", "--at", "10,20", "--depth", "map.png", "--depth-unit", "mm", "--out", "one")
    run("me.png", "--at", "10,20", "--depth", "map.npy", "--depth-unit", "m", "--out", "other")
    one, other = (np.asarray(Image.open(folder / name / "me-refocused.png")) for name in ("one", "other"))
    assert np.abs(one.astype(int) - other).max() <= 1


def test_a_sweep_is_an_animation_there_and_back(folder: Path) -> None:
    run("me.png", "--sweep", "4", "--depth", "map.png", "--depth-unit", "mm")
    with Image.open(folder / "me-sweep.webp") as animation:
        assert (animation.format, getattr(animation, "n_frames", 1), animation.size) == ("WEBP", 6, (WIDTH_PX, HEIGHT_PX))


def test_a_folder_of_maps_serves_many_photos_and_a_missing_one_is_named(folder: Path) -> None:
    (folder / "maps").mkdir()
    (folder / "map.png").rename(folder / "maps" / "me.png")
    Image.open(folder / "me.png").save(folder / "you.png")
    with pytest.raises(click.ClickException, match=r"1 of 2 photos.*\n.*you\.png.*needs one map called you"):
        run("me.png", "you.png", "--at", "10,20", "--depth", "maps", "--depth-unit", "mm")
    assert (folder / "me-refocused.png").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "refocusing needs depth"),
        (("--depth", "map.png", "--at", "1,1"), "unit of the depth map"),
        (("--depth", "map.png", "--depth-unit", "mm"), "which plane should be sharp"),
        (("--depth", "map.png", "--depth-unit", "mm", "--at", "1,1", "--subject"), "too many planes"),
        (("--depth", "map.png", "--depth-unit", "mm", "--at", "1"), "no point of a photo"),
        (("--depth", "map.png", "--depth-unit", "cm", "--at", "1,1"), "no unit of depth"),
        (("--depth", "map.png", "--depth-unit", "mm", "--at", "1,1", "--strength", "2", "--f-number", "2"), "leave one out"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_what_is_not_told_is_asked_for(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        run("me.png", *arguments)


@pytest.mark.parametrize(
    ("unit", "arguments", "words"),
    [
        ("m", ("--at", "1,1"), "no portrait has"),
        ("mm", ("--at", "60,1"), "outside the photo, which has 60 × 40"),
        ("disparity", ("--distance", "2"), "knows no metres"),
        ("disparity", ("--at", "1,1", "--f-number", "2"), "relative: use --strength"),
        ("mm", ("--at", "1,1", "--f-number", "2"), "does not tell its focal length"),
        ("mm", ("--distance", "-2"), "is no distance"),
        ("mm", ("--distance", "nan"), "is no distance"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_what_cannot_be_done_says_why(unit: str, arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(click.ClickException, match=words):
        run("me.png", "--depth", "map.png", "--depth-unit", unit, *arguments)


@pytest.mark.parametrize("option", ["--strength", "--f-number", "--focal-mm"])
def test_no_number_is_no_amount_of_blur(folder: Path, option: str) -> None:
    with pytest.raises(click.BadParameter, match="'nan' is no number"):
        run("me.png", "--at", "10,20", "--depth", "map.png", "--depth-unit", "mm", option, "nan")
    assert not (folder / "me-refocused.png").exists()


def test_the_person_is_found_without_a_project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
    found[:, : WIDTH_PX // 2] = 255
    monkeypatch.setattr("resources.segmenter.SegmenterResource.load", lambda self, home: None)
    monkeypatch.setattr("pipeline.masks.sources.SegmentedMasks.full_size_alpha", lambda self, rgb: found)
    run("me.png", "--subject", "--depth", "map.png", "--depth-unit", "mm", "--strength", "6")
    near, far = halves(folder)
    assert near < 0.5 < 10 < far


def test_a_map_of_another_shape_is_refused(folder: Path) -> None:
    Image.open(folder / "map.png").transpose(Image.Transpose.ROTATE_90).save(folder / "turned.png")
    with pytest.raises(click.ClickException, match="cropped or turned"):
        run("me.png", "--at", "1,1", "--depth", "turned.png", "--depth-unit", "mm")


def test_the_focal_length_is_read_from_the_photo(folder: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 85
    with Image.open(folder / "me.png") as photo:
        photo.save(folder / "told.jpg", exif=exif)
    by_exif = run("told.jpg", "--distance", "1", "--f-number", "1", "--depth", "map.png", "--depth-unit", "mm")
    by_hand = run(
        "me.png", "--distance", "1", "--f-number", "1", "--focal-mm", "85", "--depth", "map.png", "--depth-unit", "mm"
    )
    assert by_exif.stderr.partition(": ")[2] == by_hand.stderr.partition(": ")[2]


def test_a_map_upside_down_is_found_out_by_the_subject() -> None:
    alpha = np.zeros((4, 4), np.uint8)
    alpha[1:3, 1:3] = 255
    right = np.where(alpha > 0, 1.0, 0.3).astype(np.float32)
    assert SubjectPlane().disparity(right, True, lambda: alpha) == 1.0
    with pytest.raises(DepthError, match="inverted"):
        SubjectPlane().disparity(1.3 - right, True, lambda: alpha)
    with pytest.raises(DepthError, match="no person was found"):
        SubjectPlane().disparity(right, True, lambda: np.zeros_like(alpha))


def trained(folder: Path, model: str) -> str:
    """A finished run in the home; returns its name."""
    rng = np.random.default_rng(0)
    rgb, alpha = rng.integers(0, 255, (2, 32, 32, 3), dtype=np.uint8), np.full((2, 32, 32), 255, np.uint8)
    source = ArrayImages(rgb, alpha, {"depth": rng.uniform(0.4, 1.2, (2, 32, 32)).astype(np.float32)})
    tiny = {"steps": 2, "size_px": 32, "generator_channels": 2, "batch_size": 1}
    others = {"generator_blocks": 1, "discriminator_channels": 2, "discriminator_layers": 1, "perceptual_scale": "none"}
    profiles = {"depth": ("depth", tiny), "pix2pix": ("pix2pix_small", {**tiny, "discriminator_channels": 2})}
    settings = resolve(*profiles.get(model, ("smoke", {**tiny, **others})))
    name = f"0123456789abcdef-{model}-0"
    job = TrainingJob(
        run_id=name,
        run_dir=folder / "home" / "runs" / name,
        recipe=model,
        seed=0,
        model=model,
        settings=settings,
        snapshot_id="0123456789abcdef",
        manifest_path=folder,
        shards_dir=folder,
    )
    assert run_training(job, lambda: TrainingData(source, source, source)) is not None
    return name


@pytest.mark.parametrize("model", ["depth", "pix2pix"])
def test_a_model_predicts_the_depth_in_metres(folder: Path, model: str) -> None:
    name = trained(folder, model)
    result = run("me.png", "--at", "10,20", "--model", name)
    with Image.open(folder / "me-refocused.png") as refocused:
        assert refocused.size == (WIDTH_PX, HEIGHT_PX)
    assert "100% known" in result.stderr
    assert "in focus" in result.stderr
    run("me.png", "--distance", "1.2", "--model", name, "--out", "there")
    assert (folder / "there" / "me-refocused.png").exists()


def test_a_model_and_a_map_are_one_too_many_and_a_translator_is_none(folder: Path) -> None:
    name = trained(folder, "cyclegan")
    with pytest.raises(ConfigError, match="translates pictures"):
        run("me.png", "--at", "10,20", "--model", name)
    with pytest.raises(ConfigError, match="leave one out"):
        run("me.png", "--at", "10,20", "--model", name, "--depth", "map.png", "--depth-unit", "mm")
    with pytest.raises(ConfigError, match="does not exist"):
        run("me.png", "--at", "10,20", "--model", "nobody")


def test_a_network_in_a_file_estimates_the_depth(folder: Path) -> None:
    """It takes for near what is red, as the left half of this photo is."""
    rgb = np.asarray(Image.open(folder / "me.png")).copy()
    rgb[:, WIDTH_PX // 2 :, 0] //= 4
    Image.fromarray(rgb).save(folder / "me.png")
    write_network(folder / "net.onnx", weights=(1, 0, 0))
    result = run("me.png", "--at", "50,20", "--model", "net.onnx", "--network", "midas_small", "--strength", "6")
    left, right = halves(folder)
    assert "relative depth, 100% known" in result.stderr
    assert left > 2 * right
    (folder / "home").mkdir()
    shutil.copy(folder / "net.onnx", folder / "home" / "net.onnx")
    (folder / "home" / "bokehflow.toml").write_text(
        '[domains.ordinary]\n[domains.shallow]\n[depth]\nestimator = "onnx"\nnetwork = "net.onnx"\n'
        'network_gives = "m"\nnetwork_side_px = 32\nnetwork_sees = "unit"\n'
    )
    run("me.png", "--distance", "2", "--model", "net.onnx", "--out", "by-project")
    run("me.png", "--distance", "2", "--model", "net.onnx", "--network", "onnx", "--out", "by-name")
    run("me.png", "--distance", "2", "--out", "by-estimator")
    made = {(folder / by / "me-refocused.png").read_bytes() for by in ("by-project", "by-name", "by-estimator")}
    assert len(made) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model", "net.onnx"), "how is this network fed"),
        (("--model", "gone.onnx", "--network", "midas_small"), r"gone\.onnx: this network cannot be read: No such file"),
        (("--model", "me.onnx", "--network", "midas_small"), r"me\.onnx: onnxruntime cannot read this network"),
        (("--model", "some-run", "--network", "midas_small"), r"'some-run' is no FILE\.onnx"),
        (("--network", "midas_small", "--depth", "map.png", "--depth-unit", "mm"), "goes with --model"),
    ],
)
def test_a_network_that_cannot_be_used_says_why(folder: Path, arguments: tuple[str, ...], words: str) -> None:
    write_network(folder / "net.onnx")
    (folder / "me.onnx").write_bytes((folder / "me.png").read_bytes())
    with pytest.raises(ConfigError, match=words):
        run("me.png", "--at", "1,1", *arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "name a photo, or open the page"),
        (("--page",), "there is nothing to refocus"),
        (("me.png", "--page"), "refocusing needs depth"),
        (("nope.png", "--page", "--depth", "map.png", "--depth-unit", "mm"), "nope.png: there is no such photo"),
        (("me.png", "--page", "--at", "1,1", "--depth", "map.png", "--depth-unit", "mm"), "on the page you click"),
        (("me.png", "--page", "--strength", "9", "--depth", "map.png", "--depth-unit", "mm"), "goes to 8 per cent"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_page_without_what_it_needs_says_so(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        run(*arguments)
