"""With one view a picture's mask comes with its hints, of one decoding and one segmentation, and is the very same."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.atomic import write_remade
from pipeline.config import Project
from pipeline.errors import WeightsError
from pipeline.masks.person_masks import make_masks, mask_file, read_mask
from pipeline.masks.selfie import SelfieSegmenter
from pipeline.masks.sources import PhotoToMask
from pipeline.masks.subject import Subject
from pipeline.operations.curation import hints_measurer
from pipeline.operations.forget import forget
from pipeline.operations.masks import source_for_photos
from pipeline.studio.pictures import PICTURES
from resources.segmenter import SegmenterResource
from storage import Home
from tests.blobs import stored
from tests.conftest import WEIGHTS
from tests.picture_home import home_of_pictures

SIZES = [(192, 192), (300, 512), (640, 480)]


def a_project(**masks: object) -> Project:
    depth = {"estimator": "run:a-run"} if masks.get("others") == "nearest" else {}
    domains = {"ordinary": {}, "shallow": {}}
    return Project.model_validate({"domains": domains, "masks": {"views": 1, **masks}, "depth": depth})


def a_home(root: Path) -> tuple[Home, list[str]]:
    """Of rendered portraits, the last of them larger than what either looks at."""
    if not (WEIGHTS / "selfie_segmentation.tflite").exists():
        pytest.skip("the segmenter's weights are not here: `bokehflow weights --home .venv/test-home` fetches them")
    home, digests = Home(root), []
    root.mkdir()
    home.weights.symlink_to(WEIGHTS)
    for path, size in zip(sorted((PICTURES / "ordinary").glob("*[0-9].jpg")), SIZES, strict=False):
        buffer = io.BytesIO()
        Image.open(path).convert("RGB").resize(size).save(buffer, "JPEG", quality=90)
        digests.append(stored(home, buffer.getvalue()))
    return home, digests


def masks_of(home: Home) -> dict[str, tuple[bytes, bytes]]:
    """Pixels and the whole file of each mask, by its path below the folder of masks."""
    found = sorted(home.masks.rglob("*.png"))
    return {str(path.relative_to(home.masks)): (read_mask(path).tobytes(), path.read_bytes()) for path in found}


def written_at(home: Home) -> dict[Path, int]:
    """When each mask and thumbnail was written, ns."""
    return {path: path.stat().st_mtime_ns for folder in (home.masks, home.thumbnails) for path in folder.rglob("*.*")}


@pytest.mark.parametrize("refine", [[], ["edges"]])
def test_masks_come_with_hints_and_are_the_same(tmp_path: Path, refine: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    project = a_project(refine=refine)
    segmenter = SegmenterResource(project.masks)
    beside, digests = a_home(tmp_path / "beside")
    alone, _ = a_home(tmp_path / "alone")
    pictures = [PhotoToMask(digest, (f"flickr:{n}",)) for n, digest in enumerate(digests)]
    measure, _ = hints_measurer(project, beside, segmenter)
    hints = measure(digests)
    early, written = masks_of(beside), written_at(beside)
    assert measure(digests) == hints
    assert written_at(beside) == written
    assert {Path(name).stem for name in early} == set(digests[:2])
    assert {path.stem for path in written if path.suffix == ".jpg"} == set(digests)
    made = [dict(masks) for masks in make_masks(pictures, source_for_photos(project, alone, segmenter), alone.masks)]
    assert masks_of(alone) == {**masks_of(alone), **early}
    looked_at: list[int] = []
    see = SelfieSegmenter.see
    monkeypatch.setattr(SelfieSegmenter, "see", lambda self, shown: looked_at.append(len(shown)) or see(self, shown))
    again = [dict(masks) for masks in make_masks(pictures, source_for_photos(project, beside, segmenter), beside.masks)]
    assert again == made
    assert masks_of(beside) == masks_of(alone)
    assert looked_at == [1]
    other = a_project(views=2, second_opinion=False)
    elsewhere, _ = a_home(tmp_path / "elsewhere")
    other_measure, _ = hints_measurer(other, elsewhere, SegmenterResource(other.masks))
    assert other_measure(digests) == hints
    assert not elsewhere.masks.exists()


@pytest.mark.parametrize("masks", [{"views": 4}, {"others": "nearest"}, {"long_side_px": 128}])
def test_where_masks_come_of_more_none_is_made_early(tmp_path: Path, masks: dict[str, object]) -> None:
    project = a_project(**masks)
    home, digests = a_home(tmp_path / "home")
    try:
        measure, _ = hints_measurer(project, home, SegmenterResource(project.masks))
    except WeightsError as error:
        pytest.skip(str(error))
    assert measure(digests[:1])[0].person_share > 0
    assert not masks_of(home)


def test_a_mask_of_a_photo_that_nobody_kept_is_forgotten_with_it(tmp_path: Path) -> None:
    home = home_of_pictures(tmp_path, 4)
    pictures = home.tables.read("unique_photos").set_index("photo_id")["sha256"]
    for digest in pictures:
        write_remade(mask_file(digest, Subject(np.zeros((9, 9), np.uint8), 0, 0.0), "selfie-1", home.masks))
    forget(home, ["flickr:2"], now_s=1)
    assert {path.stem for path in home.masks.rglob("*.png")} == set(pictures.drop("flickr:2"))
