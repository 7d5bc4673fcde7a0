"""Which copies of real-looking portraits are found, and whether two portraits are ever taken for one.

Thresholds were tuned on one half of `../shared/portraits` (`--half tune`); this reports on the other. The originals of
both halves are there as distractors. Beside it imagededup's PHash at its default radius, on the same files.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.peers import Peers
from benchmarks.pictures import portraits
from benchmarks.results import Goal, report
from benchmarks.transformations import transformations
from pipeline.config import DedupeSection
from pipeline.dedupe.fingerprints import fingerprint_pictures
from pipeline.dedupe.groups import find_unique
from pipeline.dedupe.near_hashes import NearHashes
from pipeline.dedupe.store import FingerprintStore
from pipeline.dedupe.verify import Candidate, Verifier
from pipeline.tables import conform, empty

PEER_RADIUS_BITS = 10
PEER_SCRIPT = """
import json, sys, types
# Its CNN, imported alongside, would fetch weights.
sys.modules["imagededup.methods.cnn"] = types.SimpleNamespace(CNN=None)
from imagededup.methods import PHash
print(json.dumps(PHash(verbose=False).encode_images(sys.argv[1], num_enc_workers=0)))
"""
NOTHING_LOST, CROPS = 0.99, 0.95


class Collection:
    """Files on disk, with the portrait that each shows."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, FingerprintStore(folder / "fingerprints")
        self.files: dict[str, Path] = {}
        self.rows: list[dict[str, object]] = []
        self.pairs, self.near = empty("duplicate_pairs"), NearHashes.nothing()

    def add(self, name: str, portrait: str, kind: str, data: bytes) -> None:
        path, digest = self.folder / f"{name}.jpg", hashlib.sha256(data).hexdigest()
        path.write_bytes(data)
        self.files[digest] = path
        with Image.open(path) as image:
            width_px, height_px = image.size
        self.rows.append({
            "photo_id": name, "domain": "portraits", "sha256": digest, "size_bytes": len(data), "width_px": width_px,
            "height_px": height_px, "date_upload_s": 0, "phash": "0" * 16, "phash_mirrored": "0" * 16,
            "portrait": portrait, "kind": kind,
        })  # fmt: skip

    def read(self, digest: str) -> bytes:
        return self.files[digest].read_bytes()

    def table(self, *kinds: str) -> pd.DataFrame:
        rows = pd.DataFrame(self.rows)
        return rows[rows["kind"].isin(kinds)] if kinds else rows

    def unique(self, rows: pd.DataFrame, settings: DedupeSection) -> pd.DataFrame:
        """The table `unique_photos` of these rows, with the portrait and kind of each; remembers every comparison."""
        photos = conform("fingerprints", rows.drop(columns=["portrait", "kind"]))
        found = find_unique(photos, self.store, self.read, settings, self.pairs, self.near)
        self.pairs, self.near = conform("duplicate_pairs", found.duplicate_pairs), found.near
        return found.unique_photos.merge(rows[["photo_id", "portrait", "kind"]], on="photo_id")


def collect(folder: Path, half: str, every: int) -> Collection:
    """All originals, and every copy of every k-th portrait of one half."""
    collection = Collection(folder)
    originals = portraits()
    wanted = [path for path in originals if (int(path.stem, 16) % 2 == 0) == (half == "tune")][::every]
    for path in originals:
        collection.add(path.stem, path.stem, "original", path.read_bytes())
    for path in wanted:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        for kind, change in transformations().items():
            collection.add(f"{path.stem} {kind}".replace(" ", "_"), path.stem, kind, change(image))
    fingerprint_pictures(list(collection.files), collection.read, collection.store)
    return collection


def recalls(collection: Collection, settings: DedupeSection) -> dict[str, float]:
    """For each transformation the share of copies that are grouped with their original, all originals being there."""
    found = {}
    for kind in transformations():
        unique = collection.unique(collection.table("original", kind), settings)
        group = unique[unique["kind"] == "original"].set_index("portrait")["group"]
        copies = unique[unique["kind"] == kind]
        found[kind] = float((copies["group"] == copies["portrait"].map(group)).mean())
    return found


def false_groups(collection: Collection, settings: DedupeSection) -> tuple[int, int]:
    """With everything in one pot: photos that were dropped, and how many of them for another portrait's photo."""
    unique = collection.unique(collection.table(), settings)
    portrait = unique.set_index("photo_id")["portrait"]
    dropped = unique[unique["rule"].notna()]
    return len(dropped), int((dropped["portrait"] != dropped["duplicate_of"].map(portrait)).sum())


