"""The exceptions that bokehflow raises on purpose.

Every message says what is wrong, where, and what to do about it. The command line prints the message
alone and ends with exit code 1; anything that is not a `BokehflowError` is a defect and keeps its traceback.
What goes wrong with a single photo is not an exception at all but a row with a reason.

    BokehflowError
    ├── ConfigError          the project file, the environment or an argument is wrong
    ├── FlickrError          Flickr could not be asked
    │   ├── FlickrRefused    a final answer: a bad key, a malformed call
    │   └── FlickrUnreachable  still failing after every retry
    ├── StorageError         bytes on disk are missing or are not what they should be
    │   ├── CorruptBlob      a blob's content does not match its name
    │   └── UnsafeName       a name from outside that no path may be made of
    ├── WeightsError         a model's weights are missing, altered or cannot be fetched
    ├── DatasetError         a table or snapshot cannot be used for what was asked
    ├── TrainingError        a training run cannot start or cannot go on
    ├── ComputeError         an engine for many machines, or its workers, cannot be used
    └── StageFailed          a stage of the pipeline failed or its blocking check did not pass
"""

import errno
import re
import shutil
from pathlib import Path

DEFECT = 70
"""Exit code of what nobody expected: EX_SOFTWARE of sysexits.h."""
SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")
"""What numpy says, and nothing else, where the disk takes a part of an array."""
OF_SQLITE = {8: errno.EROFS, 10: errno.EIO, 13: errno.ENOSPC, 14: errno.EIO, 10 | 19 << 8: errno.ENOSPC}
"""What SQLite calls READONLY, IOERR, FULL, CANTOPEN (a file of the database could not be opened or made, whyever) and
IOERR_SHMSIZE (its index of what was written last could not grow), as the system calls it."""


MACHINE_FAULTS = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE,
    errno.ESTALE, errno.EOVERFLOW, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EEXIST,
}  # fmt: skip
"""What the system says where a disk, a right or a limit is to blame."""


class BokehflowError(Exception):
    """Base of all errors that carry a message for the user."""


class ConfigError(BokehflowError):
    """The project file, the environment or a command-line argument is wrong."""


class SourceError(BokehflowError):
    """A source of photos could not be asked."""


class SearchTooWide(SourceError):
    """A source did not find all that a search asks for in the time that it allows; a narrower one may do."""


class FlickrError(SourceError):
    """Flickr could not be asked."""


class FlickrRefused(FlickrError):
    """Flickr gave a final refusal; asking again cannot help."""


class FlickrUnreachable(FlickrError):
    """Flickr did not answer usefully within all retries."""


class CommonsError(SourceError):
    """Wikimedia Commons could not be asked."""


class CommonsRefused(CommonsError):
    """Commons gave a final refusal; asking again cannot help."""


class CommonsUnreachable(CommonsError):
    """Commons did not answer usefully within all retries."""


class CommonsTooSlow(CommonsUnreachable, SearchTooWide):
    """Commons showed but a part of what a search finds, again and again."""


class StorageError(BokehflowError):
    """Bytes on disk are missing or are not what they should be."""


class CorruptBlob(StorageError):
    """A blob's content does not match the SHA-256 in its name."""


class UnsafeName(StorageError):
    """A name from outside that no path may be made of."""


class WeightsError(BokehflowError):
    """A model's weights are missing, altered, or cannot be fetched."""


class DatasetError(BokehflowError):
    """A table or snapshot cannot be used for what was asked."""


class TrainingError(BokehflowError):
    """A training run cannot start or cannot go on."""


class ComputeError(BokehflowError):
    """An engine for many machines, or its workers, cannot be used."""


class StageFailed(BokehflowError):
    """A stage of the pipeline failed or its blocking check did not pass."""


BY_NAME: dict[str, type[BokehflowError]] = {
    one.__name__: one
    for one in (ConfigError, StorageError, CorruptBlob, UnsafeName, WeightsError, DatasetError, ComputeError)
}
"""What a stage's work may raise on another machine, by name."""


def disk_failed(error: OSError, folder: Path) -> StorageError:
    """What to tell when writing below `folder` failed: the folder, the room that is left, what to do."""
    return _stopped_for_want_of_disk(folder, *disk_trouble(error))


def disk_trouble(error: OSError) -> tuple[str, str]:
    """What is wrong with a disk that could not be read or written, and what to do, in words."""
    if is_full(error):
        return "the disk is full", "make room"
    if error.errno == errno.EFBIG:
        return "a file may not be so large there (its file system, or `ulimit -f`, says so)", "take another folder"
    if error.errno == errno.EOVERFLOW:
        return f"it is larger than what is read ({error.strerror})", "take a smaller one"
    if error.errno == errno.EEXIST:
        return "something else lies there", "name another place"
    if error.errno == errno.ENOTDIR:
        return "a file lies where a folder would have to be", "name another place"
    if error.errno == errno.ENAMETOOLONG:
        return "no name may be so long there", "take a shorter one"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        what = "written" if error.errno == errno.EROFS else "read or written"
        return f"it may not be {what} ({error.strerror})", "give yourself the right, or take another folder,"
    return f"the disk failed ({error.strerror or error})", "mend that"


def is_of_machine(error: OSError) -> bool:
    """Whether the machine failed, which is no defect of ours."""
    return error.errno in MACHINE_FAULTS or is_full(error)


def machine_words(error: OSError, otherwise: str) -> str:
    """At which file the machine failed (`otherwise` where the error names none), what is wrong, and what to do."""
    what, remedy = disk_trouble(error)
    # Of two names, as of a copy, the disk of the second is the one that is full.
    where = (error.filename2 if does_not_fit(error) else None) or error.filename or otherwise
    return f"{where}: {what}; {remedy}"


def is_full(error: OSError) -> bool:
    """Whether the disk, or a person's share of it, had no room left."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT) or bool(SHORT_WRITE.search(str(error)))


def does_not_fit(error: OSError) -> bool:
    """Whether what was to be written was too much for its disk, or for a file there."""
    return is_full(error) or error.errno == errno.EFBIG


def database_trouble(error: BaseException) -> OSError | None:
    """What the system did to an SQLite database where that lies under the error; None where it does not."""
    seen: set[BaseException] = set()
    below: BaseException | None = error
    while below is not None and below not in seen:
        told = getattr(below, "sqlite_errorcode", 0)
        # The low byte is the kind; the rest says more of it.
        code = OF_SQLITE.get(told) or OF_SQLITE.get(told & 0xFF)
        if code is not None:
            return OSError(code, str(below))
        seen.add(below)
        below = below.__cause__ or below.__context__
    return None


def disk_nearly_full(folder: Path, reserve_bytes: int) -> StorageError:
    """What to tell before the disk of `folder` is full, while what must be written at an end still fits."""
    what = f"the disk is all but full (the last {reserve_bytes / 1e6:,.0f} MB are left for tables and records)"
    return _stopped_for_want_of_disk(folder, what, "make room")


def _stopped_for_want_of_disk(folder: Path, what: str, remedy: str) -> StorageError:
    kept = f"What was finished is kept: {remedy} and run again, which does only the rest"
    return StorageError(f"{folder}: {what}; {free_space(folder)}. {kept}")


def free_space(folder: Path) -> str:
    """How much room is left on the folder's disk, in words."""
    try:
        return f"{shutil.disk_usage(folder).free / 1e6:,.1f} MB are free there"
    except OSError:
        return "how much room is left there cannot be told"
