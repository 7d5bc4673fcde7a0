"""`BOKEHFLOW_HOME`: the one folder that holds all data, and the names inside it.

Only this package knows where things lie. Everything is written under a temporary name and renamed, so that a
stage interrupted anywhere is simply run again.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.atomic import is_temporary, sweep, temporary_beside
from pipeline.errors import StorageError, disk_failed
from pipeline.file_names import child, expanded
from pipeline.locks import Held, locked, sign
from pipeline.package_files import PROJECT_FILE
from pipeline.postgres import is_shared
from storage.blobs import BlobStore

if TYPE_CHECKING:
    from storage.tables import TableStore
    from storage.working import WorkingFolder

HOME_VARIABLE = "BOKEHFLOW_HOME"
CONFIG_VARIABLE = "BOKEHFLOW_CONFIG"
DEFAULT_HOME = Path("data")
DAGSTER = "dagster"
OF_PICTURES = (".png", ".jpg")
"""How names of masks and thumbnails end."""
_ADDRESS = re.compile(r"[a-z][a-z0-9]*:/")


@dataclass(frozen=True)
class Home:
    """A data folder; its parts are made when something is first written to them."""

    root: Path

    @classmethod
    def at(cls, root: Path | str | None = None, say: Callable[[str], None] = lambda _: None) -> "Home":
        """The home at `root`, else where `BOKEHFLOW_HOME` says, else `./data`.

        One at an address of object storage is its working folder, like the newest state there, of which `say` tells; raises
        `ConfigError` or `StorageError` where the store cannot be used.
        """
        chosen = str(root or os.environ.get(HOME_VARIABLE) or "")
        if _ADDRESS.match(chosen):
            from storage.working import open_working

            opened = open_working(re.sub(":/+", "://", chosen), say)  # a path has one slash
            _working.cache_clear()
            _working(opened)
            return cls(opened)
        home = cls(expanded(root or os.environ.get(HOME_VARIABLE) or DEFAULT_HOME).resolve())
        _working(home.root)  # a process that another one started knows what lies elsewhere
        return home

    @classmethod
    def left_at(cls, address: Path | str) -> "Home":
        """The home at an address as this machine left it, where the store cannot be asked."""
        from storage.working import unopened

        left = unopened(re.sub(":/+", "://", str(address)))
        _working.cache_clear()
        return cls(left)

    def project_file(self, given: Path | None = None) -> Path:
        """The project file that counts: the one given, that of the environment, the home's own, else `./bokehflow.toml`."""
        named = given or os.environ.get(CONFIG_VARIABLE)
        if named:
            return expanded(named).resolve()
        own = self.root / PROJECT_FILE
        return own if own.exists() else Path(PROJECT_FILE).resolve()

    @property
    def blobs(self) -> BlobStore:
        """Files of photos by their SHA-256."""
        return BlobStore(self.root / "blobs", self.working)

    @property
    def working(self) -> "WorkingFolder | None":
        """What keeps the home like a store in which it lies; None where it is a folder and nothing else."""
        return _working(self.root)

    def undisturbed(self) -> AbstractContextManager[None]:
        """Meanwhile nothing of another machine takes a file's place here: for who reads a table, adds rows and writes it."""
        return self.working.alone() if self.working else nullcontext()

    @property
    def tables(self) -> "TableStore":
        """The tables of docs/tables.md."""
        from storage.tables import TableStore  # needs pandas, which quick commands do without

        return TableStore(self.root / "tables")

    def kept_alike(self) -> AbstractContextManager[None]:
        """For what stays open: meanwhile a home at an address is kept like the store; of another there is nothing to do."""
        return self.working.kept_alike() if self.working else nullcontext()

    def table_files(self, name: str) -> list[Path]:
        """The Parquet files of a table, for readers that do without pandas."""
        return sorted(child(self.root / "tables", name).glob("*.parquet"))

    def journal(self, name: str) -> Path:
        """What is done of a stage's work that is not in its table yet; `name` may be a partition key."""
        return child(self.root / "journals", f"{name.replace('|', '+')}.jsonl")

    def all_journals(self) -> list[Path]:
        """The journals of interrupted stages, and of those at work."""
        return sorted((self.root / "journals").glob("*.jsonl"))

    @property
    def fingerprints(self) -> Path:
        return self.root / "fingerprints"

    @property
    def kept_records(self) -> Path:
        """What Dagster answered when nothing was due."""
        return self.root / "kept-records.json"

    @property
    def kept_review(self) -> Path:
        """What the reviewed CSVs came to when they were last met with photos."""
        return self.root / "kept-review.json"

    @property
    def kept_decisions(self) -> Path:
        """What stands in the reviewed CSVs."""
        return self.root / "kept-decisions.parquet"

    @property
    def duplicates(self) -> Path:
        return self.root / "duplicates"

    @property
    def review_queue(self) -> Path:
        return self.root / "review" / "queue"

    @property
    def reviewed(self) -> Path:
        """CSVs with people's decisions."""
        return self.root / "review" / "reviewed"

    @property
    def comparisons(self) -> Path:
        """What people answered when they compared methods."""
        return self.root / "review" / "comparisons"

    @property
    def thumbnails(self) -> Path:
        """Small pictures of the queue's photos."""
        return self.root / "thumbnails"

    @property
    def hints_journal(self) -> Path:
        """What the queue has measured and not yet written to its table."""
        return self.root / "hints-journal.jsonl"

    @property
    def work(self) -> Path:
        """What the workers of an engine have done and no stage has taken yet."""
        return self.root / "work"

    @property
    def drawn_masks(self) -> Path:
        """Masks that a person drew on the review page."""
        return self.root / "review" / "masks"

    @property
    def masks(self) -> Path:
        """PNGs of the subjects' alphas, by the paths that `person_masks` names."""
        return self.root / "masks"

    @property
    def depth(self) -> Path:
        """Maps of the photos' depth."""
        return self.root / "depth"

    @property
    def shards(self) -> Path:
        """Training pictures, by the names in `training_images` and in manifests."""
        return self.root / "shards"

    @property
    def weights(self) -> Path:
        """Weights of networks that were fetched or learnt."""
        return self.root / "weights"

    @property
    def budget(self) -> Path:
        return self.root / "budget"

    @property
    def runs(self) -> Path:
        """Trained models, a folder for each: `SNAPSHOT-RECIPE-SEED`."""
        return self.root / "runs"

    @property
    def benchmarks(self) -> Path:
        """Scores on benchmarks of the field, a folder for each."""
        return self.root / "benchmarks"

    @property
    def results(self) -> Path:
        """Photos of the home, whole, beside what a model makes of them; a folder for each snapshot."""
        return self.root / "results"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def evaluations(self) -> Path:
        """What evaluations of the models of a snapshot share, and what generators cost."""
        return self.root / "evaluations"

    @property
    def page_secret(self) -> Path:
        """What the cookies of the pages on this machine are made from; of this home and nobody else's."""
        return self.root / "page-secret"

    @property
    def slurm(self) -> Path:
        """What jobs of Slurm are told and say."""
        return self.root / "slurm"

    @property
    def at_work(self) -> Path:
        """A locked file for each process that makes something here."""
        return self.root / "processes"

    @property
    def ui_process(self) -> Path:
        """Which process served the UI last, on which machine."""
        return self.root / "ui-process.json"

    @property
    def dagster(self) -> Path:
        return self.root / DAGSTER

    @property
    def snapshots(self) -> Path:
        """Frozen snapshots, a folder for each, by its id."""
        return self.root / "snapshots"

    @property
    def all_listing_windows(self) -> Path:
        return self.root / "listing-windows"

    def listing_windows(self, domain: str, month: str) -> Path:
        """Folder of the finished windows of a month that is being listed."""
        return child(self.all_listing_windows, f"{domain}+{month}")

    def unfinished(self) -> Iterator[Path]:
        """Every file and folder under a temporary name, whoever writes it: nothing else holds what is not in place yet."""
        # Blobs come into their folders finished; Dagster's files are not ours.
        others, seen = {self.dagster, self.blobs.root}, set[tuple[int, int]]()
        left = [(self.root, False), (child(self.blobs.root, "incoming"), False)]
        while left:
            at, is_shared = left.pop()
            # Of a million photos most names are those of pictures, and none of them is a folder's.
            for name in (one for one in _names_in(at, seen) if not one.endswith(OF_PICTURES)):
                path = at / name
                if is_temporary(name, is_shared):
                    yield path
                elif path not in others and path.is_dir():
                    # People put files in there, and programs that keep folders alike.
                    left.append((path, is_shared or path == self.root / "review" or path.is_symlink()))

    def sweep(self) -> int:
        """Delete what processes that are gone left unfinished; others may be at work in the home. Returns how many."""
        return sweep(list(self.unfinished()))

    def bytes_below(self, path: Path) -> int:
        """What a file of the home takes, or a folder with all below it, in the store as well where it lies in one."""
        here = sum(one.lstat().st_size for one in (path, *path.rglob("*")) if one.is_file())
        return here + (self.working.bytes_below(path) if self.working else 0)

    def discard(self, path: Path) -> None:
        """Delete a file of the home, or a folder with all below it, in the store as well where it lies in one.

        It goes as a whole: what a process that is killed leaves of it has a temporary name, and goes with the next `sweep`.
        Raises `StorageError` where it cannot be deleted.
        """
        if self.working:
            self.working.remove_below(path)
        try:
            if os.path.lexists(path):
                leaving = temporary_beside(path)
                os.replace(path, leaving)
                shutil.rmtree(leaving) if leaving.is_dir() and not leaving.is_symlink() else leaving.unlink()
        except OSError as error:
            raise disk_failed(error, path) from error

    @contextmanager
    def making(self, asset: str, partition: str | None) -> Iterator[None]:
        """Make one partition of an asset: whoever makes another, another asset, or in another home may do so meanwhile.

        Raises `StorageError` when another process makes this one: on this machine or, where the home is in a bucket and
        PostgreSQL is shared, on any.
        """
        what = " ".join(filter(None, [asset, partition]))
        with self._locked(self.root / "making", re.sub(r"[^\w@.-]+", "+", what), f"at work on {what}"), self._leased(what):
            yield
        if self.working:
            self.working.settle_soon()

    def _leased(self, what: str) -> AbstractContextManager[None]:
        if not (self.working and is_shared()):
            return nullcontext()
        from storage.leases import leased

        return leased(f"{self.working.address} {what}")

    @contextmanager
    def presence(self, process: str) -> Iterator[None]:
        """Show that this process, under the name that it alone has, is at work; what shows it goes when the process ends."""
        with self._locked(self.at_work, process, "at work in this home"):
            try:
                yield
            finally:
                child(self.at_work, f"{process}.lock").unlink(missing_ok=True)

    def is_present(self, process: str) -> bool:
        """Whether the process of this name is at work, be it in another container of this machine.

        Of another machine's it says nothing: not every shared disk passes locks on.
        """
        if not child(self.at_work, f"{process}.lock").exists():
            return False
        try:
            with self._locked(self.at_work, process, ""):
                child(self.at_work, f"{process}.lock").unlink(missing_ok=True)
                return False
        except StorageError:
            return True

    @contextmanager
    def lock(self, name: str, shared: bool = False) -> Iterator[Callable[[str], None]]:
        """Hold the home's lock `name`, alone or among others who share it; it goes with the process, however that ends.

        Yields a function that says under which address the holder is reached; without it the lock names its process.
        Raises `StorageError` when another process holds it otherwise.
        """
        with self._locked(self.root, name, "at work in this home", shared) as say:
            yield say

    @property
    def is_read_only(self) -> bool:
        """Whether the home is there and may not be written: then it is only looked at."""
        return self.root.exists() and not os.access(self.root, os.W_OK)

    @contextmanager
    def left_alone(self, name: str) -> Iterator[None]:
        """`lock` for who only looks: in a home that may not be written it is taken where it is there and can be."""
        with ExitStack() as held:
            if not self.is_read_only:
                held.enter_context(self.lock(name))
            else:
                try:
                    held.enter_context(locked(child(self.root, f"{name}.lock"), patience_s=0, only_there=True))
                except Held as holder:
                    raise StorageError(self._in_use("at work in this home", *str(holder).split(maxsplit=1))) from None
                except OSError:
                    pass  # nobody ever held it, or nobody can tell from here
            yield

    @contextmanager
    def _locked(self, folder: Path, name: str, busy: str, shared: bool = False) -> Iterator[Callable[[str], None]]:
        with ExitStack() as held:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                descriptor = held.enter_context(locked(child(folder, f"{name}.lock"), shared=shared, patience_s=0))
            except Held as holder:
                raise StorageError(self._in_use(busy, *str(holder).split(maxsplit=1))) from None
            except OSError as error:
                raise disk_failed(error, self.root) from error

            def say(address: str = "") -> None:
                try:
                    sign(descriptor, f"{os.getpid()} {address}".strip())
                except OSError as error:
                    raise disk_failed(error, self.root) from error

            say()
            yield say

    def _in_use(self, busy: str, process: str = "unknown", address: str = "") -> str:
        at, first = (f", at {address}", "use that, or end it first") if address else ("", "end it first")
        return f"{self.root}: process {process} is {busy}{at}; {first}"


@cache
def _working(root: Path) -> "WorkingFolder | None":
    if not (root / "remote").exists():  # what it knows of the store
        return None
    from storage.working import working_at

    return working_at(root)


def _names_in(folder: Path, seen: set[tuple[int, int]]) -> list[str]:
    """None where there is no folder, or none any more, or where it is one of those seen, which it joins."""
    try:
        found = folder.stat()
        if (found.st_dev, found.st_ino) in seen:
            return []
        seen.add((found.st_dev, found.st_ino))
        return os.listdir(folder)
    except OSError:
        return []
