"""The demo's collection: the committed pictures as photos of a Flickr-like site, with dirt planted among them.

    collection.jsonl    one photo a line: what its owner uploaded and wrote
    files/ID.jpg        the uploaded files
    planted.csv         every planted photo and by what the pipeline should find it
    decisions.csv       a reviewer's decision for every photo that reaches review
    truth/masks/ID.png  the sitter's true mask of every clean photo
    truth/scoring/      scenes held out for scoring, listed in scoring.csv

Built from the same pictures it is the same to the byte: all chance comes from one seed.
"""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.atomic import write_bytes, write_text
from pipeline.file_names import child, inside
from pipeline.photo_ids import flickr_id
from pipeline.pillow import as_file
from pipeline.plain_files import plain_path, read_plain
from pipeline.spreadsheet import csv_text
from pipeline.studio.owners_words import CAMERAS, ORDINARY_WORDS, OWNERS, PHONE, SHALLOW_WORDS, CameraModel, Words
from pipeline.studio.pictures import PICTURES, Shot, shots_of
from pipeline.studio.scene import METRES_PER_UNIT, camera_of

CLEAN_PER_DOMAIN = 60
SEED = 20240101
FIRST_ID = 4950000001
FIRST_UPLOAD_S = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp())
LAST_UPLOAD_S = int(datetime(2024, 3, 31, 23, 59, 59, tzinfo=UTC).timestamp())
DAY_S = 86_400
CURATOR = "demo reviewer"
LICENSES = ["4", "5", "2", "1", "9", "4", "11", "12", "10", "14", "3", "6", "15", "0"]

SLIPPING_IDS = ("4950001002", "4950001015")
"""Ids of the photos with an excluded tag: of those, a search lets some through, depending on the id."""


@dataclass(frozen=True)
class RenderedDecision:
    """What the reviewer decides about a photo."""

    decision: str
    reason: str = ""
    move_to: str = ""
    note: str = ""


KEEP = RenderedDecision("keep")


@dataclass(frozen=True)
class Upload:
    """A file and what is known about it before it gets an id, an owner and a date.

    `kind` and `expected` are empty for a clean photo; `expected` is the reason, rule or decision by which the
    pipeline should find a planted one. `source` names the picture shown, `copied` that it is an upload of a
    picture already there. `decision` is None if the photo must not reach review.
    """

    domain: str
    source: str
    data: bytes
    kind: str = ""
    expected: str = ""
    decision: RenderedDecision | None = KEEP
    copied: bool = False
    mask: Path | None = None
    extra_tag: str | None = None
    id: str | None = None


@dataclass(frozen=True)
class RenderedPhoto:
    """One line of `collection.jsonl`. Times are Unix seconds."""

    id: str
    domain_hint: str
    owner: str
    owner_name: str
    title: str
    description: str
    tags: Sequence[str]
    license: str
    date_upload: int
    date_taken: str
    last_update: int
    views: int
    camera: str
    media: str
    file: str
    removed: bool
    exif: Mapping[str, str] | None


def build_collection(folder: Path, pictures: Path = PICTURES) -> None:
    """Write the collection into `folder`, replacing what is there; the same bytes each time."""
    rng = np.random.default_rng(SEED)
    uploads = [*_clean(pictures), *_copies(pictures), *_mistakes(pictures)]
    ordered = sorted(zip(_upload_times(rng, uploads), uploads, strict=True), key=lambda timed: timed[0])
    photos = _described(rng, ordered)
    for photo, (_, upload) in zip(photos, ordered, strict=True):
        write_bytes(inside(folder, photo.file), upload.data)
        if upload.mask is not None:
            write_bytes(child(folder / "truth" / "masks", f"{photo.id}.png"), read_plain(upload.mask))
    pairs = [(photo, upload) for photo, (_, upload) in zip(photos, ordered, strict=True)]
    write_text(folder / "collection.jsonl", "".join(f"{json.dumps(asdict(photo))}\n" for photo in photos))
    _write_csv(folder / "planted.csv", _planted(pairs))
    _write_csv(folder / "decisions.csv", _decisions(pairs))
    _copy_scoring(folder / "truth" / "scoring", pictures)


def _clean(pictures: Path) -> list[Upload]:
    return [
        Upload(domain, file, read_plain(inside(pictures, file)), mask=inside(pictures, shot.files()["mask"]))
        for domain in ("ordinary", "shallow")
        for shot in shots_of(domain)[:CLEAN_PER_DOMAIN]
        for file in [shot.files()["sharp" if domain == "ordinary" else "shallow"]]
    ]


