"""What a working folder has of its store only while there is room: blobs, shards, weights and models.

They are fetched when they are first opened, and go again, least recently used first, where all of them take more than the
limit. Only what the store has goes, and nothing that a process at work may have mapped.

    remote/cache.lock     held alone by who makes room, shared by who says what it uses
    remote/in-use/        a file for each process at work, locked by it: what it has opened, a line each
    remote/brought        shards, weights and models that were fetched since the last list was known, a line each
    remote/made-room      those that went to make room since then
"""

import atexit
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

from pipeline.atomic import is_temporary
from pipeline.errors import ConfigError
from pipeline.file_names import child, inside
from pipeline.locks import Held, locked
from pipeline.plain_files import read_plain_text

LIMIT_VARIABLE = "BOKEHFLOW_CACHE_GB"
BLOBS = "blobs/"
OF_THE_CACHE = (BLOBS, "shards/", "weights/")
MODELS = (".safetensors", ".pt", ".onnx")
"""Ends of the files of `runs/` that are large."""
FILLED_AGAIN = 0.9
"""Of the limit that is left when room was made, so that it is not made for each file."""
LOOKS_PER_LIMIT = 20
"""So often room is made while as much as the limit comes."""
PATIENCE_S = 5.0


def is_lazy(name: str) -> bool:
    """Whether the file is fetched when it is first opened."""
    return name.startswith(OF_THE_CACHE) or (name.startswith("runs/") and name.endswith(MODELS))


def chosen_limit_bytes() -> int | None:
    """The limit that `BOKEHFLOW_CACHE_GB` sets, None where it sets none. Raises `ConfigError` for what is no limit."""
    text = os.environ.get(LIMIT_VARIABLE, "").strip()
    try:
        limit = float(text or 1)
    except ValueError:
        limit = 0.0
    if not 0 < limit < 1e9:
        raise ConfigError(f"{LIMIT_VARIABLE}={text}: give the gigabytes that a home's cache may take, such as 50 or 0.5")
    return int(limit * 1e9) if text else None


