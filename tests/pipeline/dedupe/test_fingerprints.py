"""Fingerprints and their store."""

import hashlib
import io
import os
import resource
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.dedupe.fingerprints import fingerprint, fingerprint_pictures, fingerprint_table
from pipeline.dedupe.store import FingerprintStore
from pipeline.errors import StorageError
from pipeline.tables import conform
from tests.pipeline.dedupe.worlds import jpeg, png, scene

PICTURES = [png(scene(seed)) for seed in range(4)]
DIGESTS = [hashlib.sha256(data).hexdigest() for data in PICTURES]
BYTES = dict(zip(DIGESTS, PICTURES, strict=True))


@pytest.fixture
def store(tmp_path: Path) -> FingerprintStore:
    return FingerprintStore(tmp_path / "fingerprints")


def test_each_picture_is_decoded_once_for_ever(store: FingerprintStore) -> None:
    read: list[str] = []

    def reader(digest: str) -> bytes:
        read.append(digest)
        return BYTES[digest]

    assert fingerprint_pictures(DIGESTS[:3] + DIGESTS[:1], reader, store) == 3
    assert fingerprint_pictures(DIGESTS, reader, store) == 1
    assert fingerprint_pictures(DIGESTS, reader, FingerprintStore(store.root)) == 0
    assert sorted(read) == sorted(DIGESTS)


def test_the_table_has_the_hashes_of_imagehash(store: FingerprintStore) -> None:
    files = pd.DataFrame({
        "photo_id": ["flickr:1", "flickr:2", "flickr:3"], "domain": "ordinary", "sha256": [*DIGESTS[:2], None],
        "size_bytes": [1, 2, None], "width_px": [320, 320, None], "height_px": [240, 240, None],
    })  # fmt: skip
    listing = pd.DataFrame({"photo_id": files["photo_id"], "domain": "ordinary", "date_upload_s": [7, 8, 9]})
    fingerprint_pictures(DIGESTS, BYTES.__getitem__, store)
    table = conform("fingerprints", fingerprint_table(files, listing, store))
    opened = [Image.open(io.BytesIO(data)) for data in PICTURES[:2]]
    assert table["phash"].tolist() == [str(imagehash.phash(image)) for image in opened]
    mirrored = [image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for image in opened]
    assert table["phash_mirrored"].tolist() == [str(imagehash.phash(image)) for image in mirrored]
    assert table["date_upload_s"].tolist() == [7, 8]


def test_what_is_read_belongs_to_the_picture_asked_for(store: FingerprintStore) -> None:
    for start in (0, 2):
        fingerprint_pictures(DIGESTS[start : start + 2], BYTES.__getitem__, store)
    asked = [DIGESTS[position] for position in (3, 0, 2, 1, 3)]
    shelf = store.read(asked)
    for position, digest in enumerate(asked):
        expected = fingerprint(digest, BYTES[digest])
        assert shelf.records[position] == expected.record
        np.testing.assert_array_equal(shelf.small[position], expected.small)
        np.testing.assert_array_equal(shelf.large(position), expected.large)


def test_a_forgotten_picture_leaves_no_thumbnail(store: FingerprintStore) -> None:
    fingerprint_pictures(DIGESTS, BYTES.__getitem__, store)
    gone = fingerprint(DIGESTS[1], PICTURES[1])
    assert store.forget([DIGESTS[1], "ff" * 32]) == 1
    assert store.missing(DIGESTS) == [DIGESTS[1]]
    kept = [DIGESTS[0], *DIGESTS[2:]]
    assert store.read(kept).records["windows"].tolist() == [
        fingerprint(d, BYTES[d]).record["windows"].tolist() for d in kept
    ]
    assert not any(gone.large.tobytes() in path.read_bytes() for path in store.root.iterdir())
    with pytest.raises(StorageError, match=r"has no fingerprint; `bokehflow run --until fingerprints`"):
        store.read(DIGESTS)