def _copies(pictures: Path) -> list[Upload]:
    """Second uploads of clean photos: as they are, saved again, made smaller, mirrored."""
    copies = []
    for domain, number, kind, expected in (
        ("ordinary", 3, "exact_copy", "same_bytes"),
        ("ordinary", 11, "exact_copy", "same_bytes"),
        ("shallow", 7, "exact_copy", "same_bytes"),
        ("ordinary", 17, "resaved_copy", "perceptual"),
        ("shallow", 20, "resaved_copy", "perceptual"),
        ("shallow", 33, "resaved_copy", "perceptual"),
        ("ordinary", 25, "resized_copy", "perceptual"),
        ("ordinary", 40, "resized_copy", "perceptual"),
        ("shallow", 41, "resized_copy", "perceptual"),
        ("ordinary", 48, "mirrored_copy", "mirrored"),
        ("shallow", 52, "mirrored_copy", "mirrored"),
    ):
        source = _file_of(domain, number)
        data = _altered(read_plain(inside(pictures, source)), kind)
        # A mirrored copy may stay unfound; the reviewer, who has not seen its original side by side, keeps it.
        decision = KEEP if kind == "mirrored_copy" else None
        copies.append(Upload(domain, source, data, kind, expected, decision, copied=True))
    return copies


def _mistakes(pictures: Path) -> list[Upload]:
    """Photos that do not belong: monochrome, in the wrong place, without a person, unusable, unwanted, gone."""
    edited = RenderedDecision("drop", "edited", note="black and white")
    move = RenderedDecision("move", move_to="shallow", note="background is out of focus")
    unfit, deserted = RenderedDecision("drop", "unfit_blur", note="all in focus"), RenderedDecision("drop", "no_person")
    planted = [
        *(("ordinary", "ordinary", number, "monochrome", "edited", edited) for number in (60, 61, 62)),
        ("ordinary", "ordinary", 63, "tagged_no_cv", "no_cv", None),
        *(("shallow", "ordinary", number, "sharp_in_shallow", "unfit_blur", unfit) for number in (64, 65)),
        *(("shallow", "shallow", number, "tagged_monochrome", "excluded_tag", None) for number in (60, 61)),
        *(("ordinary", "shallow", number, "thin_lens_in_ordinary", "move", move) for number in (62, 63)),
        ("shallow", "shallow", 64, "truncated_file", "truncated", None),
        ("shallow", "shallow", 65, "removed_photo", "unavailable", None),
        ("ordinary", "ordinary", 0, "html_file", "not_an_image", None),
        *(("ordinary", "empty", number, "no_person", "no_person", deserted) for number in (0, 1, 2)),
        *(("shallow", "empty", number, "no_person", "no_person", deserted) for number in (3, 4, 5)),
    ]
    tags = {"tagged_no_cv": "no_cv", "tagged_monochrome": "blackandwhite"}
    ids = iter(SLIPPING_IDS)
    uploads = []
    for domain, group, number, kind, expected, decision in planted:
        source = _file_of(group, number)
        data = _altered(read_plain(inside(pictures, source)), kind)
        id = next(ids) if kind == "tagged_monochrome" else None
        uploads.append(Upload(domain, source, data, kind, expected, decision, extra_tag=tags.get(kind), id=id))
    return uploads


def _file_of(group: str, number: int) -> str:
    files = shots_of(group)[number].files()
    return files.get("sharp") or files["shallow"]


