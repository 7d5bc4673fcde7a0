"""Which servers may be asked: the configured hosts, and no machine of the local network by another name.

A name that is allowed may still lead inwards (a hijacked or careless DNS, a name rebound between two look-ups).
So each connection looks the name up once, refuses private, loopback and other special addresses, and connects to
the very address that it has checked. Only a host that the project file names by its address, or as `localhost`,
may be a private one: an emulator, a server of one's own.
"""

import ipaddress
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from urllib3 import exceptions
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.response import HTTPResponse
from urllib3.util import Url, connection

DEFAULT_PORTS = {"http": 80, "https": 443}


class PrivateAddress(exceptions.HTTPError):
    """An allowed name stands for an address that is not of the public internet."""


def host_allowed(url: Url, hosts: Sequence[str]) -> bool:
    """Whether `hosts` names the URL's host, with its port where that is not the scheme's usual one."""
    usual_port = DEFAULT_PORTS.get(url.scheme or "")
    if usual_port is None or not url.host:
        return False
    port = url.port or usual_port
    allowed = {host.lower() for host in hosts}
    return f"{url.host}:{port}" in allowed or (port == usual_port and url.host in allowed)


def is_literal(host: str) -> bool:
    """Whether a host in a URL is an address itself, or `localhost`, and so means what it says."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return host == "localhost"
    return True


def is_loopback(host: str) -> bool:
    """Whether a host in a URL names this machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet, whatever form an IPv4 address is wrapped in.

    Of IPv6 only the global unicast block counts, without what stands for other addresses or documents: IPv4-compatible,
    unique-local, site-local and link-local addresses, those with a zone, and local translators' lie outside of it.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv4Address):
        return found.is_global and not found.is_multicast and not any(found in block for block in _SPECIAL_IPV4)
    if found.scope_id is not None:
        return False
    wrapped = _wrapped(found)
    if wrapped:
        return all(is_public(str(one)) for one in wrapped)
    return found in _GLOBAL_UNICAST and found.is_global and not any(found in block for block in _SPECIAL_IPV6)


def _wrapped(found: ipaddress.IPv6Address) -> list[ipaddress.IPv4Address]:
    """The IPv4 addresses to which this one leads: mapped, 6to4, Teredo (server and client), NAT64, ISATAP."""
    last = ipaddress.IPv4Address(int(found) & 0xFFFF_FFFF)
    if found.teredo:
        return list(found.teredo)
    if found.ipv4_mapped or found in _NAT64 or (int(found) >> 32) & 0xFCFF_FFFF == _ISATAP:
        return [last]
    return [found.sixtofour] if found.sixtofour else []


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_ISATAP = 0x5EFE
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
# Not all of these are known to every version of Python.
_SPECIAL_IPV4 = [ipaddress.IPv4Network(block) for block in ("192.0.0.0/24", "192.88.99.0/24", "240.0.0.0/4")]
_SPECIAL_IPV6 = [ipaddress.IPv6Network(block) for block in ("2001::/23", "2001:db8::/32", "3fff::/20")]


def public_addresses(host: str, port: int) -> list[str]:
    """The addresses of a name. Raises `PrivateAddress` if any of them is not public, `socket.gaierror` without any."""
    found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    private = [address for address in found if not is_public(address)]
    if private:
        raise PrivateAddress(f"{host} stands for {private[0]}, which is not an address of the public internet")
    return list(dict.fromkeys(found))


@dataclass
class OpenAnswers:
    """Connections on which something was asked, each with the time by which the whole answer must be there.

    A read's time-out starts anew with each byte, so that a server could send the head of an answer, or the size of a
    chunk, for hours; `end_overdue` closes such connections, from any thread.
    """

    longest_s: float
    _open: dict[int, tuple[float, socket.socket]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, owner: int, sock: socket.socket) -> None:
        with self._lock:
            self._open[owner] = time.monotonic() + self.longest_s, sock

    def in_time(self, owner: int) -> bool:
        """Whether what was asked last is not overdue."""
        with self._lock:
            return owner in self._open and time.monotonic() <= self._open[owner][0]

    def end_overdue(self, now_s: float) -> None:
        """Close what is overdue at the monotonic time `now_s`; infinity closes all."""
        with self._lock:
            overdue = [owner for owner, (deadline_s, _) in self._open.items() if deadline_s < now_s]
            socks = [self._open.pop(owner)[1] for owner in overdue]
        for sock in socks:
            with suppress(OSError):  # it ended meanwhile
                sock.shutdown(socket.SHUT_RDWR)


class _Answering(HTTPConnection):
    """Lets `waiting` know when an answer is awaited."""

    waiting: OpenAnswers

    def getresponse(self) -> HTTPResponse:
        if self.sock is None:
            return super().getresponse()
        self.waiting.begin(id(self), self.sock)
        answer = super().getresponse()
        if not self.waiting.in_time(id(self)):
            # What a closed connection leaves looks like a short answer that is complete.
            answer.close()
            raise TimeoutError(f"the answer had not begun after {self.waiting.longest_s:g} s")
        return answer


class _Direct(_Answering):
    """Connects to checked addresses only."""

    def _new_conn(self) -> socket.socket:
        if is_literal(self.host):
            return super()._new_conn()
        try:
            addresses = public_addresses(self.host, self.port)
        except socket.gaierror as error:
            raise exceptions.NameResolutionError(self.host, self, error) from error
        return self._connect_to_one_of(addresses)

    def _connect_to_one_of(self, addresses: Sequence[str]) -> socket.socket:
        failure: OSError | None = None
        give_up_s = time.monotonic() + self.waiting.longest_s
        for address in addresses:
            if failure and time.monotonic() > give_up_s:
                break
            try:
                return connection.create_connection(
                    (address, self.port), self.timeout, self.source_address, self.socket_options
                )
            except OSError as error:
                failure = error
        if isinstance(failure, TimeoutError):
            raise exceptions.ConnectTimeoutError(self, f"Connection to {self.host} timed out") from failure
        raise exceptions.NewConnectionError(self, f"Failed to establish a new connection: {failure}") from failure


def connection_pools(waiting: OpenAnswers, direct: bool) -> dict[str, type[HTTPConnectionPool]]:
    """Connection pools by scheme that report to `waiting`; `direct` ones check addresses, which a proxy hides."""
    base = _Direct if direct else _Answering
    plain = type("GuardedConnection", (base,), {"waiting": waiting})
    secure = type("GuardedSecureConnection", (base, HTTPSConnection), {"waiting": waiting})
    return {
        "http": type("GuardedPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("GuardedSecurePool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
    }
