"""Downloads from a server on loopback that redirects, lies, stalls, cuts and recovers."""

import hashlib
import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from urllib3.util import parse_url

from pipeline.errors import FlickrUnreachable, StorageError
from pipeline.photos import download
from pipeline.photos.download import Asking, Known, download_photos
from pipeline.photos.fetch import failure_of_status
from pipeline.tables import empty
from pipeline.web.addresses import host_allowed
from storage.blobs import BlobStore
from tests.pipeline.photos.lab import SETTINGS, Lab, outcome
from tests.pipeline.photos.odd_pictures import encoded, make_scene
from tests.pipeline.photos.picture_server import Answer, PictureServer, RunningServers


class TestGoodPictures:
    def test_bytes_and_facts(self, lab: Lab, server: PictureServer, jpeg: bytes) -> None:
        table = lab.run({"1": server.picture("/1_b.jpg", jpeg)})
        row = table["1"]
        assert row["sha256"] == hashlib.sha256(jpeg).hexdigest()
        assert lab.blobs.read(str(row["sha256"])) == jpeg
        assert (row["size_bytes"], row["width_px"], row["height_px"]) == (len(jpeg), 160, 120)
        assert (row["format"], row["frames"], row["etag"]) == ("JPEG", 1, '"/1_b.jpg"')
        assert (row["domain"], row["month"], row["last_update_s"], row["fetched_at_s"]) == ("ordinary", "2024-03", 5, 100)
        assert server.headers["/1_b.jpg"]["User-Agent"] == "bokehflow-test"
        assert lab.progress == [(1, 1)]

    def test_one_row_for_each_accepted_photo(self, lab: Lab, server: PictureServer, jpeg: bytes) -> None:
        urls = {str(index): server.picture(f"/{index}.jpg", jpeg) for index in range(40)}
        listing = lab.listing(urls)
        listing["reason"] = [None] * 30 + ["no_cv"] * 10
        table = lab.run({}, listing=listing)
        assert sorted(table) == sorted(listing["photo_id"][:30])
        assert sum(server.requests.values()) == 30
        assert len(server.connections) <= SETTINGS.threads
        assert lab.progress[-1] == (30, 30)

    def test_nothing_accepted(self, lab: Lab) -> None:
        listing = lab.listing({"1": None})
        listing["reason"] = "no_cv"
        assert len(lab.run({}, listing=listing)) == 0

    def test_no_image_url(self, lab: Lab) -> None:
        assert outcome(lab.run({"1": None})) == ("no_image_url", False)

    def test_orientation_counts_in_the_size(self, lab: Lab, server: PictureServer) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        data = encoded(make_scene(160, 120), exif=exif)
        row = lab.run({"1": server.picture("/1.jpg", data)})["1"]
        assert (row["width_px"], row["height_px"]) == (120, 160)


class TestRefusals:
    @pytest.mark.parametrize("status", [404, 410])
    def test_gone(self, status: int, lab: Lab, server: PictureServer) -> None:
        table = lab.run({"1": server.serve("/1.jpg", Answer(status, b"", {"Content-Type": "text/html"}))})
        assert outcome(table) == ("unavailable", False)
        assert server.requests["/1.jpg"] == 1

    def test_truncated_with_a_matching_length(self, lab: Lab, server: PictureServer, jpeg: bytes) -> None:
        assert outcome(lab.run({"1": server.picture("/1.jpg", jpeg[:-300])})) == ("truncated", False)

    def test_html_for_good(self, lab: Lab, server: PictureServer) -> None:
        table = lab.run({"1": server.picture("/1.jpg", b"<html>busy</html>")})
        assert outcome(table) == ("not_an_image", False)
        assert "HTML" in str(table["1"]["detail"])
        assert server.requests["/1.jpg"] == 3

    def test_too_small_too_large_too_many_pixels(self, lab: Lab, server: PictureServer, jpeg: bytes) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (190, 190, 3), dtype=np.uint8)
        table = lab.run(
            {
                "small": server.picture("/s.jpg", encoded(make_scene(31, 200))),
                "large": server.picture("/l.png", encoded(noise, "PNG")),
                "endless": server.serve("/e.jpg", Answer(body=jpeg + b"\0" * 500_000, content_length=None)),
                "pixels": server.picture("/p.jpg", encoded(make_scene(201, 200))),
            }
        )
        assert {photo_id: row["reason"] for photo_id, row in table.items()} == {
            "small": "too_small", "large": "too_large", "endless": "too_large", "pixels": "too_many_pixels",
        }  # fmt: skip
        assert not any(row["pending"] for row in table.values())
        assert not list(lab.blobs.root.glob("??/*"))

    def test_animation_is_marked(self, lab: Lab, server: PictureServer) -> None:
        more = [Image.fromarray(make_scene(64, 64, seed)) for seed in (1, 2)]
        data = encoded(make_scene(64, 64), "GIF", save_all=True, append_images=more)
        row = lab.run({"1": server.picture("/1.gif", data)})["1"]
        assert (row["format"], row["frames"]) == ("GIF", 3)