def _altered(data: bytes, kind: str) -> bytes:
    """The file of a planted photo, made of the file of a clean one."""
    image = Image.open(io.BytesIO(data))
    match kind:
        case "resaved_copy":
            return as_file(image, "JPEG", quality=62)
        case "resized_copy":
            smaller = image.resize((image.width * 3 // 4, image.height * 3 // 4), Image.Resampling.LANCZOS)
            return as_file(smaller, "JPEG", quality=88)
        case "mirrored_copy":
            # Of copies with equal pixels the one of more bytes is kept, and that is to be the original.
            return as_file(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), "JPEG", quality=70)
        case "monochrome" | "tagged_monochrome":
            return as_file(image.convert("L").convert("RGB"), "JPEG", quality=88)
        case "truncated_file":
            return data[: len(data) * 2 // 3]
        case "html_file":
            return b"<!DOCTYPE html><html><head><title>Error</title></head><body>Please try again later.</body></html>\n"
        case _:
            return data


def _upload_times(rng: np.random.Generator, uploads: list[Upload]) -> list[int]:
    """Times of upload, each its own; a copy comes one to nine days after its original."""
    span = LAST_UPLOAD_S - 10 * DAY_S - FIRST_UPLOAD_S
    drawn = [FIRST_UPLOAD_S + int(second) for second in rng.choice(span, len(uploads), replace=False)]
    first = {(upload.domain, upload.source): time for time, upload in zip(drawn, uploads, strict=True) if not upload.copied}
    later = rng.integers(DAY_S, 9 * DAY_S, len(uploads))
    return [
        first[upload.domain, upload.source] + int(delay) if upload.copied else time
        for time, delay, upload in zip(drawn, later, uploads, strict=True)
    ]


def _described(rng: np.random.Generator, ordered: list[tuple[int, Upload]]) -> list[RenderedPhoto]:
    numbers = {domain: iter(range(len(ordered))) for domain in ("ordinary", "shallow")}
    return [
        _photo(rng, upload.id or str(FIRST_ID + position), time, upload, next(numbers[upload.domain]))
        for position, (time, upload) in enumerate(ordered)
    ]


def _photo(rng: np.random.Generator, id: str, time: int, upload: Upload, number: int) -> RenderedPhoto:
    words = _words(rng, upload.domain, number)
    owner, owner_name = OWNERS[int(rng.integers(len(OWNERS)))]
    camera = PHONE if upload.domain == "ordinary" else CAMERAS[int(rng.integers(len(CAMERAS)))]
    taken = datetime(2023, int(rng.integers(1, 13)), int(rng.integers(1, 29)), int(rng.integers(8, 22)), tzinfo=UTC)
    return RenderedPhoto(
        id=id,
        domain_hint=upload.domain,
        owner=owner,
        owner_name=owner_name,
        title=words.title,
        description=words.description,
        tags=[*words.tags, *([upload.extra_tag] if upload.extra_tag else [])],
        license=LICENSES[int(rng.integers(len(LICENSES)))],
        date_upload=time,
        date_taken=f"{taken:%Y-%m-%d %H}:{rng.integers(60):02}:{rng.integers(60):02}",
        last_update=time + int(rng.integers(0, 30 * DAY_S)),
        views=int(rng.integers(0, 5000)),
        camera=camera.slug,
        media="photo",
        file=f"files/{id}.jpg",
        removed=upload.kind == "removed_photo",
        exif=_exif(rng, camera),
    )


def _words(rng: np.random.Generator, domain: str, number: int) -> Words:
    pool = ORDINARY_WORDS if domain == "ordinary" else SHALLOW_WORDS
    # The awkward titles come first in the pool and are used once, the plain ones again and again.
    return pool.awkward[number] if number < len(pool.awkward) else pool.plain(rng)


def _exif(rng: np.random.Generator, camera: CameraModel) -> Mapping[str, str] | None:
    """EXIF as strings; None where the owner hides it."""
    if rng.random() < 0.08:
        return None
    exposure = ["1/60", "1/125", "1/250", "1/500"][int(rng.integers(4))]
    iso = ["50", "100", "200", "400", "800"][int(rng.integers(5))]
    lens = {"FNumber": camera.f_number, "FocalLength": camera.focal_length}
    return {"Make": camera.make, "Model": camera.model, **lens, "ExposureTime": exposure, "ISO": iso}


def _planted(pairs: list[tuple[RenderedPhoto, Upload]]) -> Iterable[Sequence[str]]:
    originals = {(upload.domain, upload.source): photo.id for photo, upload in pairs if not upload.kind}
    yield "photo_id", "domain", "kind", "expected", "original_photo_id"
    for photo, upload in pairs:
        if upload.kind:
            original = flickr_id(originals[upload.domain, upload.source]) if upload.copied else ""
            yield flickr_id(photo.id), upload.domain, upload.kind, upload.expected, original


def _decisions(pairs: list[tuple[RenderedPhoto, Upload]]) -> Iterable[Sequence[str]]:
    yield "photo_id", "domain", "decision", "reason", "move_to", "curator", "note"
    for photo, upload in pairs:
        made = upload.decision
        if made is not None:
            row = made.decision, made.reason, made.move_to, CURATOR, made.note
            yield flickr_id(photo.id), upload.domain, *row


def _copy_scoring(folder: Path, pictures: Path) -> None:
    views = ("sharp", "shallow", "mask", "depth")
    rows: list[Sequence[str]] = [("scene", *views, "aperture_mm", "focus_distance_m", "background_distance_m")]
    for shot in shots_of("scoring"):
        files = shot.files()
        for view in views:
            write_bytes(folder / Path(files[view]).name, read_plain(inside(pictures, files[view])))
        rows.append((str(shot.seed), *(Path(files[view]).name for view in views), *_conditions(shot, pictures)))
    _write_csv(folder / "scoring.csv", rows)


def _conditions(shot: Shot, pictures: Path) -> tuple[str, str, str]:
    """Diameter of the lens in mm, distance in focus and median distance of the background in m."""
    camera, files = camera_of(shot.seed), shot.files()
    with (
        Image.open(plain_path(inside(pictures, files["depth"]))) as depth,
        Image.open(plain_path(inside(pictures, files["mask"]))) as mask,
    ):
        background_m = float(np.median(np.asarray(depth)[np.asarray(mask) == 0])) / 1000
    aperture_mm = 2000 * camera.lens_radius * METRES_PER_UNIT
    return f"{aperture_mm:.1f}", f"{camera.focus_distance * METRES_PER_UNIT:.3f}", f"{background_m:.3f}"


def _write_csv(path: Path, rows: Iterable[Sequence[str]]) -> None:
    write_text(path, csv_text(rows, "\n"))