def closest_strangers(collection: Collection) -> tuple[float, float]:
    """The largest correlation and detail over the 2,000 likest pairs of different originals, candidates or not."""
    digests = [str(row["sha256"]) for row in collection.rows if row["kind"] == "original"]
    shelf = collection.store.read(digests)
    small = shelf.small.reshape(len(digests), -1).astype(np.float32)
    small -= small.mean(axis=1, keepdims=True)
    small /= np.linalg.norm(small, axis=1, keepdims=True)
    i, j = np.triu_indices(len(digests), 1)
    likest = np.argsort(-(small @ small.T)[i, j])[:2000]
    candidates = [Candidate(int(i[k]), int(j[k]), False, int(j[k]), 0, 0) for k in likest]
    measured = Verifier(collection.read, empty("duplicate_pairs")).compare(shelf, candidates)
    return max(pair.correlation for pair in measured), float(np.nanmax([-1.0, *(pair.detail for pair in measured)]))


def peer(python: Path, collection: Collection) -> tuple[dict[str, float], float]:
    """imagededup's recall for each transformation, and its precision over all pairs of files."""
    command = [str(python), "-c", PEER_SCRIPT, str(collection.folder)]
    hashes = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    rows = collection.table().assign(hash=lambda frame: [int(hashes[f"{name}.jpg"], 16) for name in frame["photo_id"]])
    originals = rows[rows["kind"] == "original"].set_index("portrait")["hash"]
    found = {}
    for kind in transformations():
        copies = rows[rows["kind"] == kind]
        near = [
            (a ^ originals[p]).bit_count() <= PEER_RADIUS_BITS
            for a, p in zip(copies["hash"], copies["portrait"], strict=True)
        ]
        found[kind] = float(np.mean(near))
    values, portrait = rows["hash"].to_numpy(np.uint64), pd.factorize(rows["portrait"])[0]
    true = both = 0
    for row in range(len(values)):
        near = np.bitwise_count(values[row] ^ values[row + 1 :]) <= PEER_RADIUS_BITS
        both += int(near.sum())
        true += int((near & (portrait[row + 1 :] == portrait[row])).sum())
    return found, true / max(1, both)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", choices=("tune", "report"), default="report")
    parser.add_argument("--every", type=int, default=2, help="take every k-th portrait of the half")
    chosen = parser.parse_args()
    settings, peers = DedupeSection(), Peers("imagededup")
    python = peers.python("imagededup")
    with tempfile.TemporaryDirectory(prefix="bokehflow-bench-") as folder:
        start = time.perf_counter()
        collection = collect(Path(folder), chosen.half, chosen.every)
        made_s, start = time.perf_counter() - start, time.perf_counter()
        recall = recalls(collection, settings)
        dropped, false = false_groups(collection, settings)
        found_s = time.perf_counter() - start
        correlation, detail = closest_strangers(collection)
        peer_recall, peer_precision = peer(python, collection) if python else ({}, float("nan"))
    figures: dict[str, float | str] = {
        f"recall, {kind}": f"{value:.3f}" + (f" (imagededup {peer_recall[kind]:.3f})" if peer_recall else "")
        for kind, value in recall.items()
    }
    figures |= {
        "portraits": len(collection.table("original")), "copies": len(collection.rows) - len(collection.table("original")),
        "dropped photos": dropped, "dropped for another portrait": false,
        "imagededup precision": round(peer_precision, 4) if python else "not measured",
        "largest correlation of different portraits": correlation, "largest detail of different portraits": detail,
        "made and fingerprinted, s": round(made_s, 1), "grouped, s": round(found_s, 1),
    }  # fmt: skip
    plain = min(
        value for kind, value in recall.items() if kind.split(",")[0].split()[0] in ("re-saved", "scaled", "mirrored")
    )
    crops = min(value for kind, value in recall.items() if kind.startswith(("cropped 2", "cropped 5", "border")))
    precision = 1 - false / max(1, dropped)
    goals = [
        Goal("precision 1.00 over distinct portraits", round(precision, 5), false == 0),
        Goal(f"recall ≥ {NOTHING_LOST} for re-saves, scales and mirrors", round(plain, 4), plain >= NOTHING_LOST),
        Goal(f"recall ≥ {CROPS} for crops and borders up to 5 %", round(crops, 4), crops >= CROPS),
    ]
    report("dedupe_quality" if chosen.half == "report" else "dedupe_quality_tuning", figures, goals, peers)


if __name__ == "__main__":
    main()
