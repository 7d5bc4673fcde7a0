"""Pieces of work: texts that a function turns into texts, somewhere."""

from collections.abc import Callable
from dataclasses import dataclass

Function = Callable[[str], str]
"""A function of a module that workers can import."""


@dataclass(frozen=True)
class PieceOutcome:
    """What became of a piece of work: `text` is what the function returned; `lost` says why no worker survived it."""

    piece: str
    text: str = ""
    lost: str = ""
