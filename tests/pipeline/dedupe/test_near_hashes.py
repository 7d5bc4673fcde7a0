"""What is known of near hashes survives damage of its file: it is found again."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.dedupe.near_hashes import NearHashes, NearHashStore, near_hashes
from pipeline.dedupe.store import keys_of


def known() -> NearHashes:
    hashes = np.random.default_rng(0).integers(0, 1 << 63, 8).astype(np.uint64)
    return replace(near_hashes(hashes, hashes[:, None], 6, NearHashes.nothing()), apart=hashes, told_by="0.5")


def known_of_hashes() -> NearHashes:
    return replace(known(), apart=NearHashes.nothing().apart, told_by="")


def same(one: NearHashes, other: NearHashes) -> bool:
    return all(np.array_equal(value, getattr(other, name)) for name, value in vars(one).items())


def test_what_was_written_is_read(tmp_path: Path) -> None:
    store = NearHashStore(tmp_path)
    assert same(store.read(6), NearHashes.nothing())
    store.write(6, known())
    assert same(store.read(6), known())


def test_a_home_of_before_knows_hashes_alone(tmp_path: Path) -> None:
    store = NearHashStore(tmp_path)
    store.write(6, known())
    store.apart_path(6).unlink()
    assert same(store.read(6), known_of_hashes())


def test_what_is_forgotten_goes_and_the_rest_stays(tmp_path: Path) -> None:
    store, digests = NearHashStore(tmp_path), [hashlib.sha256(bytes([number])).hexdigest() for number in range(3)]
    store.write(6, replace(known(), apart=np.sort(keys_of(digests))))
    store.forget(digests[:1])
    assert same(store.read(6), replace(known(), apart=np.sort(keys_of(digests[1:]))))


@pytest.mark.parametrize("name", ["path", "apart_path"])
def test_a_damaged_file_is_nothing(tmp_path: Path, name: str) -> None:
    store = NearHashStore(tmp_path)
    store.write(6, known())
    path = getattr(store, name)(6)
    without = NearHashes.nothing() if name == "path" else known_of_hashes()
    whole = path.read_bytes()
    for position in range(0, len(whole), 3):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        found = store.read(6)
        assert same(found, without) or same(found, known()), position
    path.write_bytes(whole[: len(whole) // 2])
    assert same(store.read(6), without)
