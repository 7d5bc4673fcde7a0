"""A home that is worked on at an address: a folder of this machine that is kept like the store, and the store like it.

    remote/address        the address
    remote/list.gz        the store's list that this folder was last like, and how each file looked here then
    remote/removed        blobs that were deleted although they were not here, a line each
    remote/unneeded       contents that the store may delete once its newest list does without them, a line each
    remote/to-forget      photos that another machine forgot, and of which this one may still have something
    remote/handed-over    what this machine made as an engine's worker and has sent, a line each
    remote/set-aside/     this machine's version of files that another had changed as well

`settle` compares the folder, the store's newest list and the list that both come from; what changed there comes here, what
changed here goes there by content and becomes the next list, put only where none has its number. Killed anywhere, the next
one finds the same differences. Blobs, shards, weights and models are fetched when they are opened (`storage.cache`),
everything else at once.
"""

import gzip
import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256 as sha256_digest
from pathlib import Path

from pipeline.atomic import write_bytes, write_text
from pipeline.counted import counted
from pipeline.errors import StorageError, disk_failed
from pipeline.file_names import child, expanded, inside
from pipeline.locks import locked
from pipeline.plain_files import lies_elsewhere, read_plain, read_plain_text
from pipeline.postgres import is_shared
from storage.bucket import (
    FETCHES,
    WORKING,
    Bucket,
    File,
    digest_of,
    file_at,
    files_of,
    is_changes,
    list_name,
    many,
    read_list,
    write_changes,
    write_checked,
    write_list,
)
from storage.cache import BLOBS, LOOKS_PER_LIMIT, Cache, add_lines, chosen_limit_bytes, drop_lines, is_lazy, read_lines
from storage.merging import OF_PEOPLE, TOMBSTONES, UNITED, Merged, Rule, further_name, is_of_the_machine, merge, same

CACHE_VARIABLE = "BOKEHFLOW_CACHE"
NOT_HERE, LOOK_AGAIN = 0, -1
"""In place of a time of change."""
RACY_NS = 2 * 10**9
"""A file changed so shortly before it was looked at may change again and look the same: file systems' clocks are coarse."""
TRIES = 20
"""So often another machine may be first."""
FEWEST_LOST = 50
"""Up to so many files may be gone from one command to the next; more only if most of the home stays."""
LOOK_EVERY_S, TAKE_OVER_EVERY_S = 2.0, 60.0
"""Of pages that stay open: how often they look whether somebody wrote something, and ask what other machines sent."""
PAUSE_FACTOR = 5
"""What a stage waits between two times, in how long the last one took: no more than a sixth of the time goes there."""

Say = Callable[[str], None]
log = logging.getLogger(__name__)


class _ChangedMeanwhile(Exception):
    """A file of this name was written while it was to be replaced."""


@dataclass
class Known:
    """The list that folder and store were last alike by: its number, its files, and when each was changed here."""

    number: int = 0
    files: dict[str, File] = field(default_factory=dict)
    changed_ns: dict[str, int] = field(default_factory=dict)
    is_exact: bool = False
    """Whether the store's list has these files and no other machine's own besides."""

    def to_bytes(self) -> bytes:
        """For a file."""
        rows = ([name, *vars(one).values(), self.changed_ns.get(name, NOT_HERE)] for name, one in self.files.items())
        return gzip.compress(
            "\n".join(map(json.dumps, [[self.number, len(self.files), self.is_exact], *rows])).encode(), 1, mtime=0
        )

    @classmethod
    def of(cls, data: bytes) -> "Known":
        """From a file. Raises `ValueError` and its like for a damaged one."""
        head, *rows = gzip.decompress(data).decode().split("\n")
        number, count, *told = json.loads(head)
        known = cls(number, is_exact=told == [True])  # older versions told nothing
        for name, *written, changed_ns in map(json.loads, rows):
            known.files[name], known.changed_ns[name] = File.of(written), changed_ns
        if len(known.files) != count:
            raise ValueError("it was cut off")
        return known


