"""The demo's collection: built the same each time, found by the searches, and its dirt as the list says."""

import csv
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from pipeline.curation.decisions import read_decisions
from pipeline.emulators.collection import CollectionPhoto, load_collection
from pipeline.emulators.flickr_answers import matcher
from pipeline.sources.found import normalised_tag
from pipeline.studio.collection import build_collection
from pipeline.studio.scene import METRES_PER_UNIT, camera_of, describe_scene

EXCLUDED = ("blackandwhite", "BW", "monochrome", "animal", "cat", "dog", "bird", "flower")
NO_WORDS = {"tags": "", "tag_mode": "", "license": "", "media": "photos", "content_types": "0"}
COPIES = ("exact_copy", "resaved_copy", "resized_copy", "mirrored_copy")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("collection")
    build_collection(target)
    return target


@pytest.fixture(scope="module")
def photos(folder: Path) -> dict[str, CollectionPhoto]:
    return {f"flickr:{photo.id}": photo for photo in load_collection(folder)}


@pytest.fixture(scope="module")
def domains(folder: Path) -> dict[str, str]:
    lines = map(json.loads, (folder / "collection.jsonl").read_text().splitlines())
    return {f"flickr:{line['id']}": line["domain_hint"] for line in lines}


@pytest.fixture(scope="module")
def planted(folder: Path) -> list[dict[str, str]]:
    with (folder / "planted.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def grey(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("L").resize((96, 96))).astype(float)


def search(photos: dict[str, CollectionPhoto], text: str, camera: str = "") -> set[str]:
    excluded = " ".join(f"-{normalised_tag(tag)}" for tag in EXCLUDED)
    matches = matcher({**NO_WORDS, "text": f"{text} {excluded}", "camera": camera})
    return {photo_id for photo_id, photo in photos.items() if matches(photo)}


def test_building_twice_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    build_collection(tmp_path / "again")
    assert digests(tmp_path / "again") == digests(folder)


def test_each_search_finds_its_domain_and_no_other(photos: dict[str, CollectionPhoto], domains: dict[str, str]) -> None:
    by_domain = {name: {id for id, domain in domains.items() if domain == name} for name in ("ordinary", "shallow")}
    assert search(photos, "portrait", "apple/iphone_7") == by_domain["ordinary"]
    assert search(photos, "portrait bokeh") == by_domain["shallow"]


def test_there_are_sixty_clean_photos_in_each_domain(
    folder: Path, domains: dict[str, str], planted: list[dict[str, str]]
) -> None:
    clean = set(domains) - {row["photo_id"] for row in planted}
    assert sorted(domains[photo_id] for photo_id in clean) == ["ordinary"] * 60 + ["shallow"] * 60
    masks = {f"flickr:{path.stem}" for path in (folder / "truth" / "masks").iterdir()}
    assert masks == clean


def test_photos_look_like_those_of_a_site(photos: dict[str, CollectionPhoto]) -> None:
    assert all(photo_id.removeprefix("flickr:").isdigit() for photo_id in photos)
    begin_s, end_s = (datetime(2024, month, 1, tzinfo=UTC).timestamp() for month in (1, 4))
    uploads = [photo.date_upload for photo in photos.values()]
    assert all(begin_s <= upload < end_s for upload in uploads)
    assert {datetime.fromtimestamp(upload, UTC).month for upload in uploads} == {1, 2, 3}
    assert len(set(uploads)) == len(uploads)
    assert all((photo.last_update or 0) >= photo.date_upload for photo in photos.values())
    assert len({photo.license for photo in photos.values()}) > 8
    assert len({photo.owner for photo in photos.values()}) > 15
    titles = "".join(photo.title for photo in photos.values())
    assert all(sign in titles for sign in ("😊", '"', "<b>", "=1+1", "פ", "\n"))


def test_every_kind_of_dirt_is_planted(planted: list[dict[str, str]]) -> None:
    counts: dict[tuple[str, str], int] = {}
    for row in planted:
        counts[row["kind"], row["expected"]] = counts.get((row["kind"], row["expected"]), 0) + 1
    assert counts == {
        ("exact_copy", "same_bytes"): 3,
        ("resaved_copy", "perceptual"): 3,
        ("resized_copy", "perceptual"): 3,
        ("mirrored_copy", "mirrored"): 2,
        ("monochrome", "edited"): 3,
        ("tagged_monochrome", "excluded_tag"): 2,
        ("thin_lens_in_ordinary", "move"): 2,
        ("sharp_in_shallow", "unfit_blur"): 2,
        ("no_person", "no_person"): 6,
        ("tagged_no_cv", "no_cv"): 1,
        ("truncated_file", "truncated"): 1,
        ("html_file", "not_an_image"): 1,
        ("removed_photo", "unavailable"): 1,
    }


def test_copies_are_later_uploads_of_their_originals(
    folder: Path, photos: dict[str, CollectionPhoto], planted: list[dict[str, str]]
) -> None:
    for row in planted:
        assert bool(row["original_photo_id"]) == (row["kind"] in COPIES)
        if row["kind"] not in COPIES:
            continue
        copy, original = photos[row["photo_id"]], photos[row["original_photo_id"]]
        assert copy.date_upload > original.date_upload
        copied, first = folder / str(copy.file), folder / str(original.file)
        assert (copied.read_bytes() == first.read_bytes()) == (row["kind"] == "exact_copy")
        assert (pixels(copied).size < pixels(first).size) == (row["kind"] == "resized_copy")
        seen = grey(copied)[:, ::-1] if row["kind"] == "mirrored_copy" else grey(copied)
        assert np.corrcoef(seen.ravel(), grey(first).ravel())[0, 1] > 0.99


def test_the_other_dirt_is_what_it_is_called(
    folder: Path, photos: dict[str, CollectionPhoto], planted: list[dict[str, str]]
) -> None:
    for row in planted:
        photo = photos[row["photo_id"]]
        path = folder / str(photo.file)
        assert photo.removed == (row["kind"] == "removed_photo")
        assert ("no_cv" in photo.tags) == (row["kind"] == "tagged_no_cv")
        assert ("blackandwhite" in photo.tags) == (row["kind"] == "tagged_monochrome")
        if row["kind"] == "truncated_file":
            with Image.open(path) as image, pytest.raises(OSError, match="truncated"):
                image.load()
        elif row["kind"] == "html_file":
            with pytest.raises(UnidentifiedImageError):
                Image.open(path)
        else:
            assert (np.ptp(pixels(path), axis=-1).max() <= 2) == (row["kind"] in ("monochrome", "tagged_monochrome"))


def test_every_other_photo_is_a_sound_picture(
    folder: Path, photos: dict[str, CollectionPhoto], planted: list[dict[str, str]]
) -> None:
    for photo_id in set(photos) - {row["photo_id"] for row in planted}:
        assert pixels(folder / str(photos[photo_id].file)).shape[2] == 3


def test_decisions_cover_what_reaches_review(
    folder: Path, photos: dict[str, CollectionPhoto], domains: dict[str, str], planted: list[dict[str, str]], tmp_path: Path
) -> None:
    (tmp_path / "decisions.csv").write_bytes((folder / "decisions.csv").read_bytes())
    decisions, problems = read_decisions(tmp_path, set(photos), set(domains.values()))
    assert problems == []
    decided = {decision.photo_id: decision for decision in decisions}
    assert len(decided) == len(decisions)
    kinds = {row["photo_id"]: row for row in planted}
    unreached = ("same_bytes", "perceptual", "excluded_tag", "no_cv", "truncated", "not_an_image", "unavailable")
    for photo_id, domain in domains.items():
        row = kinds.get(photo_id)
        if row is not None and row["expected"] in unreached:
            assert photo_id not in decided
            continue
        decision = decided[photo_id]
        found = decision.decision if row is not None and row["expected"] == "move" else decision.reason or "keep"
        assert found == ("keep" if row is None or row["kind"] == "mirrored_copy" else row["expected"])
        assert decision.move_to == ("shallow" if decision.decision == "move" else None)
        assert domain == domains[photo_id]


def test_scoring_scenes_are_listed_beside_their_files(folder: Path) -> None:
    with (folder / "truth" / "scoring" / "scoring.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    named = {row[view] for row in rows for view in ("sharp", "shallow", "mask", "depth")}
    assert {path.name for path in (folder / "truth" / "scoring").iterdir()} == {*named, "scoring.csv"}


def test_scoring_scenes_say_how_they_were_taken(folder: Path) -> None:
    with (folder / "truth" / "scoring" / "scoring.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["aperture_mm"] for row in rows}) > 12
    assert camera_of(int(rows[3]["scene"])) == describe_scene(int(rows[3]["scene"])).camera
    for row in rows:
        camera = camera_of(int(row["scene"]))
        assert float(row["aperture_mm"]) == pytest.approx(2000 * METRES_PER_UNIT * camera.lens_radius, abs=0.06)
        assert float(row["focus_distance_m"]) == pytest.approx(METRES_PER_UNIT * camera.focus_distance, abs=0.001)
        assert float(row["background_distance_m"]) > float(row["focus_distance_m"]) + 0.5
