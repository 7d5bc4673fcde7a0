"""Servers that mean harm, or are led astray: each photo gets a reason, and nothing is written outside the blob store."""

import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.photos import download, fetch
from pipeline.web.addresses import PrivateAddress, is_literal, is_public, public_addresses
from tests.pipeline.photos.lab import SETTINGS, Lab, Rows, outcome
from tests.pipeline.photos.odd_pictures import encoded, make_scene
from tests.pipeline.photos.picture_server import Answer, PictureServer, RunningServers


def written_files(lab: Lab) -> set[Path]:
    root = lab.journal.parent
    return {path.relative_to(root) for path in root.rglob("*") if path.is_file()}


def assert_only_blobs(lab: Lab, table: Rows) -> None:
    """All that was written is the journal and blobs named by what they hold."""
    expected = {Path("journal.jsonl")}
    for row in table.values():
        if row["sha256"] is not None:
            path = lab.blobs.path(str(row["sha256"]))
            assert hashlib.sha256(path.read_bytes()).hexdigest() == row["sha256"]
            expected.add(path.relative_to(lab.journal.parent))
    assert written_files(lab) == expected


class TestNamesAndIds:
    def test_no_name_of_theirs_becomes_a_path(self, lab: Lab, server: PictureServer, jpeg: bytes) -> None:
        ids = ["flickr:../../../../etc/cron.d/x", "flickr:a/b", "flickr:..", "flickr:/x", "flickr:\0", "flickr:🙂"]
        evil = {"Content-Disposition": 'attachment; filename="../../../../tmp/evil.sh"', "Content-Type": "image/jpeg"}
        urls: dict[str, str | None] = {}
        for number, photo_id in enumerate(ids):
            path = f"/..%2F..%2F{number}.jpg"
            urls[photo_id] = server.serve(path, Answer(body=encoded(make_scene(64, 64, number)), headers=evil))
        table = lab.run(urls)
        assert {outcome(table, photo_id) for photo_id in ids} == {(None, False)}
        assert_only_blobs(lab, table)

    def test_an_etag_is_only_text(self, lab: Lab, server: PictureServer, jpeg: bytes) -> None:
        tag = '"../../x"'
        url = server.serve("/1.jpg", Answer(body=jpeg, headers={"ETag": tag}))
        table = lab.run({"1": url})
        server.serve("/1.jpg", Answer(304, content_length=0))
        assert outcome(lab.run({"1": url}, table, last_update_s=9)) == (None, False)
        assert server.headers["/1.jpg"]["If-None-Match"] == tag

    def test_a_304_that_nobody_asked_for(self, lab: Lab, server: PictureServer) -> None:
        table = lab.run({"1": server.serve("/1.jpg", Answer(304, content_length=0))})
        assert outcome(table) == ("server_error", True)


