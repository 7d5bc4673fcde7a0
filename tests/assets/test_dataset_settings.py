"""What the project file says of masks and training pictures reaches the assets, and makes them stale where it changes."""

import io
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from assets.dataset import dataset_assets
from pipeline.config import MasksSection, Project, parse_project
from pipeline.errors import ConfigError
from pipeline.masks.person_masks import read_mask
from pipeline.masks.segmenter import Seen, Segmenter
from pipeline.operations.dataset import make_depth_maps, make_person_masks
from pipeline.operations.stages import default_settings, provenance_of
from pipeline.tables import columns_of, conform
from resources.home import HomeResource
from resources.segmenter import SegmenterResource
from storage import Home
from storage.provenance import differences
from tests.blobs import stored

DOMAINS = '[domains.ordinary]\nqueries = [{text = "a"}]\n[domains.shallow]\nqueries = [{text = "b"}]\n'


def project(folder: Path, text: str = "") -> Project:
    return parse_project(DOMAINS + text, folder / "bokehflow.toml")


def code_versions(given: Project) -> dict[str, str | None]:
    return {
        key.to_user_string(): version
        for asset in dataset_assets(given)
        for key, version in asset.code_versions_by_key.items()
    }


@pytest.mark.parametrize(
    ("text", "stale"),
    [
        ("[masks]\nviews = 1\n", {"person_masks"}),
        ('[masks]\nsegmenter = "deeplabv3_mobilenet"\n', {"person_masks"}),
        ("[masks]\nrefine = []\n", {"person_masks"}),
        ('[dataset]\ncrop = "subject"\n', {"training_images"}),
        ("[dataset]\nstored_size_px = 286\n", {"training_images"}),
        ('[dataset]\ncrop = "tiles"\n', {"training_images"}),
        ('[dataset]\nsplit = "study"\n', {"dataset_manifest"}),
    ],
)
def test_a_changed_setting_is_stale_in_dagster_and_asks_for_a_run(tmp_path: Path, text: str, stale: set[str]) -> None:
    before, after = project(tmp_path), project(tmp_path, text)
    old, new = code_versions(before), code_versions(after)
    assert {name for name in old if old[name] != new[name]} == stale
    home = Home(tmp_path)
    for name in ("person_masks", "training_images", "dataset_manifest"):
        found = differences(provenance_of(before, home, name), provenance_of(after, home, name), default_settings(name))
        assert bool(found) == (name in stale)


def test_a_folder_of_masks_is_seen_from_the_project_file(tmp_path: Path) -> None:
    given = project(tmp_path, '[masks]\nsegmenter = "folder"\nfolder = "given/masks"\n')
    assert given.masks.folder == str(tmp_path / "given" / "masks")
    for text in ('[masks]\nsegmenter = "folder"\n', '[masks]\nfolder = "given"\n'):
        with pytest.raises(ConfigError, match=r"bokehflow\.toml:5: masks: .*go together"):
            project(tmp_path, text)
    with pytest.raises(ConfigError, match=r"stored_size_px = 128 is smaller than size_px = 256"):
        project(tmp_path, "[dataset]\nstored_size_px = 128\n")


class Crowded(Segmenter):
    """Two people in every picture; the left one is larger."""

    name, version = "crowded", "1"

    def see(self, pictures: Sequence[np.ndarray]) -> list[Seen]:
        alpha = np.zeros((300, 400), np.uint8)
        alpha[50:, 40:200], alpha[100:, 280:380] = 255, 255
        return [Seen(alpha, None) for _ in pictures]


class CrowdedResource(SegmenterResource):
    def load(self, home: Home) -> Segmenter:
        return Crowded()


def test_the_nearest_by_given_maps_is_the_subject_and_a_new_map_makes_the_mask_due(tmp_path: Path) -> None:
    text = '[depth]\nestimator = "folder"\nfolder = "given"\nunit = "m"\n'
    with pytest.raises(
        ConfigError, match=r"bokehflow\.toml:6: masks\.others.*goes by depth, and \[depth\] estimator is 'none'"
    ):
        project(tmp_path, '[masks]\nothers = "nearest"\n')
    given = project(tmp_path, text + '[masks]\nothers = "nearest"\nrefine = []\n')
    home, depth_m = Home(tmp_path / "home"), np.full((150, 200), 6.0)
    sha256 = stored(home, jpeg(0))
    kept = {"photo_id": "flickr:0", "sha256": sha256, "domain": "ordinary", "target_domain": "ordinary"}
    decision = {"decided_photo_id": "flickr:0", "decision": "keep", "decided_at_s": 0, "file": "a.csv", "row": 1}
    curated = dict.fromkeys(columns_of("curated_photos")) | kept | decision | {"split_key": "k"}
    home.tables.write("curated_photos", pd.DataFrame([curated]))
    segmenter, subjects = CrowdedResource(MasksSection()), []
    (tmp_path / "given").mkdir()
    np.save(tmp_path / "given" / "flickr_1.npy", depth_m)
    with pytest.raises(ConfigError, match=r"no map of any photo that is kept, the first flickr:0: .* has no flickr_0\.png"):
        make_depth_maps(given, home, lambda done, total: None)
    for nearest in (slice(140, 190), slice(20, 100)):
        depth_m[:], depth_m[50:, nearest] = 6.0, 1.5
        np.save(tmp_path / "given" / "flickr_0.npy", depth_m)
        asked = provenance_of(given, home, "depth_maps")
        home.tables.write("depth_maps", make_depth_maps(given, home, lambda done, total: None), provenance=asked)
        if info := home.tables.info("person_masks"):
            assert info.provenance is not None
            required = provenance_of(given, home, "person_masks")
            assert differences(info.provenance, required, {}) == ["`depth_maps` changed"]
        table, provenance = make_person_masks(given, home, segmenter, lambda done, total: None)
        home.tables.write("person_masks", table, provenance=provenance)
        alpha = read_mask(home.masks / table["mask"].iloc[0])
        subjects.append(alpha[200, [100, 330]].tolist())
    assert subjects == [[0, 255], [255, 0]]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("max_tiles = 3", 'tile_px, tile_overlap and max_tiles are for crop = "tiles"'),
        ('crop = "tiles"\ntile_px = 200', "tile_px = 200 is smaller than the stored size, 256"),
    ],
)
def test_settings_of_tiles_that_cannot_be(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        project(tmp_path, f"[dataset]\n{text}\n")


def jpeg(seed: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), np.uint8)
    Image.fromarray(pixels).resize((400, 300)).save(buffer, "JPEG")
    return buffer.getvalue()