class Cache:
    """The lazy files of the working folder at `root`. Its methods may be called by any thread and process."""

    def __init__(self, root: Path, folder: Path) -> None:
        """`folder` holds what is known of them."""
        self.root = root
        self._lock, self._in_use = folder / "cache.lock", folder / "in-use"
        self._brought, self._made_room = folder / "brought", folder / "made-room"
        self._held = ExitStack()
        atexit.register(self._held.close)
        self._own: tuple[int, int] | None = None
        self._kept: set[str] = set()
        self._alone = threading.Lock()

    def limit_bytes(self, held_bytes: int) -> int:
        """What lazy files may take; unless it is chosen, half of what the disk has free or holds of them."""
        chosen = chosen_limit_bytes()
        existing = next(folder for folder in (self.root, *self.root.parents) if folder.exists())
        return chosen if chosen is not None else (shutil.disk_usage(existing).free + held_bytes) // 2

    def files(self) -> Iterator[tuple[str, os.stat_result]]:
        """Lazy files that are here, by their names."""
        for top in (*(one.rstrip("/") for one in OF_THE_CACHE), "runs"):
            for parent, folders, files in os.walk(child(self.root, top)):
                folders[:] = [name for name in folders if not is_temporary(name)]
                for path in (Path(parent, name) for name in files if not is_temporary(name)):
                    name = path.relative_to(self.root).as_posix()
                    if is_lazy(name) and (found := _state(path)):
                        yield name, found

    # --- what is here, and what is not ------------------------------------------------------------------------------------

    def came(self, name: str) -> None:
        """A file was fetched: if it is gone later, somebody has deleted it."""
        if not name.startswith(BLOBS):
            with locked(self._lock, shared=True):
                add_lines(self._brought, [name])
                drop_lines(self._made_room, [name])

    def presence(self) -> tuple[set[str], set[str]]:
        """The files, blobs aside, that came since the last list was known, and those that went to make room."""
        went = read_lines(self._made_room)
        # Killed while it made room, a process has left some.
        stayed = {name for name in went if inside(self.root, name).exists()}
        return read_lines(self._brought) | stayed, went - stayed

    def tidy(self) -> None:
        """Mend what a process left that was killed while it made room."""
        with locked(self._lock):
            drop_lines(self._made_room, {name for name in read_lines(self._made_room) if inside(self.root, name).exists()})

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Nothing comes or goes meanwhile, and the list that is known afterwards says what is here."""
        with locked(self._lock):
            yield
            for path in (self._brought, self._made_room):
                drop_lines(path, read_lines(path))

    # --- what is in use ---------------------------------------------------------------------------------------------------

    def keep(self, name: str) -> None:
        """Have a file stay until this process ends, whatever the limit."""
        with self._alone:
            if self._own is None or self._own[0] != os.getpid():  # a child has what its parent had, and its own
                self._own, self._kept = (os.getpid(), self._sign_in()), set()
            if name not in self._kept:
                with locked(self._lock, shared=True):  # nobody makes room
                    os.write(self._own[1], f"{name}\n".encode())
                self._kept.add(name)

    def release(self) -> None:
        """This process has ended what it kept files for."""
        with self._alone:
            if self._own is not None and self._own[0] == os.getpid():
                self._held.close()
                self._own = None

    def _sign_in(self) -> int:
        self._in_use.mkdir(parents=True, exist_ok=True)
        with locked(self._lock, shared=True):
            return self._held.enter_context(locked(child(self._in_use, f"{uuid4().hex}.lock")))

    def in_use(self) -> set[str]:
        """What processes at work keep; what shows those that are gone is deleted."""
        names: set[str] = set()
        for path in self._in_use.glob("*.lock"):
            try:
                with locked(path, shared=False, patience_s=0):
                    path.unlink(missing_ok=True)
            except Held:
                names |= read_lines(path)
        return names

    # --- room -------------------------------------------------------------------------------------------------------------

    def make_room(self, is_sent: Callable[[str, os.stat_result], bool]) -> int:
        """Delete what was least recently used and is sent, until all is within the limit; returns how many bytes.

        Where another process makes room, this one does not.
        """
        try:
            with locked(self._lock, patience_s=PATIENCE_S):
                doomed = self._doomed(is_sent)
                mapped = [name for name in doomed if not name.startswith(BLOBS)]
                add_lines(self._made_room, mapped)
                drop_lines(self._brought, mapped)
                for name in doomed:
                    inside(self.root, name).unlink(missing_ok=True)
                return sum(doomed.values())
        except Held:
            return 0

    def _doomed(self, is_sent: Callable[[str, os.stat_result], bool]) -> dict[str, int]:
        """What is to go, with its size in bytes."""
        held, doomed = dict(self.files()), {}
        total = sum(state.st_size for state in held.values())
        limit = self.limit_bytes(total)
        if total <= limit:
            return doomed
        in_use = self.in_use()
        for name in sorted(held, key=lambda one: held[one].st_atime_ns):
            if total <= limit * FILLED_AGAIN:
                break
            if name not in in_use and is_sent(name, held[name]):
                doomed[name] = held[name].st_size
                total -= held[name].st_size
        return doomed


def _state(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


# --- lines that several processes add and take ---------------------------------------------------------------------------


def read_lines(path: Path) -> set[str]:
    """The lines of a file; none where there is no file."""
    try:
        return set(read_plain_text(path).splitlines())
    except FileNotFoundError:
        return set()


def add_lines(path: Path, lines: Iterable[str]) -> None:
    """Add lines to a file, one after the other; they are on the disk then."""
    if text := "".join(f"{line}\n" for line in sorted(lines)):
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path) as descriptor:
            os.lseek(descriptor, 0, os.SEEK_END)
            os.write(descriptor, text.encode())
            os.fsync(descriptor)


def drop_lines(path: Path, lines: Iterable[str]) -> None:
    """Take lines out of a file."""
    if path.exists():
        with locked(path) as descriptor:
            text = "".join(f"{line}\n" for line in sorted(read_lines(path) - set(lines)))
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, text.encode(), 0)
