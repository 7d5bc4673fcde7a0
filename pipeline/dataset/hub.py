"""Sending a folder to the Hugging Face Hub, or to a server that speaks its API, through `huggingface_hub`.

Large files go first and under their digest, then one commit names them all: nobody ever sees half of a dataset, and what
was sent before an interruption is not sent again. The library reads the token from HF_TOKEN (or its own login) and the
server from HF_ENDPOINT.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError, DatasetError
from pipeline.file_names import inside
from pipeline.plain_files import file_sha256, read_plain

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

KIND = "dataset"
OURS = "data/"
"""Where files of an earlier publication are deleted that this one does not have."""
SHOWN = 300


@dataclass(frozen=True)
class Published:
    """Where the dataset lies, the commit, and how many files are in it."""

    url: str
    commit: str
    files: int


def check_repo(repo: str) -> None:
    """Raises `ConfigError` for what is no name of a repository (`OWNER/NAME`), and where the library is not installed."""
    try:
        from huggingface_hub.utils import validate_repo_id
    except ImportError:
        raise ConfigError("publishing needs huggingface-hub; install it with `pip install 'bokehflow[hub]'`") from None
    try:
        validate_repo_id(repo)
        is_name = repo.count("/") == 1
    except ValueError:
        is_name = False
    if not is_name:
        raise ConfigError(
            f"{repo!r} is no repository's name; it is OWNER/NAME of letters, digits and - _ . (96 characters at most)"
        )


def publish(folder: Path, repo: str, message: str, private: bool = False) -> Published:
    """Make the dataset repository where it is missing, send every file of `folder`, and check what the server then has.

    Raises `ConfigError` without a token, and `DatasetError` where the server refuses, cannot be reached, or has other bytes
    afterwards; running the same again goes on.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token

    check_repo(repo)
    token = get_token()
    if not token:
        raise ConfigError("there is no token: set HF_TOKEN to one that may write, or log in with `hf auth login`")
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, token=token)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    with _told(api, repo):
        made = api.create_repo(repo, repo_type=KIND, private=private or None, exist_ok=True)
        there = api.list_repo_files(repo, repo_type=KIND)
        gone = [name for name in there if name.startswith(OURS) and name not in names]
        operations = [CommitOperationAdd(name, inside(folder, name)) for name in names]
        deletions = [CommitOperationDelete(name) for name in gone]
        commit = api.create_commit(repo, [*operations, *deletions], commit_message=message, repo_type=KIND)
        _check_sent(api, repo, commit.oid, folder, names)
    return Published(str(made), commit.oid, len(names))


@contextmanager
def _told(api: "HfApi", repo: str) -> Iterator[None]:
    """Have whatever the library raises say what happened, where, and what to do."""
    from huggingface_hub.errors import HfHubHTTPError

    # The errors of its HTTP client, whichever that is: the base of its own ones.
    failed = [base for base in HfHubHTTPError.__mro__ if base.__name__ == "HTTPError" and issubclass(base, Exception)]
    try:
        yield
    except HfHubHTTPError as error:
        status = error.response.status_code
        remedy = {
            401: "check the token in HF_TOKEN",
            403: "the token may not write there: take one that may, or another OWNER",
            404: "check the repository's name, and HF_ENDPOINT where you set it",
        }.get(status, "run the same again later")
        said = " ".join(str(error.server_message or error).split())[:SHOWN]
        raise DatasetError(f"{repo} was not published: {api.endpoint} answered {status} ({said}); {remedy}") from None
    except (*failed, OSError, RuntimeError, ValueError) as error:
        why = " ".join(f"{error}: {error.__cause__}".split() if error.__cause__ else str(error).split())[:SHOWN]
        raise DatasetError(
            f"{repo} was not published at {api.endpoint}: {why}; run the same again, and what was sent is not sent twice"
        ) from None


def _check_sent(api: "HfApi", repo: str, commit: str, folder: Path, names: list[str]) -> None:
    """Raises `DatasetError` for the first file that the server has not, or has otherwise."""
    from huggingface_hub.hf_api import RepoFile

    tree = api.list_repo_tree(repo, recursive=True, revision=commit, repo_type=KIND)
    there = {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}
    for name in names:
        if name not in there or not _is_same(there[name], inside(folder, name)):
            raise DatasetError(f"{repo} at {api.endpoint} has other bytes for {name} than were sent; run the same again")


def _is_same(entry: "RepoFile", path: Path) -> bool:
    if entry.lfs is not None:
        return entry.lfs.sha256 == file_sha256(path)
    data = read_plain(path)
    return entry.blob_id == hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
