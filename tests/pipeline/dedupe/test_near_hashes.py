"""What is known of near hashes survives damage of its file: it is found again."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.dedupe.near_hashes import NearHashes, NearHashStore, near_hashes


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


def test_a_file_of_before_tells_of_hashes_alone(tmp_path: Path) -> None:
    store = NearHashStore(tmp_path)
    np.savez(store.path(6), **{name: vars(known())[name] for name in ("edges", "wholes", "windows")})
    assert same(store.read(6), known_of_hashes())


def test_a_damaged_file_is_nothing(tmp_path: Path) -> None:
    store = NearHashStore(tmp_path)
    store.write(6, known())
    whole = store.path(6).read_bytes()
    for position in range(0, len(whole), 3):
        store.path(6).write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        found = store.read(6)
        assert any(same(found, one) for one in (NearHashes.nothing(), known(), known_of_hashes())), position
    store.path(6).write_bytes(whole[: len(whole) // 2])
    assert same(store.read(6), NearHashes.nothing())