def test_given_masks_become_training_pictures_and_bad_ones_rows_with_a_reason(tmp_path: Path) -> None:
    given = project(
        tmp_path,
        '[masks]\nsegmenter = "folder"\nfolder = "given"\n[dataset]\ncrop = "subject"\nsize_px = 32\nstored_size_px = 40\n',
    )
    home, rows = Home(tmp_path / "home"), []
    for number in range(5):
        with home.blobs.temporary() as path:
            path.write_bytes(jpeg(number))
            home.blobs.adopt(path, f"{number:064x}")
        rows.append({"photo_id": f"flickr:{number}", "sha256": f"{number:064x}"})
    (tmp_path / "given").mkdir()
    mask = np.zeros((150, 200), np.uint8)
    mask[50:, 120:180] = 255
    Image.fromarray(mask).save(tmp_path / "given" / "flickr_0.png")
    Image.fromarray(mask[:, :150]).save(tmp_path / "given" / "flickr_1.png")
    (tmp_path / "given" / "flickr_2.png").write_bytes(b"not a picture")
    Image.fromarray(mask * 0).save(tmp_path / "given" / "flickr_3.png")
    frame = pd.DataFrame(rows).assign(target_domain="ordinary", split_key="k")
    table = _segmented(given, home, frame)
    assert table["reason"].fillna("").tolist() == ["", "mask_wrong_size", "mask_unreadable", "no_subject", "mask_missing"]
    assert "150×150 px" in table["detail"].iloc[1]
    assert table["people"].isna().all()


def test_masks_that_are_all_missing_are_explained_where_the_manifest_is_refused(tmp_path: Path) -> None:
    given = project(tmp_path, '[masks]\nsegmenter = "folder"\nfolder = "given"\n')
    home = Home(tmp_path / "home")
    rows = [
        {"photo_id": f"flickr:{number}", "domain": domain, "sha256": f"{number:064x}", "split_key": f"flickr:{number}"}
        for number, domain in enumerate(["ordinary", "shallow"])
    ]
    lost = {"coverage": 0.0, "reason": "mask_missing", "detail": "there is no flickr_0.png"}
    home.tables.write("person_masks", pd.DataFrame(rows).assign(**lost))
    home.tables.write("curated_photos", pd.DataFrame(rows).head(0))
    made = ("training_images", "dataset_manifest")
    assets = [asset for asset in dataset_assets(given) if asset.key.to_user_string() in made]
    resources = {"home": HomeResource(root=str(home.root)), "segmenter": SegmenterResource(given.masks)}
    done = dg.materialize(assets, resources=resources, raise_on_error=False)
    (refused,) = [found for found in done.get_asset_check_evaluations() if not found.passed]
    assert refused.check_name == "can_be_frozen"
    assert "no picture in ordinary: of 1 kept photo none has a mask (1 mask_missing; " in str(refused.metadata)


def _segmented(given: Project, home: Home, photos: pd.DataFrame) -> pd.DataFrame:
    from pipeline.masks.person_masks import segment_photos
    from pipeline.operations.masks import mask_source

    def read_rgb(sha256: str) -> np.ndarray:
        with Image.open(home.blobs.path(sha256)) as image:
            return np.asarray(image.convert("RGB"))

    source = mask_source(given, home, SegmenterResource(given.masks), read_rgb)
    return conform("person_masks", segment_photos(photos, source, home.masks, given.masks.min_coverage))


def test_the_assets_load(tmp_path: Path) -> None:
    resources = {"home": HomeResource(root=str(tmp_path)), "segmenter": SegmenterResource(MasksSection())}
    dg.Definitions.validate_loadable(dg.Definitions(dataset_assets(project(tmp_path)), resources=resources))
