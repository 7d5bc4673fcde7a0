"""The demo's Flickr: an emulator on this machine, at work while a command needs it."""

import os
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from urllib.parse import urlsplit

import requests

from pipeline.config import Project
from pipeline.emulators.flickr import Emulator
from pipeline.errors import ConfigError
from pipeline.web.reading import parse_json
from pipeline.web.session import BoundedSession
from resources.flickr import KEY_VARIABLE, SECRET_VARIABLE
from storage import Home

COLLECTION = "collection"
"""Folder of a demo's home: what the emulator shows."""
EMULATOR_KEY = "emulator-key"
PORTS = range(10_000, 32_768)
"""To choose from for what listens for more than one command: below those of which systems take one for each outgoing
connection, so that none is in use for a moment just when it is to be listened on again."""


@contextmanager
def emulated_flickr(home: Home, project: Project) -> Iterator[None]:
    """Where the home is a demo's, its emulator for the time being; else nothing.

    Where another process shows one on the project's ports (`bokehflow dev`, say), both answer: that one may end before
    this command does. One that does not share its ports (`bokehflow emulator`) is used as it is.
    """
    collection = home.root / COLLECTION
    if not collection.exists() or urlsplit(project.flickr.endpoint).hostname != "127.0.0.1":
        yield
        return
    for variable in (KEY_VARIABLE, SECRET_VARIABLE):
        os.environ.setdefault(variable, EMULATOR_KEY)
    port, image_port = emulator_ports(project)
    emulator = Emulator(collection, api_port=port, image_port=image_port, shares_ports=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(emulator)
        except ConfigError as error:
            if not emulator_answers(project):
                taken = f"port {port} or {image_port} is taken by another program"
                raise ConfigError(f"{taken}; `bokehflow demo` chooses others") from error
        yield


def emulator_ports(project: Project) -> tuple[int, int]:
    """Ports of the REST calls and of the pictures in the demo's project file."""
    try:
        return int(urlsplit(project.flickr.endpoint).port or 0), int(project.flickr.image_hosts[0].split(":")[1])
    except (IndexError, ValueError):
        raise ConfigError("the demo's project file names no ports; delete it and run `bokehflow demo` again") from None


def emulator_answers(project: Project) -> bool:
    """Whether an emulator (that of `bokehflow dev`, say) is at work on the project's port."""
    arguments = {
        "method": "flickr.photos.licenses.getInfo",
        "api_key": EMULATOR_KEY,
        "format": "json",
        "nojsoncallback": "1",
    }
    try:
        with BoundedSession(longest_s=5) as session:
            session.trust_env = False  # a proxy is for other machines
            return "stat" in parse_json(session.get(project.flickr.endpoint, params=arguments, timeout=2).content)  # pyright: ignore[reportOperatorIssue]
    except (requests.RequestException, ValueError, TypeError):
        return False


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """So many ports of `PORTS` that nobody uses."""
    return list(islice(filter(is_free, random.sample(PORTS, len(PORTS))), count))