class TestHosts:
    @pytest.mark.parametrize(
        "url",
        [
            "http://127.0.0.1:1/1.jpg",
            "http://169.254.169.254/latest/meta-data",
            "file:///etc/passwd",
            "http://{host}@127.0.0.1:1/1.jpg",
            "http://127.0.0.1:1\\@{host}/1.jpg",
            "http://{host}.example/1.jpg",
            "http://[::1/1.jpg",
            "//{host}/1.jpg",
            "",
        ],
    )
    def test_other_hosts_are_not_asked(self, url: str, lab: Lab) -> None:
        table = lab.run({"1": url.format(host=lab.hosts[0])})
        assert outcome(table) == ("host_not_allowed", False)

    def test_ports(self) -> None:
        assert host_allowed(parse_url("https://live.staticflickr.com/1.jpg"), ["live.staticflickr.com"])
        assert host_allowed(parse_url("https://LIVE.staticflickr.com:443/1.jpg"), ["Live.staticflickr.com"])
        assert host_allowed(parse_url("http://127.0.0.1:8080/1.jpg"), ["127.0.0.1:8080"])
        assert not host_allowed(parse_url("http://127.0.0.1:8080/1.jpg"), ["127.0.0.1"])
        assert not host_allowed(parse_url("https://live.staticflickr.com:8443/1.jpg"), ["live.staticflickr.com"])
        assert not host_allowed(parse_url("ftp://live.staticflickr.com/1.jpg"), ["live.staticflickr.com"])

    def test_a_host_allowed_later_is_asked(self, lab: Lab, server: PictureServer, jpeg: bytes) -> None:
        url = server.picture("/1.jpg", jpeg)
        lab.hosts = ["live.staticflickr.com"]
        known = lab.run({"1": url})
        lab.hosts = [server.host]
        assert outcome(lab.run({"1": url}, known)) == (None, False)

    def test_redirects_within_the_hosts(self, lab: Lab, server: PictureServer, jpeg: bytes) -> None:
        server.picture("/real.jpg", jpeg)
        server.serve("/b.jpg", Answer(301, b"moved", {"Location": "real.jpg"}))
        url = server.serve("/a.jpg", Answer(302, b"", {"Location": server.url + "/b.jpg"}))
        assert outcome(lab.run({"1": url})) == (None, False)

    def test_endless_redirects(self, lab: Lab, server: PictureServer) -> None:
        url = server.serve("/a.jpg", Answer(302, b"", {"Location": "/a.jpg"}))
        assert outcome(lab.run({"1": url}, retries=0)) == ("server_error", True)
        assert server.requests["/a.jpg"] == 4

    def test_redirect_to_another_host(self, lab: Lab, server: PictureServer, servers: RunningServers, jpeg: bytes) -> None:
        other = servers.start()
        target = other.picture("/x.png", jpeg)
        urls = {
            "other": server.serve("/1.jpg", Answer(302, b"", {"Location": target})),
            "file": server.serve("/2.jpg", Answer(302, b"", {"Location": "file:///etc/passwd"})),
            "loopback": server.serve("/3.jpg", Answer(302, b"", {"Location": "http://localhost/x.jpg"})),
            "nowhere": server.serve("/4.jpg", Answer(302, b"", {"Location": "http://[/"})),
        }
        table = lab.run(urls)
        assert {outcome(table, photo_id) for photo_id in urls} == {("unavailable", False)}
        assert not other.requests

    def test_photo_unavailable_picture_on_the_same_host(self, lab: Lab, server: PictureServer, jpeg: bytes) -> None:
        server.picture("/images/photo_unavailable_l.png", jpeg)
        url = server.serve("/1.jpg", Answer(302, b"", {"Location": "/images/photo_unavailable_l.png"}))
        assert outcome(lab.run({"1": url})) == ("unavailable", False)


