"""Names from outside (a bundle, a table of a copied home, an address, a person) and the paths that are made of them.

A text becomes part of a path here and nowhere else: `child` takes one name, `inside` and `below` a relative path, and each
raises where the text would lead elsewhere. `/` is for names that stand in the code; a test looks for every other use of it.
"""

import errno
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NewType

from pipeline.errors import UnsafeName

Sha256 = NewType("Sha256", str)
"""64 lower-case hex digits."""
SnapshotId = NewType("SnapshotId", str)
"""16 lower-case hex digits."""
FileName = NewType("FileName", str)
"""One part of a path: what stands in it leads nowhere."""

MAX_NAME_BYTES = 255
"""What file systems take."""
SHOWN = 100
"""Characters of a strange text that a message repeats."""
# No `\d` and no `$`: the one takes the digits of all scripts, the other a newline.
_SHA256, _SNAPSHOT = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{16}")
_SIMPLE = re.compile(r"[0-9A-Za-z_-][0-9A-Za-z_.-]{0,99}")
"""Names that need no closer look, as nearly all have."""
_FORBIDDEN = re.compile(r"[/\\\x00-\x1f\x7f]")


def is_sha256(value: object) -> bool:
    """Whether it is a digest in the one form that names a file here."""
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def is_snapshot_id(value: object) -> bool:
    """Whether it is an id in the form that snapshots have."""
    return isinstance(value, str) and _SNAPSHOT.fullmatch(value) is not None


def sha256_of(value: object) -> Sha256:
    """The digest that a text from outside is. Raises `UnsafeName` for anything else."""
    if isinstance(value, str) and is_sha256(value):
        return Sha256(value)
    raise UnsafeName(f"{_told(value)} is no SHA-256 (64 digits 0-9a-f)")


def snapshot_id_of(value: object) -> SnapshotId:
    """The snapshot's id that a text from outside is. Raises `UnsafeName` for anything else."""
    if isinstance(value, str) and is_snapshot_id(value):
        return SnapshotId(value)
    raise UnsafeName(f"{_told(value)} is no snapshot's id (16 digits 0-9a-f)")


def file_name(value: object) -> FileName:
    """One part of a path. Raises `UnsafeName` for what has separators or control characters, or names a folder itself."""
    if not isinstance(value, str) or value in ("", ".", "..") or _FORBIDDEN.search(value):
        raise UnsafeName(f"{_told(value)} is no name of a file")
    try:
        size_bytes = len(os.fsencode(value))
    except UnicodeEncodeError:
        raise UnsafeName(f"{_told(value)} has characters that no file's name can have") from None
    if size_bytes > MAX_NAME_BYTES:
        raise UnsafeName(f"{_told(value)} is too long for the name of a file (at most {MAX_NAME_BYTES} bytes)")
    return FileName(value)


def child(folder: Path, name: object) -> Path:
    """The file or folder of that name in `folder`. Raises `UnsafeName` as `file_name` does."""
    return folder / file_name(name)


def inside(folder: Path, name: object) -> Path:
    """The path of `name` in `folder`, however deep. Raises `UnsafeName` where the name leads out of it.

    Links that lie in the folder are followed: a home's own may lead to another disk.
    """
    try:
        return folder.joinpath(*map(file_name, name.split("/") if isinstance(name, str) else [name]))
    except UnsafeName as error:
        raise UnsafeName(f"{_told(name)} is not below {folder}: {error}") from None


def below(folder: Path, name: object) -> Path:
    """`inside` of a folder that somebody else has made: a link on the way must not lead out of it either."""
    path = inside(folder, name)
    try:
        is_inside = not _is_loop(path) and path.resolve().is_relative_to(folder.resolve())
    except OSError:
        is_inside = False
    if not is_inside:
        raise UnsafeName(f"{_told(name)} is not below {folder}: a link leads out of it")
    return path


def _is_loop(path: Path) -> bool:
    """Whether links on the way lead back to themselves: what `resolve` says of these differs between versions of Python."""
    try:
        path.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def all_below(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """`below` of many names, as texts: where they lead is looked up once for each folder, and for each link in it."""
    found, places = dict[str, str](), dict[str, tuple[str, set[str]]]()
    for name in names:
        parent, _, file = name.rpartition("/")
        if parent not in places:
            place = below(folder, parent) if parent else folder
            places[parent] = str(place), _links_in(place)
        place, links = places[parent]
        is_simple = _SIMPLE.fullmatch(file) and file not in links and not name.startswith("/")
        found[name] = f"{place}/{file}" if is_simple else str(below(folder, name))
    return found


def _links_in(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_symlink()}
    except (FileNotFoundError, NotADirectoryError):
        return set()


def expanded(text: object) -> Path:
    """The path that a person wrote, `~` or `~name` at its beginning being a home folder.

    Raises `UnsafeName` where there is no such user.
    """
    try:
        return Path(str(text)).expanduser()
    except RuntimeError:
        raise UnsafeName(f"{_told(str(text))} begins with ~, and this machine knows no such user's home") from None


def is_plain_file(path: Path) -> bool:
    """Whether a file lies there; no path that is too long or has odd characters, as words of a command have, is one."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def printable(text: str) -> str:
    r"""The text with bytes of file names that are no UTF-8 written out; equal to the text where there are none.

    >>> printable("caf\udce9.jpg")
    'caf\\xe9.jpg'
    """
    return os.fsencode(text).decode("utf-8", errors="backslashreplace")


def _told(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
