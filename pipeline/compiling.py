"""Loops compiled by numba, which are kept for later processes wherever that can be done.

Numba keeps them beside the code or in the user's folder of caches, and ends the program where neither can be written, where
that disk is full, or where a file there is damaged. What is kept spares time and nothing else: here such a loop is compiled
anew.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from numba import njit
from numba.core.caching import FunctionCache


def compiled(signature: str | None = None, **options: Any) -> Callable[[Callable[..., Any]], Any]:  # noqa: ANN401
    """Decorates a function that numba compiles, and that other threads run beside; `options` are those of numba's `njit`.

    With a `signature` it is compiled at once, and for that alone.
    """

    def decorate(function: Callable[..., Any]) -> Any:  # noqa: ANN401 (numba's own type)
        loop = njit(nogil=True, **options)(function)
        with suppress(RuntimeError):  # says that there is no place for it
            loop._cache = _Kept(function)  # pyright: ignore[reportAttributeAccessIssue]
        if signature:
            loop.compile(signature)
            loop.disable_compile()
        return loop

    return decorate


class _Kept(FunctionCache):
    """Numba's files of one function; one that cannot be read or written is as if it were not there."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:  # noqa: ANN401
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # a damaged file makes the unpickler raise nearly anything
            with suppress(OSError):
                self.flush()  # else what is compiled now could not be kept either
            return None

    def save_overload(self, sig: Any, data: Any) -> None:  # noqa: ANN401
        with suppress(OSError):
            super().save_overload(sig, data)