class TestEndless:
    @pytest.mark.parametrize("claims", [True, False])
    def test_body(self, claims: bool, lab: Lab, server: PictureServer, jpeg: bytes) -> None:
        endless = Answer(body=jpeg + b"\0" * 3_000_000, content_length=None)
        claimed = Answer(body=jpeg, content_length=10**15)
        table = lab.run({"1": server.serve("/1.jpg", claimed if claims else endless)})
        assert outcome(table) == ("too_large", False)
        assert_only_blobs(lab, table)

    @pytest.mark.parametrize("claimed", ["9" * 5000, "\xb2", "1, 2", "-1"])
    def test_a_length_that_is_none_counts_as_not_told(
        self, claimed: str, lab: Lab, server: PictureServer, jpeg: bytes
    ) -> None:
        answer = Answer(body=jpeg, content_length=None, headers={"Content-Length": claimed})
        reason, pending = outcome(lab.run({"1": server.serve("/1.jpg", answer)}, retries=0))
        assert reason is None or pending

    def test_body_drop_by_drop(self, lab: Lab, server: PictureServer, jpeg: bytes) -> None:
        url = server.serve("/1.jpg", Answer(body=jpeg + b"\0" * 40_000, drip_s=0.05))
        table = lab.run({"1": url}, retries=0, timeout_s=0.06)
        assert outcome(table) == ("timeout", True)
        assert_only_blobs(lab, table)

    def test_head_drop_by_drop(self, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each byte comes within the time-out of a single read, so that only a deadline for the whole ends it."""
        monkeypatch.setattr(fetch, "WHOLE_TIMEOUTS", 2)
        with dripping_head() as host:
            lab.hosts = [host]
            began_s = time.monotonic()
            table = lab.run({"1": f"http://{host}/1.jpg"}, retries=0, timeout_s=0.3)
        assert time.monotonic() - began_s < 10
        assert outcome(table) == ("timeout", True)

    def test_redirects_to_ever_new_places(self, lab: Lab, server: PictureServer) -> None:
        for number in range(20):
            server.serve(f"/{number}.jpg", Answer(302, headers={"Location": f"/{number + 1}.jpg"}))
        assert outcome(lab.run({"1": server.url + "/0.jpg"}, retries=0)) == ("server_error", True)
        assert sum(server.requests.values()) == fetch.MAX_REDIRECTS + 1

    def test_headers_without_end(self, lab: Lab, server: PictureServer, jpeg: bytes) -> None:
        many = {f"X-{number}": "y" * 100 for number in range(300)}
        url = server.serve("/1.jpg", Answer(body=jpeg, headers=many))
        assert outcome(lab.run({"1": url}, retries=0)) == ("unreachable", True)


class TestBombs:
    def test_pictures_that_unpack_to_too_much(self, lab: Lab, server: PictureServer) -> None:
        table = lab.run({"1": server.picture("/1.png", encoded(make_scene(3, 3).repeat(100, 0).repeat(100, 1), "PNG"))})
        assert outcome(table) == ("too_many_pixels", False)

    def test_a_compressed_body_is_not_unpacked(self, lab: Lab, server: PictureServer, jpeg: bytes) -> None:
        import gzip

        packed = gzip.compress(b"\0" * 50_000_000)
        url = server.serve("/1.jpg", Answer(body=packed, headers={"Content-Encoding": "gzip", "Content-Type": "image/jpeg"}))
        table = lab.run({"1": url}, retries=0)
        assert outcome(table) == ("not_an_image", False)
        assert table["1"]["size_bytes"] == len(packed)


class TestPrivateAddresses:
    @pytest.mark.parametrize(
        "address",
        [
            "127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.9.9", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
            "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1",
            "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::", "::127.0.0.1", "::7f00:1", "::8.8.8.8", "fec0::1",
            "fd00::1", "2001:0:7f00:1::", "2001:0:808:808::80ff:fffe",
            "64:ff9b:1::808:808", "2001:db8::1", "3fff::1", "5f00::1",
            "2606:4700::5efe:7f00:1", "2606:4700::200:5efe:a00:1", "2606:4700::1111%lo", "8.8.8.8%lo", "100::1", "4000::1",
            "192.0.0.8", "192.88.99.1", "198.18.0.1", "240.0.0.1", "0177.0.0.1", "0x7f.1", "127.1", "2130706433", "",
            "localhost",
        ],
    )  # fmt: skip
    def test_special_addresses(self, address: str) -> None:
        assert not is_public(address)

    @pytest.mark.parametrize(
        "address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::"]
    )
    def test_public_addresses(self, address: str) -> None:
        assert is_public(address)

    def test_literals(self) -> None:
        assert is_literal("127.0.0.1")
        assert is_literal("[::1]")
        assert is_literal("localhost")
        assert not is_literal("live.staticflickr.com")
        assert not is_literal("127.1")

    def test_an_allowed_name_that_leads_inwards(
        self, lab: Lab, server: PictureServer, jpeg: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        port = server.host.split(":")[1]
        server.picture("/1.jpg", jpeg)
        answers_to(monkeypatch, {"live.staticflickr.com": ["127.0.0.1"], "farm1.staticflickr.com": ["8.8.8.8", "10.0.0.1"]})
        lab.hosts = [f"live.staticflickr.com:{port}", f"farm1.staticflickr.com:{port}", server.host]
        moved = server.serve("/2.jpg", Answer(302, headers={"Location": f"http://live.staticflickr.com:{port}/1.jpg"}))
        urls = {
            "name": f"http://live.staticflickr.com:{port}/1.jpg",
            "one of two": f"http://farm1.staticflickr.com:{port}/1.jpg",
            "redirect": moved,
            "literal": server.url + "/1.jpg",
        }
        table = lab.run(urls)
        assert {name: outcome(table, name) for name in urls} == {
            "name": ("private_address", True),
            "one of two": ("private_address", True),
            "redirect": ("private_address", True),
            "literal": (None, False),
        }
        assert server.requests["/1.jpg"] == 1

    def test_the_checked_address_is_the_one_connected_to(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A name that changes between look-ups (DNS rebinding) gains nothing."""
        looked_up = answers_to(monkeypatch, {"live.staticflickr.com": ["8.8.8.8"]})
        connected: list[object] = []

        def refuse(address: object, *_: object, **__: object) -> socket.socket:
            connected.append(address)
            raise ConnectionRefusedError(111, "refused")

        monkeypatch.setattr("urllib3.util.connection.create_connection", refuse)
        client = fetch.PictureClient(["live.staticflickr.com"], "t", 1.0, 1000, 1)
        with pytest.raises(fetch.FetchFailed, match="unreachable"):
            client.get("http://live.staticflickr.com/1.jpg", Path("unused"))
        client.close()
        assert connected == [("8.8.8.8", 80)]
        assert looked_up == ["live.staticflickr.com"]

    def test_behind_a_proxy_the_proxy_looks_names_up(
        self, lab: Lab, server: PictureServer, jpeg: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("http_proxy", server.url)
        lab.hosts = ["live.staticflickr.com"]
        url = "http://live.staticflickr.com/1.jpg"
        server.picture(url, jpeg)
        assert outcome(lab.run({"1": url})) == (None, False)

    def test_unknown_name(self, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
        answers_to(monkeypatch, {})
        lab.hosts = ["live.staticflickr.com"]
        assert outcome(lab.run({"1": "https://live.staticflickr.com/1.jpg"}, retries=0)) == ("unreachable", True)

    def test_all_of_a_names_addresses_must_be_public(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answers_to(monkeypatch, {"a.example": ["8.8.8.8", "8.8.8.8", "1.1.1.1"], "b.example": ["8.8.8.8", "::1"]})
        assert public_addresses("a.example", 443) == ["8.8.8.8", "1.1.1.1"]
        with pytest.raises(PrivateAddress, match=r"b\.example stands for ::1"):
            public_addresses("b.example", 443)


class TestPace:
    def test_a_server_that_throttles_slows_the_pool_and_lets_it_recover(
        self, lab: Lab, server: PictureServer, jpeg: bytes
    ) -> None:
        busy = Answer(429, b"<html>slow down</html>", {"Retry-After": "0.2"})
        urls = {str(number): server.serve(f"/{number}.jpg", busy, Answer(body=jpeg)) for number in range(12)}
        urls |= {str(number): server.serve(f"/{number}.jpg", Answer(body=jpeg)) for number in range(12, 120)}
        table = lab.run(urls)
        assert {outcome(table, photo_id) for photo_id in urls} == {(None, False)}
        assert lab.transfer is not None
        host = lab.transfer.hosts[server.host]
        assert host.refusals == 12
        assert host.lowest_concurrency < SETTINGS.threads
        assert host.final_concurrency > host.lowest_concurrency
        assert lab.transfer.pictures == 120
        assert lab.transfer.size_bytes == 120 * len(jpeg)
        assert lab.transfer.pictures_per_s > 1
        assert lab.transfer.megabytes_per_s == pytest.approx(lab.transfer.pictures_per_s * len(jpeg) / 1e6)

    def test_one_throttled_host_does_not_hold_up_another(
        self, lab: Lab, servers: RunningServers, jpeg: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(download, "BACKOFF_S", 0.5)
        busy, idle = servers.start(), servers.start()
        lab.hosts = [busy.host, idle.host]
        urls = {f"b{number}": busy.serve(f"/{number}.jpg", Answer(429), Answer(body=jpeg)) for number in range(10)}
        urls |= {f"i{number}": idle.picture(f"/{number}.jpg", jpeg) for number in range(60)}
        table = lab.run(urls)
        finished = [str(row["photo_id"]) for row in table.values() if row["reason"] is None]
        assert len(finished) == 70
        assert lab.transfer is not None
        assert lab.transfer.hosts[idle.host].lowest_concurrency == SETTINGS.threads
        assert lab.transfer.hosts[busy.host].lowest_concurrency < SETTINGS.threads


def test_ids_of_a_hostile_listing_are_rejected() -> None:
    """The listing keeps what has no number for an id from ever being fetched."""
    from pipeline.config import Query
    from pipeline.sources.found import FoundPhoto, Size
    from pipeline.sources.listing import _reasons

    def reason(id: str) -> str | None:
        size = Size("l", "http://live.staticflickr.com/1.jpg", 9, 9)
        found = FoundPhoto(id, "o", None, None, (), "4", 1, None, None, "photo", None, "", (size,))
        return _reasons(Query(text="portrait"), True, set())(found)

    assert reason("4951") is None
    assert {reason(id) for id in ("../x", "a/b", "..", "", "4951/../1", "4951\n", "٤٩٥١", "C:\\x")} == {"bad_id"}


def answers_to(monkeypatch: pytest.MonkeyPatch, names: dict[str, list[str]]) -> list[str]:
    """Have these names, and no others, stand for these addresses; returns the names as they are looked up."""
    looked_up: list[str] = []
    original = socket.getaddrinfo

    def look_up(host: str, port: int, *arguments: object, **named: object) -> object:
        if host.replace(".", "").isdigit() or host == "localhost":
            return original(host, port, *arguments, **named)
        looked_up.append(host)
        if host not in names:
            raise socket.gaierror(-2, "Name or service not known")
        family = {True: socket.AF_INET6, False: socket.AF_INET}
        return [(family[":" in address], socket.SOCK_STREAM, 6, "", (address, port)) for address in names[host]]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return looked_up


class dripping_head:
    """A server that sends a header one byte each tenth of a second, for ever. A context manager; gives its host."""

    def __enter__(self) -> str:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._drip, daemon=True)
        self._thread.start()
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def _drip(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            for byte in self._bytes():
                try:
                    connection.sendall(byte)
                except OSError:
                    return

    def _bytes(self) -> Iterator[bytes]:
        while not self._ended.wait(0.1):
            yield b"x"

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._listener.close()
        self._thread.join(5)
