"""What lies in a snapshot's folder, and what can be read of it without pandas.

`snapshots/<id>/`:

    manifest.jsonl     the identity, one picture a line: canonical bytes, whose SHA-256 begins with the id
    manifest.parquet   the same rows with origin: split key, digest of the photo, owner, title, licence, page
    pictures.parquet   where each picture lies on this machine (shard, row), whence it came (address, decision)
    attribution.csv    title, owner, licence and link of each photo
    snapshot.json      counts, digest, what it was made from (queries, filters, counts by reason), when it was frozen
    forgotten.json     tombstones: photos purged on request, with the time; only where there are any
    SHA256SUMS         digests of all these and of the shards, as `sha256sum -c` reads them

All are read-only. `manifest.jsonl`, `manifest.parquet` and `attribution.csv` are the same bytes wherever the same
pictures are frozen; `pictures.parquet` is written anew when pictures have moved to other shards, `manifest.parquet` and
`attribution.csv` when more is known of owners, titles and licences or a photo is forgotten. The frozen attribution has
titles and names to the letter, even those that a spreadsheet would execute; the CSV of an export and that of `lineage model
--photos` have an apostrophe before them.
"""

import hashlib
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.bounded import form_problem, read_json
from pipeline.errors import DatasetError, StorageError
from pipeline.file_names import child, is_snapshot_id
from pipeline.plain_files import read_plain, read_plain_text

FORMAT_VERSION = 2

CANONICAL = "manifest.jsonl"
MANIFEST = "manifest.parquet"
PICTURES = "pictures.parquet"
ATTRIBUTION = "attribution.csv"
FACTS = "snapshot.json"
FORGOTTEN = "forgotten.json"
SUMS = "SHA256SUMS"
FILES = (FACTS, CANONICAL, MANIFEST, PICTURES, ATTRIBUTION, FORGOTTEN)
"""All that a snapshot's folder holds beside `SHA256SUMS`, which says what they are."""

LATEST_S = 2.0**33
"""No snapshot was frozen as late as in 2242."""
APART_S = 0.001
"""A snapshot is recorded as at least so much later than the one before it."""
RESTORE = "restore the folder from a copy"


_COUNTS = {str: {str: int}}
_FACTS = {
    "format": int,
    "id": str,
    "sha256": str,
    "frozen_s": float,
    "counts": _COUNTS,
    "made_from": {
        "project": str,
        "months": dict,
        "domains": {str: {"title": str, "queries": [dict]}},
        "settings": {str: dict},
        "counts": {str: dict},
        "double_review": {"photos": int, "agreeing": int, "kappa": float},
        "code_revision": str,
    },
}
"""The form of `snapshot.json`: what readers rely on; there may be more, and less of what it was made from."""
_REQUIRED = ("format", "id", "sha256", "counts", "made_from")


def list_snapshots(folder: Path) -> list[str]:
    """Ids of the snapshots below `folder`, newest first."""
    found = [path.parent for path in folder.glob(f"*/{FACTS}") if is_snapshot_id(path.parent.name)]
    return [path.name for path in sorted(found, key=lambda path: (-frozen_s(path), path.name))]


def frozen_s(path: Path) -> float:
    """When the snapshot at `path` was frozen, Unix seconds: as it records, which stays true of a copy; the time of its file
    where it is of an earlier version, which recorded none, or damaged."""
    with suppress(ValueError, OSError, StorageError):
        facts = read_json(path / FACTS)
        recorded_s = facts.get("frozen_s") if isinstance(facts, dict) else None
        if isinstance(recorded_s, float) and 0 < recorded_s < LATEST_S:
            return recorded_s
    return min((path / FACTS).stat().st_mtime, LATEST_S - 1)  # which leaves room for later ones


def next_frozen_s(folder: Path) -> float:
    """The time to record of a snapshot that is frozen now: later than of all others below `folder`, whatever clocks say."""
    before_s = (frozen_s(child(folder, name)) for name in list_snapshots(folder))
    return max(time.time(), *(one_s + APART_S for one_s in before_s), 0.0)


