"""What models are judged by, told without importing any of it: torch takes seconds, and many only want to know.

The planner asks every few seconds whether an evaluation is still the one that would be made.
"""

import logging
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from pipeline.errors import UnsafeName
from pipeline.file_names import expanded
from pipeline.plain_files import at_hand, file_sha256

METHOD_VERSION = "4"
"""Raised whenever a score changes for equal pictures, so that older evaluations are made anew."""
FACES_WEIGHTS = "yunet"
INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
"""torch-fidelity's file, with the beginning of its SHA-256 in its name."""

log = logging.getLogger(__name__)


def find_inception(folders: Sequence[Path]) -> Path | None:
    """The file of weights in one of the folders or, failing that, in torch's own cache; None without.

    A file whose digest is not that of its name is left alone, with a warning. What may not be looked at is not there: after
    `su` the folder of caches is often still another's.
    """
    cache = torch_cache()
    paths = [folder / INCEPTION_FILE for folder in (*folders, *([cache / "checkpoints"] if cache else []))]
    return next((path for path in paths if _is_usable(path)), None)


def torch_cache() -> Path | None:
    """The folder that `torch.hub` keeps files in, by torch's own rule; None for a user who has no home folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "torch"
    try:
        return expanded(os.environ.get("TORCH_HOME", default)) / "hub"
    except UnsafeName:
        return None


def _is_usable(path: Path) -> bool:
    try:
        if not at_hand(path):
            return False
        found = path.stat()
        return _is_unaltered(path, found.st_mtime_ns, found.st_size)
    except OSError:
        return False


@lru_cache
def _is_unaltered(path: Path, mtime_ns: int, size_bytes: int) -> bool:
    """Read once for each state of the file: it has 90 MB."""
    found = file_sha256(path)
    expected = path.stem.rpartition("-")[2]
    if not found.startswith(expected):
        log.warning("%s: not used: its SHA-256 is %s, it should begin with %s; delete it", path, found, expected)
    return found.startswith(expected)