class TestRetries:
    @pytest.mark.parametrize("fault", ["429", "403", "500", "503", "cut", "cut_chunked", "html", "slow", "drip", "reset"])
    def test_passing_faults(self, fault: str, lab: Lab, server: PictureServer, jpeg: bytes) -> None:
        faults = {
            "429": Answer(429, b"<html>slow down</html>", {"Retry-After": "0"}),
            "403": Answer(403),
            "500": Answer(500, b"oops"),
            "503": Answer(503, headers={"Retry-After": "soon"}),
            "cut": Answer(body=jpeg[: len(jpeg) // 2], content_length=len(jpeg)),
            "cut_chunked": Answer(
                body=b"%x\r\n" % len(jpeg) + jpeg[:900], headers={"Transfer-Encoding": "chunked"}, content_length=None
            ),
            "html": Answer(body=b"<html>busy</html>"),
            "slow": Answer(body=jpeg, delay_s=0.7),
            "drip": Answer(body=jpeg, content_length=len(jpeg) + 10, drip_s=0.01),
            "reset": Answer(200, content_length=5),
        }
        url = server.serve("/1.jpg", faults[fault], Answer(body=jpeg))
        assert outcome(lab.run({"1": url})) == (None, False)
        assert server.requests["/1.jpg"] == 2

    @pytest.mark.parametrize(
        ("fault", "reason"),
        [
            ("429", "rate_limited"),
            ("500", "server_error"),
            ("cut", "cut_body"),
            ("slow", "timeout"),
            ("418", "server_error"),
        ],
    )
    def test_lasting_faults_stay_pending(
        self, fault: str, reason: str, lab: Lab, server: PictureServer, jpeg: bytes
    ) -> None:
        faults = {
            "429": Answer(429),
            "500": Answer(500),
            "cut": Answer(body=jpeg[:900], content_length=len(jpeg)),
            "slow": Answer(body=jpeg, delay_s=0.4),
            "418": Answer(418),
        }
        url = server.serve("/1.jpg", faults[fault])
        table = lab.run({"1": url}, retries=2, timeout_s=0.2)
        assert outcome(table) == (reason, True)
        assert server.requests["/1.jpg"] == (1 if fault == "418" else 3)
        server.picture("/1.jpg", jpeg)
        assert outcome(lab.run({"1": url}, table)) == (None, False)

    def test_a_picture_slower_than_its_deadline(self, lab: Lab, server: PictureServer, jpeg: bytes) -> None:
        url = server.serve("/1.jpg", Answer(body=jpeg + b"\0" * 40_000, drip_s=0.05))
        assert outcome(lab.run({"1": url}, retries=0, timeout_s=0.06)) == ("timeout", True)

    def test_unreachable(self, lab: Lab) -> None:
        lab.hosts = ["127.0.0.1:9"]
        assert outcome(lab.run({"1": "http://127.0.0.1:9/1.jpg"}, retries=1)) == ("unreachable", True)

    def test_a_server_out_of_reach_fails_the_stage(self, lab: Lab) -> None:
        lab.hosts = ["127.0.0.1:9"]
        urls = {str(index): f"http://127.0.0.1:9/{index}.jpg" for index in range(200)}
        before = set(threading.enumerate())
        with pytest.raises(FlickrUnreachable, match=r"127\.0\.0\.1:9.*unreachable.*image_hosts"):
            lab.run(urls, retries=0)
        assert set(threading.enumerate()) <= before

    def test_retry_after(self) -> None:
        assert failure_of_status(429, "7").wait_s == 7
        for nonsense in ("gibberish", "-5", "nan", "9" * 5000, "Fri, 31 Dec 99999 23:59:59 GMT"):
            assert failure_of_status(429, nonsense).wait_s is None
        assert failure_of_status(429, "Fri, 31 Dec 1999 23:59:59 GMT").wait_s == 0
        assert download._delay_s(0, 7.0) == 7
        assert download._delay_s(3, 9999.0) == download.MAX_WAIT_S
        assert download._delay_s(40, None) == download.MAX_WAIT_S


class TestKnown:
    def test_known_bytes_are_not_fetched_again(self, lab: Lab, server: PictureServer, jpeg: bytes) -> None:
        urls = {"1": server.picture("/1.jpg", jpeg), "2": server.picture("/2.jpg", jpeg[:-300]), "3": server.url + "/3.jpg"}
        first = lab.run(urls)
        lab.journal.unlink()
        server.requests.clear()
        again = lab.run(urls, first, now_s=200)
        assert again == first
        assert not server.requests

    def test_another_domain_shares_them(self, lab: Lab, server: PictureServer, jpeg: bytes) -> None:
        url = server.picture("/1.jpg", jpeg)
        first = lab.run({"1": url})
        lab.journal.unlink()
        other = lab.run({"1": url}, first, domain="shallow")
        assert server.requests["/1.jpg"] == 1
        assert (other["1"]["domain"], other["1"]["sha256"]) == ("shallow", first["1"]["sha256"])

    def test_both_domains_at_once(self, lab: Lab, server: PictureServer, jpeg: bytes) -> None:
        url = server.picture("/1.jpg", jpeg)
        both = pd.concat([lab.listing({"1": url}), lab.listing({"1": url}, "shallow")])
        lab.run({}, listing=both)
        assert list(lab.table["domain"]) == ["ordinary", "shallow"]
        assert lab.table["sha256"].nunique() == 1
        assert server.requests["/1.jpg"] == 1

    def test_a_lost_or_short_blob_is_fetched_again(self, lab: Lab, server: PictureServer, jpeg: bytes) -> None:
        url = server.picture("/1.jpg", jpeg)
        first = lab.run({"1": url})
        path = lab.blobs.path(str(first["1"]["sha256"]))
        for damage in (path.unlink, lambda: path.write_bytes(jpeg[:-1])):
            damage()
            lab.run({"1": url}, first)
            assert path.read_bytes() == jpeg
        assert server.requests["/1.jpg"] == 3

    def test_changed_record_asks_with_the_etag(self, lab: Lab, server: PictureServer, jpeg: bytes) -> None:
        url = server.picture("/1.jpg", jpeg)
        first = lab.run({"1": url})
        server.serve("/1.jpg", Answer(304, content_length=0))
        same = lab.run({"1": url}, first, last_update_s=6)
        assert server.headers["/1.jpg"]["If-None-Match"] == '"/1.jpg"'
        assert (same["1"]["sha256"], same["1"]["last_update_s"]) == (first["1"]["sha256"], 6)
        changed = encoded(make_scene(160, 120, seed=1))
        server.picture("/1.jpg", changed)
        new = lab.run({"1": url}, same, last_update_s=7)
        assert lab.blobs.read(str(new["1"]["sha256"])) == changed

    def test_another_size_is_another_picture(self, lab: Lab, server: PictureServer, jpeg: bytes) -> None:
        first = lab.run({"1": server.picture("/1_b.jpg", jpeg)})
        larger = lab.run({"1": server.picture("/1_h.jpg", encoded(make_scene(192, 144)))}, first)
        assert larger["1"]["width_px"] == 192
        assert "If-None-Match" not in server.headers["/1_h.jpg"]

    def test_another_server_of_the_same_picture_is_not_asked(self, lab: Lab, server: PictureServer, jpeg: bytes) -> None:
        first = lab.run({"1": server.picture("/1_b.jpg", jpeg)})
        moved = lab.run({"1": "http://farm66.staticflickr.com/1_b.jpg"}, first)
        assert outcome(moved) == (None, False)
        assert moved["1"]["image_url"] == "http://farm66.staticflickr.com/1_b.jpg"

    def test_changed_limits_count_for_known_photos(self, lab: Lab, server: PictureServer, jpeg: bytes) -> None:
        url = server.picture("/1.jpg", jpeg)
        strict = SETTINGS.model_copy(update={"min_edge_px": 121})
        known = lab.run({"1": url})
        refused = lab.run({"1": url}, known, strict)
        assert outcome(refused) == ("too_small", False)
        lab.journal.unlink()
        still = lab.run({"1": url}, refused, strict)
        assert outcome(still) == ("too_small", False)
        assert server.requests["/1.jpg"] == 1
        assert outcome(lab.run({"1": url}, refused)) == (None, False)
        assert server.requests["/1.jpg"] == 2

    def test_forgotten(self, lab: Lab, server: PictureServer, jpeg: bytes) -> None:
        url = server.picture("/1.jpg", jpeg)
        known = lab.run({"1": url})
        table = lab.run({"1": url}, known, forgotten=frozenset({"1"}))
        assert outcome(table) == ("forgotten", False)
        assert server.requests["/1.jpg"] == 1


class TestInterruption:
    def test_the_journal_resumes(self, lab: Lab, server: PictureServer, jpeg: bytes) -> None:
        urls = {str(index): server.picture(f"/{index}.jpg", jpeg if index else jpeg[:-99]) for index in range(30)}
        calm = lab.run(urls)
        shutil.rmtree(lab.blobs.root)
        lab.journal.unlink()
        server.requests.clear()

        class Killed(BaseException):
            pass

        def kill(done: int, total: int) -> None:
            if done == 11:
                raise Killed

        with pytest.raises(Killed):
            download_photos(
                lab.listing(urls),
                Known(empty("photo_files"), lab.journal),
                lab.blobs,
                SETTINGS,
                Asking(lab.hosts, "t", 1.0, 1),
                100,
                kill,
            )
        finished = [json.loads(line)["photo_id"] for line in lab.journal.read_bytes().split(b"\n") if line]
        assert len(finished) == 11
        with lab.journal.open("ab") as file:
            file.write(b'{"photo_id": "29", "image_u')
        server.requests.clear()
        resumed = lab.run(urls)
        assert resumed == calm
        assert not {f"/{photo_id}.jpg" for photo_id in finished} & set(server.requests)
        server.requests.clear()
        assert lab.run(urls) == calm
        assert not server.requests

    def test_pending_photos_are_not_in_the_journal(self, lab: Lab, server: PictureServer, jpeg: bytes) -> None:
        url = server.serve("/1.jpg", Answer(500))
        lab.run({"1": url}, retries=0)
        server.picture("/1.jpg", jpeg)
        assert outcome(lab.run({"1": url})) == (None, False)

    def test_a_full_disk(self, lab: Lab, server: PictureServer, jpeg: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(self: BlobStore, path: Path, sha256: str) -> None:
            raise OSError(28, "No space left on device", str(path))

        monkeypatch.setattr(BlobStore, "adopt", full)
        with pytest.raises(StorageError, match=r"disk is full.*run again"):
            lab.run({"1": server.picture("/1.jpg", jpeg)})
