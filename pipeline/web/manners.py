"""How servers are asked by every client here: who asks, how long it waits before it asks again, what failed on the way."""

import http
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TypedDict

import requests

from pipeline.web.session import UnusableAnswer

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 60.0


@dataclass(frozen=True)
class Patience:
    """How long an answer is waited for, how often a call is tried after the first try, and what waits in between."""

    timeout_s: float = 30.0
    retries: int = 5
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random
    """In [0, 1), for `wait_s`."""


class Waits(TypedDict, total=False):
    """Those of `Patience` that may be given by themselves."""

    timeout_s: float
    retries: int


def wait_s(attempt: int, chance: float) -> float:
    """Seconds before the try after failed `attempt` (from 0): doubled each time, times 0.5 to 1.5 by `chance`.

    `chance` lies in [0, 1). Five retries wait 23 s at most, all together.

    >>> [wait_s(attempt, 0.5) for attempt in range(5)]
    [0.5, 1.0, 2.0, 4.0, 8.0]
    """
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(attempt, 30)) * (0.5 + chance)


def user_agent(contact: str) -> str:
    """`bokehflow/VERSION (CONTACT)`: names the program and, where one is given, whom to reach."""
    try:
        program = f"bokehflow/{version('bokehflow')}"
    except PackageNotFoundError:
        program = "bokehflow"
    sendable = "".join(character for character in contact if " " <= character <= "~")
    return f"{program} ({sendable})" if sendable else program


def phrase(status: int) -> str:
    """What HTTP calls the status; nothing for one that it does not know."""
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return ""


def transport_failure(error: requests.RequestException, timeout_s: float) -> str:
    """What went wrong on the way, in a few words; the exception's own text is a page of nested objects."""
    if isinstance(error, UnusableAnswer):
        return str(error)
    if isinstance(error, requests.Timeout):
        return f"no answer within {timeout_s:g} s"
    text = str(error).lower()
    known = {
        "refused": "connection refused",
        "name or service not known": "the host name cannot be resolved",
        "failed to resolve": "the host name cannot be resolved",
        "certificate": "the server's certificate cannot be verified",
        "timed out": f"no answer within {timeout_s:g} s",
        "reset": "connection reset",
        "unreachable": "network unreachable",
    }
    return next((words for sign, words in known.items() if sign in text), type(error).__name__)
