"""The blob store as those see it who fill it; `storage` has it."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol


class BlobProtocol(Protocol):
    """What is needed of the blob store."""

    @property
    def root(self) -> Path:
        """The folder of all blobs."""
        ...

    def has(self, sha256: str, size_bytes: int | None = None) -> bool:
        """Whether the blob exists with that size."""
        ...

    def temporary(self) -> AbstractContextManager[Path]:
        """A path to write to, removed at the end."""
        ...

    def adopt(self, path: Path, sha256: str) -> None:
        """Move a finished file to its place."""
        ...