def find_snapshot(folder: Path, beginning: str) -> str:
    """The one id that begins so. Raises `DatasetError` where there is none or more than one."""
    known = list_snapshots(folder)
    found = [name for name in known if beginning and name.startswith(beginning)]
    if beginning in found:
        return beginning
    if len(found) != 1:
        problem = f"{len(found)} snapshots begin with {beginning}" if found else f"there is no snapshot {beginning}"
        raise DatasetError(f"{folder}: {problem}; known here: {', '.join(found or known) or 'none'}")
    return found[0]


def read_facts(folder: Path, identifier: str) -> dict[str, Any]:
    """What `snapshot.json` says: `format`, `id`, `sha256`, `counts` by domain and split, `made_from` and, but for
    snapshots of earlier versions, `frozen_s`, Unix seconds.

    Raises `DatasetError` when there is no such snapshot or when it is of another format.
    """
    path = child(folder, identifier)
    if not (path / FACTS).is_file():
        known = ", ".join(list_snapshots(folder)) or "none"
        raise DatasetError(f"{path}: there is no snapshot {identifier}; known here: {known}")
    return facts_of(path)


def facts_of(path: Path) -> dict[str, Any]:
    """`read_facts` of the folder at `path`, wherever it lies."""
    try:
        facts = read_json(path / FACTS)
        written = int(facts["format"])
    except (FileNotFoundError, NotADirectoryError):
        raise DatasetError(f"{path}: holds no snapshot ({FACTS} is missing)") from None
    except (ValueError, KeyError, TypeError, OSError, StorageError) as error:
        raise DatasetError(f"{path}: {FACTS} is damaged ({error}); {RESTORE}") from None
    if written > FORMAT_VERSION:
        raise DatasetError(f"{path}: written by a newer bokehflow (format {written}); update to read it")
    if written < FORMAT_VERSION:
        raise DatasetError(
            f"{path}: written by an unreleased bokehflow (format {written}); delete the folder and run `bokehflow run`, "
            "which freezes the same pictures anew"
        )
    missing = [name for name in _REQUIRED if name not in facts]
    if problem := f"{missing[0]} is missing" if missing else form_problem(facts, _FACTS):
        raise DatasetError(f"{path}: {FACTS} is damaged ({problem}); {RESTORE}")
    return facts


def read_forgotten(path: Path) -> dict[str, int]:
    """Tombstones of the snapshot at `path`: when (Unix seconds) each photo was purged; empty where none was."""
    try:
        found = read_json(path / FORGOTTEN)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (ValueError, OSError, StorageError) as error:
        raise DatasetError(f"{path}: {FORGOTTEN} is damaged ({error}); {RESTORE}") from None
    if problem := form_problem(found, {str: int}):
        raise DatasetError(f"{path}: {FORGOTTEN} is damaged ({problem}); {RESTORE}")
    return found


def read_sums(path: Path) -> dict[str, str]:
    """Digests by file name from `SHA256SUMS`; names of shards are paths from the snapshot's folder.

    A line that cannot be read is left out; `sums_problem` tells.
    """
    try:
        lines = read_plain_text(path / SUMS, errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    return {line[66:]: line[:64] for line in lines if line[64:66] == "  " and not line.startswith("#")}


def sums_text(sums: dict[str, str]) -> str:
    """The content of `SHA256SUMS`; its last line, a comment, is the digest of those above."""
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))
    return f"{lines}# {hashlib.sha256(lines.encode()).hexdigest()}\n"


def sums_problem(path: Path) -> str | None:
    """What is wrong with the file `SHA256SUMS` itself, or None."""
    try:
        data = read_plain(path / SUMS)
    except FileNotFoundError:
        return "is missing"
    lines, mark, digest = data.rpartition(b"# ")
    sound = mark and digest.strip().decode(errors="replace") == hashlib.sha256(lines).hexdigest()
    return None if sound else "its last line is not the digest of the lines above"
