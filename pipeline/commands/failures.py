"""Photos of one call that fail while others go on: all of them are named, however the call ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from pipeline.commands.options import say
from pipeline.errors import BokehflowError, does_not_fit


class Failures:
    """What failed of so many photos; `done` is what could not be done with them, as "translated"."""

    def __init__(self, photos: int, done: str) -> None:
        self._photos, self._done = photos, done
        self._failed: list[str] = []

    @contextmanager
    def of(self, photo: Path, whatever: bool = False) -> Iterator[None]:
        """Keep in mind why this photo fails, by errors told in words or, with `whatever`, by any.

        A full disk is raised as it is, since the next photo would not fit either; those that failed before are told first.
        """
        try:
            yield
        except (BokehflowError, OSError) as error:
            cause = error if isinstance(error, OSError) else error.__cause__  # as where a copy in TMPDIR does not fit
            if isinstance(cause, OSError) and does_not_fit(cause):
                if self._failed:
                    say(self._words())
                raise
            self._failed.append(f"{photo}: {_reason(error, photo)}")
        except Exception as error:  # whatever a network stumbles over is of this photo; the next may be good
            if not whatever:
                raise
            self._failed.append(f"{photo}: {type(error).__name__}: {error}")

    def check(self) -> None:
        """Raises `ClickException`, which names them, where photos failed."""
        if self._failed:
            raise click.ClickException(self._words())

    def _words(self) -> str:
        return "\n".join([f"{len(self._failed)} of {self._photos} photos could not be {self._done}", *self._failed])


def _reason(error: BokehflowError | OSError, photo: Path) -> str:
    """In words, without the number of an error and a name that is told already."""
    if isinstance(error, OSError) and error.strerror and str(error.filename) == str(photo):
        return error.strerror.lower()
    return str(error)
