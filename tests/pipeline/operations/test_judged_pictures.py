"""What pictures are judged by is cut exactly as the pictures were, and passes the same way from segmenter to alpha."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.config import Project, parse_project
from pipeline.dataset.prepare import ShardFolder, prepare_images
from pipeline.masks.person_masks import read_mask, segment_photos
from pipeline.operations.judged_pictures import scene_frame, true_masks
from pipeline.operations.masks import mask_source
from pipeline.operations.training_images import plan, readers
from pipeline.tables import conform
from resources.segmenter import SegmenterResource
from storage import Home
from tests.blobs import stored
from tests.conftest import WEIGHTS

DOMAINS = '[domains.ordinary]\nqueries = [{text = "a"}]\n[domains.shallow]\nqueries = [{text = "b"}]\n'
GIVEN = '[masks]\nsegmenter = "folder"\nfolder = "given"\n'
WIDTH, HEIGHT = 400, 240
CROPS = ['crop = "centre"', 'crop = "subject"', 'crop = "tiles"\ntile_px = 128\nmax_tiles = 3']


def subject(number: int) -> np.ndarray:
    """A bust far to the right or to the left."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    left = 20 if number % 2 else 270
    mask[60:, left : left + 90] = 255
    return mask


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def prepared(home: Home, project: Project) -> pd.DataFrame:
    """Pictures of four photos by given masks, with what a manifest says of them."""
    rows = []
    for number in range(4):
        buffer = io.BytesIO()
        noise = np.random.default_rng(number).integers(0, 256, (30, 50, 3), np.uint8)
        Image.fromarray(noise).resize((WIDTH, HEIGHT)).save(buffer, "JPEG")
        sha256 = stored(home, buffer.getvalue())
        rows.append({"photo_id": f"flickr:{number}", "sha256": sha256, "target_domain": "ordinary", "split_key": "k"})
    source = mask_source(project, home, SegmenterResource(project.masks))
    masks = segment_photos(pd.DataFrame(rows), source, home.masks, 0.0)
    table = prepare_images(
        masks=masks,
        readers=readers(project, home),
        shards=ShardFolder(home.shards, 5),
        plan=plan(project),
    )
    return conform("training_images", table).merge(masks[["photo_id", "mask"]])


@pytest.mark.parametrize("crop", CROPS)
def test_true_masks_are_cut_as_their_pictures_were(tmp_path: Path, home: Home, crop: str) -> None:
    for folder, suffix in (("given", "flickr_"), ("truth/masks", "")):
        (tmp_path / folder).mkdir(parents=True)
        for number in range(4):
            Image.fromarray(subject(number)).save(tmp_path / folder / f"{suffix}{number}.png")
    (tmp_path / "truth" / "masks" / "3.png").unlink()
    project = parse_project(DOMAINS + GIVEN + f"[dataset]\nsize_px = 64\n{crop}\n", tmp_path / "bokehflow.toml")
    manifest = prepared(home, project)
    truth, alpha = true_masks(home, manifest, tmp_path / "truth")
    assert len(truth.photo_ids) == len(set(truth.photo_ids)) == (9 if "tiles" in crop else 3)
    assert not any(name.startswith("flickr:3") for name in truth.photo_ids)
    np.testing.assert_array_equal(truth.masks, alpha)
    if "centre" not in crop:
        assert alpha.any()


def test_without_true_masks_nothing_is_compared(tmp_path: Path, home: Home) -> None:
    truth, alpha = true_masks(home, pd.DataFrame(columns=["photo_id", "transform", "mask"]), tmp_path)
    assert truth.photo_ids == []
    assert len(alpha) == len(truth.masks) == 0


@pytest.mark.parametrize("crop", CROPS)
def test_scenes_pass_the_way_that_photos_do(tmp_path: Path, crop: str) -> None:
    if not WEIGHTS.exists():
        pytest.skip("the segmenter's weights are not here: `bokehflow weights --home .venv/test-home` fetches them")
    home = Home(tmp_path)
    (tmp_path / "weights").symlink_to(WEIGHTS)
    text = f'[masks]\nviews = 2\nrefine = ["edges"]\nlong_side_px = 128\n[dataset]\nsize_px = 64\n{crop}\n'
    project = parse_project(DOMAINS + text, tmp_path / "bokehflow.toml")
    picture = next((Path(__file__).parents[3] / "pipeline" / "studio" / "pictures" / "scoring").glob("*_sharp.jpg"))
    sharp = np.asarray(Image.open(picture))
    segmenter = SegmenterResource(project.masks)
    cut, alpha = scene_frame(project, home, segmenter.load(home))(sharp)
    source = mask_source(project, home, segmenter, lambda sha256: sharp)
    rows = pd.DataFrame({"photo_id": ["flickr:1"], "sha256": ["0" * 64], "target_domain": "ordinary", "split_key": "k"})
    mask = segment_photos(rows, source, home.masks, 0.0)["mask"].iloc[0]
    np.testing.assert_array_equal(alpha, read_mask(home.masks / mask))
    assert cut(sharp).shape == (64, 64, 3)
    assert cut(alpha).shape == (64, 64)
    assert cut(alpha).max() > 200