@pytest.mark.parametrize("before", range(6))
@pytest.mark.parametrize("digests", [DIGESTS, DIGESTS[1:2]])
def test_forgetting_that_is_killed_anywhere_is_finished_by_the_next(
    store: FingerprintStore, monkeypatch: pytest.MonkeyPatch, before: int, digests: list[str]
) -> None:
    fingerprint_pictures(digests, BYTES.__getitem__, store)
    gone, unlink, done = fingerprint(DIGESTS[1], PICTURES[1]), Path.unlink, 0

    def killed(path: Path, missing_ok: bool = False) -> None:
        nonlocal done
        if done == before:
            raise KeyboardInterrupt
        done += 1
        unlink(path, missing_ok)

    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(Path, "unlink", killed)
        store.forget([DIGESTS[1]])
    store.forget([DIGESTS[1]])
    shown = [path for path in store.root.glob("v*.npy") if gone.large.tobytes() in path.read_bytes()]
    assert not shown
    assert store.missing(digests) == [DIGESTS[1]]
    assert not any(gone.small.tobytes() in path.read_bytes() for path in store.root.glob("v*.small.npy"))


@pytest.mark.parametrize("part", ["records", "small"])
def test_thumbnails_of_a_batch_that_was_cut_off_go_while_nobody_adds(store: FingerprintStore, part: str) -> None:
    fingerprint_pictures(DIGESTS, BYTES.__getitem__, store)
    for name in {"records", part}:
        (path,) = store.root.glob(f"*.{name}.npy")
        path.unlink()
    fingerprint_pictures(DIGESTS[:1], BYTES.__getitem__, store)
    store.forget([DIGESTS[1]])
    assert len(list(store.root.glob("*.large.npy"))) == 2, "another process may be writing them"
    store.forget([DIGESTS[1]], is_alone=True)
    assert len(list(store.root.glob("*.npy"))) == 3
    assert store.missing(DIGESTS[:1]) == []


def test_a_picture_of_a_large_batch_is_forgotten_with_few_files_open(store: FingerprintStore) -> None:
    one = fingerprint(DIGESTS[0], PICTURES[0])
    records = [one.record.copy() for _ in range(300)]
    for number, record in enumerate(records):
        record["sha256"] = np.frombuffer(hashlib.sha256(number.to_bytes(2)).digest(), np.uint8)
    store.add([replace(one, record=record) for record in records])
    gone, kept = (records[number]["sha256"].tobytes().hex() for number in (7, 8))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 50, hard))
    try:
        assert store.forget([gone]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert store.missing([gone, kept]) == [gone]


def test_a_batch_cut_off_before_its_records_does_not_count(store: FingerprintStore) -> None:
    fingerprint_pictures(DIGESTS, BYTES.__getitem__, store)
    (records,) = store.root.glob("*.records.npy")
    records.unlink()
    assert store.missing(DIGESTS) == sorted(DIGESTS)
    assert fingerprint_pictures(DIGESTS, BYTES.__getitem__, store) == 4
    assert store.missing(DIGESTS) == []


def test_a_batch_of_which_the_disk_takes_a_part_is_told_and_made_again(store: FingerprintStore) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(StorageError, match=r"fingerprints: the disk is full; .* MB are free there"):
            fingerprint_pictures(DIGESTS, BYTES.__getitem__, store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(store.root.iterdir()) == []
    assert fingerprint_pictures(DIGESTS, BYTES.__getitem__, store) == 4


@pytest.mark.parametrize("spoilt", [b"not numpy", b""])
def test_a_damaged_batch_is_named_with_its_remedy(store: FingerprintStore, spoilt: bytes) -> None:
    fingerprint_pictures(DIGESTS, BYTES.__getitem__, store)
    (records,) = store.root.glob("*.records.npy")
    records.write_bytes(spoilt)
    with pytest.raises(StorageError, match=rf"{records.name}.*delete the files of this batch"):
        store.missing(DIGESTS)


def test_a_picture_that_cannot_be_decoded_is_named(store: FingerprintStore) -> None:
    data = jpeg(scene(1))[:2000]
    digest = hashlib.sha256(data).hexdigest()
    with pytest.raises(StorageError, match=digest[:12]):
        fingerprint_pictures([digest], {digest: data}.__getitem__, store)


def test_the_mean_colour_of_flat_pictures_is_kept() -> None:
    data = png(np.broadcast_to(np.array((10, 200, 30), np.uint8), (40, 60, 3)))
    record = fingerprint(hashlib.sha256(data).hexdigest(), data).record
    assert record["is_flat"]
    assert record["mean_rgb"].tolist() == [10, 200, 30]
    assert not fingerprint(DIGESTS[0], PICTURES[0]).record["is_flat"]