def cache_folder() -> Path:
    """Where working folders lie: `BOKEHFLOW_CACHE`, else the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "bokehflow")
    return expanded(chosen).resolve() if chosen else usual


def folder_of(address: str) -> Path:
    """The working folder of an address on this machine."""
    return child(cache_folder() / "homes", sha256_digest(address.rstrip("/").encode()).hexdigest()[:16])


def working_at(root: Path) -> "WorkingFolder | None":
    """What makes `root` a working folder; None where it is a home of its own."""
    try:
        found = WorkingFolder(root, read_plain_text(root / WORKING / "address").strip())
    except (FileNotFoundError, NotADirectoryError):
        return None
    lies_elsewhere(root, found)
    return found


def open_working(address: str, say: Say) -> Path:
    """The working folder of an address, like the store's newest list, with what an earlier command had not sent.

    Raises `ConfigError` or `StorageError` where the store cannot be used.
    """
    chosen_limit_bytes()
    bucket = Bucket(address)
    root = folder_of(bucket.address)
    working = WorkingFolder(root, bucket.address)
    if not working.list_file.exists():
        bucket.check_conditions()
        write_text(root / WORKING / "address", f"{bucket.address}\n")
        say(f"{bucket.address} is worked on in {root}")
    working.cache.tidy()
    working.take_over(say)
    return root


def unopened(address: str) -> Path:
    """The working folder of an address as it was left, where the store cannot be asked."""
    root = folder_of(address)
    if not (root / WORKING / "address").exists():
        write_text(root / WORKING / "address", f"{address.rstrip('/')}\n")
    return root


class WorkingFolder:
    """The folder `root` as the working folder of `address`. Its methods may be called by any thread and process."""

    def __init__(self, root: Path, address: str) -> None:
        self.root, self.address = root, address
        self.list_file = root / WORKING / "list.gz"
        self._removed, self._unneeded = root / WORKING / "removed", root / WORKING / "unneeded"
        self._to_forget, self._handed = root / WORKING / "to-forget", root / WORKING / "handed-over"
        self._read: tuple[object, Known] = (None, Known())
        self._not_before_s = 0.0
        self._looked: dict[str, tuple[int, int, int] | None] = {}
        self.cache = Cache(root, root / WORKING)
        self._fetched = self._held = self._seen = 0

    @cached_property
    def bucket(self) -> Bucket:
        """The store."""
        return Bucket(self.address)

    # --- what is fetched when it is opened --------------------------------------------------------------------------------

    def size(self, name: str) -> int | None:
        """The size in bytes of a file that the store has and this folder may not have; None where there is none."""
        found = self._far(name)
        return None if found is None else found.size

    def fetch(self, name: str) -> bool:
        """Bring a file that is not here; False where the store has none of that name."""
        found = self._far(name)
        if found is None:
            return False
        if self._fetched > self.cache.limit_bytes(0) // LOOKS_PER_LIMIT:
            self.make_room()  # before, so that what comes now can be read
        self._bring(name, found, inside(self.root, name))
        self.cache.came(name)
        self._fetched += found.size
        return True

    def remove(self, name: str) -> None:
        """Have a blob deleted from the store as well, whether it is here or not, and whether a list names it or not."""
        add_lines(self._removed, [name])
        add_lines(self._unneeded, [name.rpartition("/")[2]])

    def remove_below(self, path: Path) -> None:
        """Have a file, or all files below a folder, deleted from the store as well, whether they are here or not."""
        add_lines(self._removed, self._below(path))

    def bytes_below(self, path: Path) -> int:
        """The bytes of a file, or of all files below a folder, that the store has and this folder has not."""
        return sum(file.size for name, file in self._below(path).items() if not inside(self.root, name).exists())

    def _below(self, path: Path) -> dict[str, File]:
        """The file, or all below the folder, that the last list names."""
        top = self._name(path)
        return {name: file for name, file in self._known().files.items() if name == top or name.startswith(f"{top}/")}

    def bring(self, path: Path) -> bool:
        """`fetch`, for a path."""
        return self.fetch(self._name(path))

    def keep(self, path: Path) -> None:
        """Have a file stay that may be fetched again, until this process ends."""
        if is_lazy(name := self._name(path)):
            self.cache.keep(name)

    def has(self, path: Path) -> bool:
        """Whether there is such a file, here or in the store."""
        return path.exists() or self._far(self._name(path)) is not None

    def paths(self, folder: Path) -> list[Path]:
        """The files below a folder that are fetched when they are opened, here or in the store."""
        return [inside(self.root, name) for name in self._listed(filter(is_lazy, self._below(folder)))]

    def make_room(self) -> int:
        """Delete what was least recently used and is in the store, so that the cache's limit is kept; returns the bytes."""
        known, removed = self._known(), read_lines(self._removed)

        def is_sent(name: str, state: os.stat_result) -> bool:
            listed = known.files.get(name)
            if listed is None or name in removed:
                return False
            if name.startswith(BLOBS):  # which no content but its own can have
                return state.st_size == listed.size
            looks = (state.st_size, state.st_mtime_ns, state.st_ctime_ns)
            return looks == (listed.size, listed.mtime_ns, known.changed_ns.get(name))

        self._fetched = 0
        return self.cache.make_room(is_sent)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _far(self, name: str) -> File | None:
        """A file that is fetched when it is opened, as its list has it; None where there is none of that name."""
        return self._listed([name]).get(name) if is_lazy(name) else None

    def _listed(self, names: Iterable[str]) -> dict[str, File]:
        """Those of the files that a list names and nobody has deleted here."""
        known, removed = self._known(), read_lines(self._removed)
        files = {name: known.files[name] for name in names if name in known.files and name not in removed}
        mapped = [name for name in files if not name.startswith(BLOBS) and not inside(self.root, name).exists()]
        if mapped:
            came, went = self.cache.presence()
            for name in mapped:
                if not _is_away(name, known, came, went):
                    del files[name]
        return files

    def _bring(self, name: str, file: File, path: Path, before: Callable[[str], None] = lambda name: None) -> None:
        for tries_left in reversed(range(FETCHES)):
            try:
                chunks = self.bucket.chunks(f"objects/{file.sha256}")
                write_checked(path, chunks, file, f"{self.address}: {name}", lambda: before(name))
                break
            except StorageError:
                if not tries_left:
                    raise

    # --- what workers of an engine make -----------------------------------------------------------------------------------

    @property
    def number(self) -> int:
        """Of the list that the folder was last like."""
        return self._known().number

    def hand_over(self, name: str, results: Path) -> None:
        """Send what was made here since the newest list, and the files of the folder `results`, for whoever receives it."""
        known, handed = self._known().files, read_lines(self._handed)
        files = {one: path for one, path in files_of(self.root).items() if one not in known and one not in handed}
        made = {one: path for one, path in files.items() if path.parent == results or not is_of_the_machine(one)}
        sent = zip(made, many(lambda path: self.bucket.take(path, lambda *_: False)[0], made.values()), strict=True)
        self.bucket.write(f"work/{name}.gz", write_list(dict(sent)))
        add_lines(self._handed, made)

    def receive(self, name: str) -> None:
        """Bring what another machine handed over; its results go from the store, the rest is in the next list."""
        files = read_list(self.bucket.content(f"work/{name}.gz"), self.address)
        self._bring_all(files)
        results = [f"objects/{file.sha256}" for one, file in files.items() if is_of_the_machine(one)]
        self.bucket.delete([f"work/{name}.gz", *results])

    # --- photos that another machine forgot -------------------------------------------------------------------------------

    def to_forget(self) -> set[str]:
        """Photos that another machine forgot and that may still be in what this machine alone has."""
        return read_lines(self._to_forget)

    def forgotten(self, photo_ids: Iterable[str]) -> None:
        """They are in nothing of this machine any more."""
        shutil.rmtree(self.root / WORKING / "set-aside", ignore_errors=True)
        drop_lines(self._to_forget, photo_ids)

    # --- folder and store alike -------------------------------------------------------------------------------------------

    def settle_soon(self) -> bool:
        """`settle`, unless that was done shortly before; a store that fails is told of and stops nobody. Whether it was."""
        if time.monotonic() < self._not_before_s:
            return False
        began_s = time.monotonic()
        try:
            self.settle(log.info)
            return True
        except StorageError as error:
            log.warning("%s; what was made is in %s, and goes there later", error, self.root)
            return False
        finally:
            self._not_before_s = time.monotonic() + PAUSE_FACTOR * (time.monotonic() - began_s)

    def settle(self, say: Say) -> None:
        """Make folder and store alike. Raises `StorageError`, after which nothing is lost and the next one goes on."""
        try:
            with self.alone():
                for _ in range(TRIES):
                    try:
                        if self._settled(say):
                            return
                    except _ChangedMeanwhile as changed:
                        log.info("%s: it was written while it was to be replaced; both are looked at again", changed)
                    except StorageError:
                        # What an older list names may be gone from the store.
                        if self.bucket.number() <= self._seen:
                            raise
        except OSError as error:
            raise disk_failed(error, self.root) from error
        raise StorageError(f"{self.address}: other machines were faster {TRIES} times; run the same command again")

    @contextmanager
    def kept_alike(self) -> Iterator[None]:
        """Meanwhile send what people write soon after, and take over what other machines send: for pages that stay open."""
        ended = threading.Event()

        def keep() -> None:
            written, alike_s = self._written(), time.monotonic()
            while not ended.wait(LOOK_EVERY_S):
                if (now := self._written()) != written:
                    if self.settle_soon():
                        written, alike_s = now, time.monotonic()
                elif time.monotonic() > alike_s + TAKE_OVER_EVERY_S:
                    alike_s = time.monotonic()
                    try:
                        self.take_over(log.info)
                    except StorageError as error:
                        log.warning("%s", error)

        keeper = threading.Thread(target=keep, name="kept alike", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            ended.set()
            keeper.join()

    def _written(self) -> list[tuple[str, int, int]]:
        """What tells that somebody has written."""
        paths = sorted(path for name in OF_PEOPLE for path in inside(self.root, name.rstrip("/")).rglob("*"))
        return [(str(path), *(_looks(path) or (0, 0))[:2]) for path in paths]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Meanwhile nobody makes folder and store alike: for who reads what another machine may change, and writes it."""
        (self.root / WORKING).mkdir(parents=True, exist_ok=True)
        with locked(self.root / WORKING / "settle.lock"):
            yield

    def take_over(self, say: Say) -> None:
        """`settle` where the store has a newer list; what is to be sent goes with the next one."""
        if self._known().number == 0 or self.bucket.number() != self._known().number:
            self.settle(say)

    def _settled(self, say: Say) -> bool:
        """One try; False where another machine put the next list meanwhile."""
        known, looked_ns = self._known(), time.time_ns()
        number, there, is_exact = self._newest(known, say)
        removed = read_lines(self._removed)
        here, away = self._here(known, removed)
        merged = merge(known.files, here, there)
        self._apply(merged, here, there, say)
        files = merged.files
        if files.keys() != there.keys() or not all(same(files[name], there[name], name) for name in there):
            number, files = number + 1, self._send(files, there, say)
            if is_shared():
                from storage.leases import check_leases

                check_leases()
            if not self._commit(number, files, there, is_exact):
                return False
            is_exact = True
        self._know(Known(number, files, is_exact=is_exact), here.keys() - away, looked_ns)
        drop_lines(self._removed, removed)
        if self._held > self.cache.limit_bytes(self._held):
            self.make_room()
        return True

    def _newest(self, known: Known, say: Say) -> tuple[int, dict[str, File], bool]:
        """The store's newest list, without what belongs to one machine, and whether that is all of it; the first machine
        takes that over."""
        self._seen = newest = self.bucket.number()
        if newest < known.number:
            raise StorageError(
                f"{self.address}: its list of number {known.number} is gone, the newest is {newest}; if that is right, "
                f"delete {self.root} to begin anew; else delete {self.root / WORKING}, and `bokehflow home copy "
                f"{self.root}` brings back what is here"
            )
        if newest == known.number:
            return newest, known.files, known.is_exact
        number, there = self.bucket.newest(known.number, known.files) if known.is_exact else self.bucket.newest()
        self._seen = number
        own = {name: one for name, one in there.items() if is_of_the_machine(name)}
        if not known.number and not self.list_file.exists():
            say(f"{self.address}: {counted(len(there), 'file')}")
            self._bring_all(own)
        return number, {name: one for name, one in there.items() if name not in own}, not own

    def _here(self, known: Known, removed: set[str]) -> tuple[dict[str, File], set[str]]:
        """The folder's files, of which those that look as they did are not read, and which are as listed, not fetched."""
        here, changed, self._held = {}, {}, 0
        self._looked = {}
        for name, path in files_of(self.root).items():
            before = known.files.get(name)
            if is_of_the_machine(name):
                continue
            looks = self._looked[name] = _looks(path)
            self._held += looks[0] if looks and is_lazy(name) else 0
            if before is not None and looks == (before.size, before.mtime_ns, known.changed_ns.get(name)):
                here[name] = before
            elif before is not None and looks and name.startswith(BLOBS) and looks[0] == before.size:
                here[name] = before  # named by its content
            else:
                changed[name] = path
        digested = zip(changed, many(_digested, changed.values()), strict=True)
        here.update({name: file for name, file in digested if file is not None})
        gone = [name for name in known.files if name not in here and name not in removed]
        came, went = self.cache.presence()
        away = {name for name in gone if _is_away(name, known, came, went)}
        here.update({name: known.files[name] for name in away})
        lost = len(gone) - len(away)
        if lost > max(FEWEST_LOST, len(known.files) // 2):
            raise StorageError(
                f"{self.root}: {lost:,} of {len(known.files):,} files are gone since the last command, so that it is not "
                f"sent; delete the folder, and what is at {self.address} comes again"
            )
        return here, away

    def _apply(self, merged: Merged, here: Mapping[str, File], there: Mapping[str, File], say: Say) -> None:
        """Bring what is the store's, delete what it has not, and do with conflicts what their rules say."""
        for name, rule in merged.conflicts.items():
            say(f"{name}: changed here and by another machine; {rule.value}")
            path, further = inside(self.root, name), further_name(name, here[name].sha256)
            if rule in (Rule.BOTH_KEPT, Rule.SET_ASIDE):
                self._looked.pop(name, None)  # nothing is there any more
            if rule is Rule.BOTH_KEPT:
                os.replace(path, inside(self.root, further))
                merged.files[further] = here[name]
            elif rule is Rule.SET_ASIDE:
                aside = inside(self.root / WORKING / "set-aside", further)
                aside.parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, aside)
                say(f"{name}: this machine's version is {aside}")
        for name in UNITED:  # tombstones first
            if name in merged.fetch and (name == TOMBSTONES or name in merged.conflicts):
                merged.files[name] = self._unite(name, there[name])
                merged.fetch.remove(name)
        fetch = {name: there[name] for name in merged.fetch if not self._can_wait(name)}
        if len(fetch) > 1:
            say(f"{len(fetch):,} files are fetched, {sum(one.size for one in fetch.values()) / 1e6:,.1f} MB")
        self._bring_all(fetch, self._as_looked_at)
        for name in merged.drop:
            self._as_looked_at(name)
            inside(self.root, name).unlink(missing_ok=True)

    def _as_looked_at(self, name: str) -> None:
        """Raise `_ChangedMeanwhile` where somebody has written the file since it was compared: a person decides, say."""
        if _looks(inside(self.root, name)) != self._looked.get(name):
            raise _ChangedMeanwhile(name)

    def _can_wait(self, name: str) -> bool:
        """Whether a file is fetched when it is opened; not where another content has its name here."""
        return is_lazy(name) and (name.startswith(BLOBS) or not inside(self.root, name).exists())

    def _bring_all(self, files: Mapping[str, File], before: Callable[[str], None] = lambda name: None) -> None:
        """`before` is called with the name of each before it takes its place."""
        for _ in many(lambda name: self._bring(name, files[name], inside(self.root, name), before), files):
            pass

    def _unite(self, name: str, theirs: File) -> File:
        """The rows of both, and of two with one key the store's; tombstones that are new here are noted, since this machine
        may still have something of their photos, and rows of photos that either has forgotten do not come back."""
        import pandas as pd

        from pipeline.tables import among, conform
        from storage.tables import TableStore

        path, beside, table = inside(self.root, name), child(self.root / WORKING, "theirs"), name.split("/")[1]
        own = TableStore(self.root / "tables").read_or_empty(table)
        self._bring(name, theirs, inside(beside, name))
        others = TableStore(beside / "tables").read(table)
        keys = pd.MultiIndex.from_frame(own[UNITED[name]]).isin(pd.MultiIndex.from_frame(others[UNITED[name]]))
        more = own[~keys]
        if name == TOMBSTONES:
            add_lines(self._to_forget, set(others["photo_id"]) - set(own["photo_id"]))
        else:
            forgotten = set(TableStore(self.root / "tables").read_or_empty("tombstones", columns=["photo_id"])["photo_id"])
            more = more[~among(more["photo_id"], forgotten)]
        if len(more):
            both = pd.concat([others.astype(object), more.astype(object)], ignore_index=True)
            TableStore(self.root / "tables").write(table, conform(table, both))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.replace(inside(beside, name), path)
        shutil.rmtree(beside)
        return file_at(path, *digest_of(path))

    def _send(self, files: Mapping[str, File], there: Mapping[str, File], say: Say) -> dict[str, File]:
        """Put what the store has not; returns the next list."""
        has, next_files = {one.sha256 for one in there.values()}, dict(files)
        new = {name: inside(self.root, name) for name, one in files.items() if one.sha256 not in has}

        def put(path: Path) -> File | None:
            try:
                return self.bucket.take(path, lambda sha256, _: sha256 in has)[0]
            except FileNotFoundError:  # a journal, say, whose stage has ended meanwhile
                return None

        for name, file in zip(new, many(put, new.values()), strict=True):
            if file is None:
                del next_files[name]
            else:
                next_files[name] = file
        if new:
            size = sum(next_files[name].size for name in new if name in next_files)
            say(f"{len(new):,} file{'s' * (len(new) > 1)} sent to {self.address}, {size / 1e6:,.1f} MB")
        return next_files

    def _commit(self, number: int, files: Mapping[str, File], before: Mapping[str, File], is_exact: bool) -> bool:
        """Put the next list; what the one before named and this does not is to be deleted. False where another was first.

        Where `before` is all that the list before it names, the changes may do.
        """
        needed = {one.sha256 for one in files.values()}
        add_lines(self._unneeded, {one.sha256 for one in before.values()} - needed)
        # The number may be free only because a later list took its place.
        data = write_changes(files, before, number) if is_exact else write_list(files)
        if not self.bucket.create(list_name(number), data) or self.bucket.number() != number:
            return False
        if not is_changes(data, self.address):
            self.bucket.delete_lists_before(number)
        return True

    def _changes(self, files: Mapping[str, File], were_here: Set[str], looked_ns: int) -> dict[str, int]:
        """When each file was changed, where that tells whether it changes again."""
        changes, (_, went) = {}, self.cache.presence()
        for name, file in files.items():
            if looks := _looks(inside(self.root, name)):
                is_as_listed = looks[:2] == (file.size, file.mtime_ns) and file.mtime_ns < looked_ns - RACY_NS
                changes[name] = looks[2] if is_as_listed else LOOK_AGAIN
            elif name in were_here and name not in went:  # somebody has deleted it meanwhile
                changes[name] = LOOK_AGAIN
        return changes

    def _know(self, known: Known, were_here: Set[str], looked_ns: int) -> None:
        """Keep that the folder is like this list, then have the store delete what no list needs any more."""
        with self.cache.unchanged():
            known.changed_ns = self._changes(known.files, were_here, looked_ns)
            if known != self._known():
                write_bytes(self.list_file, known.to_bytes())
        if unneeded := read_lines(self._unneeded):
            needed = {one.sha256 for one in known.files.values()}
            left = self._put_again(sorted(unneeded - needed), known.number)
            self.bucket.delete(f"objects/{sha256}" for sha256 in sorted(unneeded - needed - left))
            drop_lines(self._unneeded, unneeded - left)

    def _put_again(self, contents: Sequence[str], number: int) -> set[str]:
        """Those that another machine has put since the list of this number, and names in a later one, or is about to."""
        if self.bucket.number() != number:
            return set(contents)  # the next one knows what the newest list needs
        listed = self.bucket.changed(list_name(number))
        changes = zip(contents, many(lambda one: self.bucket.changed(f"objects/{one}"), contents), strict=True)
        return {one for one, changed in changes if listed is None or (changed is not None and changed > listed)}

    def _known(self) -> Known:
        try:
            found = self.list_file.stat()
        except FileNotFoundError:
            return Known()
        sign = (found.st_mtime_ns, found.st_size, found.st_ino)
        if self._read[0] != sign:
            try:
                self._read = (sign, Known.of(read_plain(self.list_file)))
            except (OSError, EOFError, ValueError, TypeError, IndexError) as error:
                raise StorageError(
                    f"{self.list_file}: it is damaged ({type(error).__name__}); delete it, and what differs from "
                    f"{self.address} is told apart by content"
                ) from error
        return self._read[1]


def _is_away(name: str, known: Known, came: set[str], went: set[str]) -> bool:
    """Whether a file that is not here was not fetched or made room, and was not deleted."""
    if name.startswith(BLOBS):  # whose deletion is noted
        return True
    return is_lazy(name) and (name in went or (name not in came and known.changed_ns.get(name, NOT_HERE) == NOT_HERE))


def _looks(path: Path) -> tuple[int, int, int] | None:
    """What tells that a file has changed, without reading it; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _digested(path: Path) -> File | None:
    try:
        return file_at(path, *digest_of(path))
    except FileNotFoundError:
        return None
