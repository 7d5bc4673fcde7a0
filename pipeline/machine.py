"""Which machine a process runs on, as far as others can tell: process numbers mean something on their own machine alone.

Several machines may share the disk of a home. What a process leaves there names its place, so that nobody takes the
number of another machine's process for one of its own.
"""

import hashlib
import os
import re
import socket
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

MACHINE_ID, BOOT_ID, NAMESPACE = "/etc/machine-id", "/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"
DIGITS = 6
_MARK = re.compile(3 * f"([0-9a-f]{{{DIGITS}}})")


@dataclass(frozen=True)
class MachinePlace:
    """Where process numbers count: a host by name and installation, its boot, and the namespace of process numbers.

    Containers of one machine share its boot and have namespaces of their own. Each is 6 hex digits of a digest.
    """

    host: str
    boot: str
    namespace: str

    @property
    def mark(self) -> str:
        """The place as part of a name, 18 hex digits."""
        return self.host + self.boot + self.namespace

    @classmethod
    def of(cls, mark: str) -> "MachinePlace | None":
        """The place that `mark` gave; None for any other text."""
        found = _MARK.fullmatch(mark)
        return cls(*found.groups()) if found else None

    def is_here(self) -> bool:
        """Whether its process numbers are those that this process sees."""
        return (self.boot, self.namespace) == (here().boot, here().namespace)

    def is_over(self) -> bool:
        """Whether no process of it can still run: this host was started anew since."""
        return self.host == here().host and self.boot != here().boot

    def shares_kernel(self) -> bool:
        """Whether it is this boot of this machine, if in another container: a lock on a file is then to be trusted."""
        return self.boot == here().boot


@cache
def here() -> MachinePlace:
    """The place of this process. Where the system tells neither boot nor namespace, the host alone counts."""
    return MachinePlace(
        host=_digits(host_name(), _text(MACHINE_ID)),
        boot=_digits(_text(BOOT_ID) or host_name()),
        namespace=_digits(_link(NAMESPACE)),
    )


def host_name() -> str:
    """The name that this machine gives itself, as people know it."""
    return socket.gethostname()


def _digits(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:DIGITS]


def _text(path: str) -> str:
    with suppress(OSError):
        return Path(path).read_text("ascii", "replace").strip()
    return ""


def _link(path: str) -> str:
    with suppress(OSError):
        return os.readlink(path)
    return ""
