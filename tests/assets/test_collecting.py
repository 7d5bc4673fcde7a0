"""Collect over time: re-scrapes, what vanishes, what is forgotten, and texts and secrets on their way."""

import io
import json
import logging
import os
import re
import signal
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from assets.attempts import others_at_work
from pipeline.commands.collecting import forget as forget_command
from pipeline.dataset.manifest import build_manifest
from pipeline.dataset.snapshot import attribution
from pipeline.emulators.flickr import Emulator
from pipeline.emulators.server import Reply, Request, ServedFile
from pipeline.errors import ConfigError, FlickrUnreachable
from pipeline.flickr.client import FlickrClient
from pipeline.operations.forget import PARTITIONED, _strip_csv, finish_forgetting, forget, gone
from pipeline.operations.forget import summary as forget_summary
from pipeline.operations.status import status, summary
from pipeline.operations.tombstones import unpurged
from pipeline.spreadsheet import harmless
from resources.dagster_internals import ERASED
from storage import Home, TableInfo, TableStore
from tests.assets.worlds import KEY, PROJECT, SECRET, collect_world, photo
from tests.pipeline.dataset.frozen_world import World

NOW_S = 1_800_000_000
ODD = [
    '<script>alert("x")</script>', "=HYPERLINK(\"http://x\")", "'quoted' \"twice\"", "line\nbreak\r\nand\ttab",
    "שלום ‮RTL‬", "🎈 émoji 𝕏", "+1-2;3,4", "@SUM(A1)", " leading and trailing ", "",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLICKR_API_KEY", KEY)
    monkeypatch.setenv("FLICKR_API_SECRET", SECRET)


def id_of(number: int) -> str:
    return f"flickr:{4950000000 + number}"


# Re-scrapes ---------------------------------------------------------------------------------------------------


def test_a_rescrape_changes_exactly_the_rows_of_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "collection"
    january, february = [photo(folder, n) for n in range(4)], [photo(folder, n, month=2) for n in range(10, 15)]
    statuses: Counter[int] = Counter()
    answer = Emulator._picture

    def counted(self: Emulator, file: ServedFile, request: Request, cut: bool) -> Reply:
        reply = answer(self, file, request, cut)
        statuses[reply.status] += 1
        return reply

    monkeypatch.setattr(Emulator, "_picture", counted)
    with collect_world(tmp_path, *january, *february) as world:
        world.run()
        assert statuses == {200: 9}
        before, made = world.listing(2), world.made()
        calls = world.emulator.calls.copy()
        collection = world.emulator.collection
        collection.put(photo(folder, 20, month=2))
        collection.change(february[0].id, title="edited", last_update=NOW_S)
        collection.change(february[1].id, license="0")
        collection.change(february[2].id, vanished=True)
        world.run(rescrape=True)
        assert world.emulator.calls - calls == {"flickr.photos.search": 2, "flickr.photos.getInfo": 1}
        assert statuses == {200: 10, 304: 1}, "a new picture, and one looked at again; no known byte comes twice"
        after = world.listing(2)
        assert set(after.index) - set(before.index) == {id_of(20)}
        assert set(before.index) - set(after.index) == {id_of(12)}
        same = before.index.intersection(after.index)
        differs = (before.loc[same] != after.loc[same]) & ~(before.loc[same].isna() & after.loc[same].isna())
        changed = {photo_id: set(row[row].index) - {"fetched_at_s"} for photo_id, row in differs.iterrows()}
        assert {photo_id: columns for photo_id, columns in changed.items() if columns} == {
            id_of(10): {"title", "last_update_s"},
            id_of(11): {"license"},
        }
        again = Counter(world.made()) - Counter(made)
        january_key, february_key = "ordinary|2024-01", "ordinary|2024-02"
        assert again == {
            ("photo_listing", january_key): 1, ("photo_listing", february_key): 1, ("photo_files", february_key): 1,
            ("fingerprints", february_key): 1, ("photo_history", None): 1, ("unique_photos", None): 1,
        }  # fmt: skip
        history = world.history()
        assert history.loc[id_of(10), "changed"] == "title"
        assert history.loc[id_of(11), ["changed", "license_before", "license"]].tolist() == ["license", "4", "0"]
        assert history.index[history["stricter"]].tolist() == [id_of(11)]
        assert history.index[history["gone_s"].notna()].tolist() == [id_of(12)]
        assert history["absent"].sum() == 1
        found = status(world.project, world.home)
        assert found["history"]["gone_photos"] == [id_of(12)]
        assert found["history"]["stricter_photos"] == [f"{id_of(11)} went from CC BY 2.0 to All Rights Reserved"]
        assert "`bokehflow forget --gone`" in summary(found)
        assert "licence got stricter 1" in summary(found)


def test_a_run_in_a_shells_background_still_heeds_sigterm(tmp_path: Path) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with collect_world(tmp_path, photo(tmp_path / "collection", 1)) as world:
            world.run(until="photo_listing")
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_an_unchanged_rescrape_costs_its_listing_calls_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "collection"
    with collect_world(tmp_path, *(photo(folder, n, month=1 + n % 2) for n in range(6))) as world:
        world.run()
        made, calls, pictures = world.made(), world.emulator.calls.total(), world.emulator.image_requests
        world.run(rescrape=True)
        assert world.emulator.calls.total() - calls == 2
        assert world.emulator.image_requests == pictures
        assert Counter(world.made()) - Counter(made) == {
            ("photo_listing", "ordinary|2024-01"): 1,
            ("photo_listing", "ordinary|2024-02"): 1,
        }
        world.run()
        assert world.emulator.calls.total() - calls == 2


def test_a_home_copied_without_its_times_asks_for_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "collection"
    photos = [photo(folder, n) for n in range(4)]
    with collect_world(tmp_path, *photos) as world:
        world.run()
        world.emulator.collection.change(photos[0].id, tags=())
        world.run(rescrape=True)
        made, calls = world.made(), world.emulator.calls.total()
        for path in world.home.root.rglob("*"):
            os.utime(path, (NOW_S, NOW_S))
        world.run()
        assert world.made() == made
        assert world.emulator.calls.total() == calls


@pytest.mark.slow
def test_a_changed_query_or_limit_makes_nobody_gone_and_asks_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "collection"
    photos = [photo(folder, n, tags=("portrait", "red" if n % 2 else "blue")) for n in range(6)]
    with collect_world(tmp_path, *photos) as world:
        world.run()
        world.emulator.collection.change(photos[1].id, vanished=True)
        world.text = PROJECT.replace('licenses = ["4", "0"]', 'tags = ["blue"]')
        world.run()
        world.text = PROJECT.replace('licenses = ["4", "0"]', "limit_per_month = 2")
        world.run()
        history = world.history()
        assert history["absent"].sum() == 4
        assert history["gone_s"].isna().all()
        assert not world.emulator.calls["flickr.photos.getInfo"]


@pytest.mark.slow
def test_an_absent_photo_that_is_still_shown_is_not_gone_and_its_new_licence_is_noted(tmp_path: Path) -> None:
    folder = tmp_path / "collection"
    photos = [photo(folder, n) for n in range(4)]
    with collect_world(tmp_path, *photos) as world:
        world.run()
        world.emulator.collection.change(photos[0].id, tags=(), title="other")
        world.emulator.collection.change(photos[1].id, license="3")  # no longer among those that the query takes
        world.run(rescrape=True)
        world.run(rescrape=True)
        assert world.emulator.calls["flickr.photos.getInfo"] == 2, "asked once; the second listing changed nothing"
        history = world.history()
        assert history["gone_s"].isna().all()
        assert history.index[history["absent"]].tolist() == [id_of(0), id_of(1)]
        assert history.loc[id_of(1), ["license", "license_before", "changed"]].tolist() == ["3", "4", "license"]
        assert history["stricter"].sum() == 1
        world.emulator.collection.change(photos[0].id, tags=("portrait",))
        world.run(rescrape=True)
        back = world.history().loc[id_of(0)]
        assert not back["absent"]
        assert pd.isna(back["asked_s"])


@pytest.mark.slow
def test_questions_are_bounded_in_a_run_and_go_on_in_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "collection"
    photos = [photo(folder, n) for n in range(6)]
    with collect_world(tmp_path, *photos, text=PROJECT.replace("[domains.shallow]", "[domains.shallow]\n")) as world:
        world.run()
        world.text = PROJECT.replace("rescrape_weeks = 1", "rescrape_weeks = 1\nchecks_per_run = 2")
        for one in photos[:5]:
            world.emulator.collection.change(one.id, vanished=True)
        for run, asked in enumerate((2, 4, 5, 5)):
            world.run(rescrape=run == 0)
            assert world.emulator.calls["flickr.photos.getInfo"] == asked
        assert world.history()["gone_s"].notna().sum() == 5


@pytest.mark.slow
def test_flickr_out_of_reach_leaves_the_questions_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "collection"
    photos = [photo(folder, n) for n in range(3)]

    def unreachable(self: FlickrClient, id: str) -> None:
        raise FlickrUnreachable("nobody there")

    with collect_world(tmp_path, *photos) as world:
        world.run()
        world.emulator.collection.change(photos[0].id, vanished=True)
        with monkeypatch.context() as broken:
            broken.setattr(FlickrClient, "photo_info", unreachable)
            world.run(rescrape=True)
        assert world.history()["gone_s"].isna().all()
        world.run()
        assert world.history()["gone_s"].notna().sum() == 1


# Forgetting ---------------------------------------------------------------------------------------------------


def everything(home: Home) -> dict[str, bytes]:
    """All files of the home but Dagster's, by their path."""
    files = (path for path in sorted(home.root.rglob("*")) if path.is_file() and "dagster" not in path.parts)
    return {str(path.relative_to(home.root)): path.read_bytes() for path in files}


def test_a_forgotten_photo_leaves_nothing_but_its_tombstone(tmp_path: Path) -> None:
    folder = tmp_path / "collection"
    photos = [photo(folder, n, title=f"portrait titled-{n}-so", month=1 + n % 2) for n in range(6)]
    (folder / "5.jpg").write_bytes((folder / "4.jpg").read_bytes())
    with collect_world(tmp_path, *photos) as world:
        world.run(until="review_queue")
        home, made = world.home, world.made()
        digests = home.tables.read_all("photo_files").set_index("photo_id")["sha256"]
        assert digests[id_of(4)] == digests[id_of(5)]
        assert (home.thumbnails / digests[id_of(0)][:2] / f"{digests[id_of(0)]}.jpg").exists()
        others = [
            home.tables.path(name, key) for name in PARTITIONED for key in home.tables.partitions(name) if "-02" in key
        ]
        as_they_were = [path.stat().st_ino for path in others]
        done = forget(home, [id_of(0), id_of(4)], NOW_S)
        assert (done.blobs, done.shared, done.derived_files) == (1, 1, 1)
        assert [path.stat().st_ino for path in others] == as_they_were, "tables that do not name them are not written anew"
        assert not home.blobs.has(digests[id_of(0)])
        assert home.blobs.has(digests[id_of(5)])
        assert len(done.queue_files) == 1
        assert not unpurged(home)
        left = everything(home)
        assert not [name for name, data in left.items() if digests[id_of(0)].encode() in data or b"titled-0-so" in data]
        assert not [name for name in left if digests[id_of(0)] in name]
        asked = world.emulator.image_requests
        world.run(until="review_queue")
        world.run(until="review_queue", rescrape=True)
        assert world.emulator.image_requests == asked, "never fetched again"
        assert not [name for name, data in everything(home).items() if b"titled-0-so" in data]
        listing = world.listing(1)
        assert listing.loc[id_of(0), ["title", "reason"]].tolist() == ["", "forgotten"]
        assert set(home.tables.read("unique_photos")["photo_id"]) == {id_of(n) for n in (1, 2, 3, 5)}
        assert world.history().loc[id_of(0), "forgotten"]
        assert Counter(world.made())[("photo_history", None)] == made[("photo_history", None)] + 1
        counts = status(world.project, home)["domains"]["ordinary"]
        assert counts["listed"] == counts["pending"] + sum(counts["rejected"].values()) + counts["downloaded"] == 6
        assert counts["rejected"] == {"forgotten": 2}


def test_forgotten_photos_leave_the_event_log(tmp_path: Path) -> None:
    folder = tmp_path / "collection"
    photos = [photo(folder, n, month=1 + n % 2) for n in range(6)]
    with collect_world(tmp_path, *photos, on_disk=True) as world:
        world.run(until="unique_photos")
        log = world.home.dagster / "history" / "runs"
        before = embedded(log)
        doomed = {shows for shows in before if id_of(0) in shows.split()}
        stays = {shows for shows in before if id_of(1) in shows.split()}
        assert doomed == {" ".join(["photos", *(id_of(n) for n in (0, 2, 4))])}
        assert stays
        assert "chart" in before
        assert bytes_left(log, before, doomed) > 100
        done = forget(world.home, [id_of(0)], NOW_S)
        assert done.pictures >= 2, "in the file of the run and in that of all runs"
        assert "event log" in forget_summary(done)
        after = embedded(log)
        assert after == {shows: data for shows, data in before.items() if shows not in doomed}
        assert bytes_left(log, before, doomed) == 0
        assert bytes_left(log, before, stays) > 100
        events = world.instance.fetch_materializations(dg.AssetKey("photo_files"), limit=10).records
        made = [event.asset_materialization for event in events if event.asset_materialization]
        assert sum(one.metadata["pictures"].value == ERASED for one in made) == 1
        assert forget(world.home, [id_of(0)], NOW_S).pictures == 0


def embedded(log: Path) -> dict[str, str]:
    """What the pictures in the events of all runs show, with a picture's base64."""
    found = {}
    for file in log.glob("*.db"):
        with closing(sqlite3.connect(file)) as connection:
            texts = [text for (text,) in connection.execute("SELECT event FROM event_logs")]
            if file.name == "index.db":
                texts += [text for (text,) in connection.execute("SELECT last_materialization FROM asset_keys") if text]
        for text in texts:
            found |= re.findall(r"!\[([^\]]*)\]\(data:image/\w+;base64,([^)]*)\)", text)
    return found


def bytes_left(log: Path, pictures: dict[str, str], shows: set[str]) -> int:
    """How many pieces of these pictures' base64 are anywhere in the files, unused parts and all; not of the headers,
    which all JPEGs share."""
    data = b"".join(path.read_bytes() for path in log.iterdir())
    texts = [pictures[name] for name in shows]
    return sum(text[at : at + 40].encode() in data for text in texts for at in range(1_000, len(text) - 40, 40))


@pytest.mark.slow
def test_an_interrupted_purge_goes_on_with_the_next_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "collection"
    with collect_world(tmp_path, *(photo(folder, n) for n in range(4))) as world:
        world.run()
        home, digest = world.home, world.home.tables.read_all("photo_files").set_index("photo_id")["sha256"][id_of(0)]
        for step in ("_purge_files", "forget_in_snapshots", "_purge_tables", "_strip_csv", "_naming"):
            with monkeypatch.context() as broken:

                def dies(*_: object, step: str = step) -> None:
                    raise KeyboardInterrupt(step)

                broken.setattr(f"pipeline.operations.forget.{step}", dies)
                if step == "_strip_csv":
                    home.review_queue.mkdir(parents=True)
                    (home.review_queue / "batch.csv").write_text("photo_id\n")
                with pytest.raises(KeyboardInterrupt):
                    forget(home, [id_of(0)], NOW_S) if step == "_purge_files" else finish_forgetting(home, NOW_S)
            assert unpurged(home) == [id_of(0)]
            assert "not purged yet 1" in summary(status(world.project, home))
        world.run()
        assert not unpurged(home)
        assert not home.blobs.has(digest)
        assert id_of(0) not in set(home.tables.read("unique_photos")["photo_id"])


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-8-sig"])
@pytest.mark.parametrize("separator", [",", ";"])
def test_a_batch_that_a_spreadsheet_saved_loses_the_rows_and_only_them(
    tmp_path: Path, encoding: str, separator: str
) -> None:
    rows = [
        ["photo_id", "title", "owner", "page_url"],
        [id_of(0), "Gönner", "Änn", ""],
        [id_of(1), '"a\r\nb"', "Bo", ""],
        ["4.95E+09", "Gönner", "Änn", f"https://www.flickr.com/photos/ann/{id_of(0).removeprefix('flickr:')}/"],
        [id_of(2), '"open', "Cy", ""],
        [id_of(0).removeprefix("flickr:"), '"Gönner', "Änn", ""],
        [id_of(3), "", "Di", ""],
    ]
    lines = [separator.join(row) + "\r\n" for row in rows]
    path = tmp_path / "batch.csv"
    path.write_bytes("".join(lines).encode(encoding))
    ids = {id_of(0)}
    assert _strip_csv(path, ids)
    assert path.read_bytes().decode("utf-8-sig") == "".join(lines[index] for index in (0, 2, 4, 6))
    assert not _strip_csv(path, ids)


@pytest.mark.parametrize("written", [
    "https://flic.kr/p/8xq3yy", "FLIC.KR/p/8xq3yy", "https://www.flickr.com/photo.gne?short=8xq3yy",
    "https://www.flickr.com/photo.gne?id=%34950000056", "4950000056.0", "Flickr: 4950000056", "49500\x0000056",
])  # fmt: skip
def test_a_batch_that_names_a_photo_otherwise_loses_its_row(tmp_path: Path, written: str) -> None:
    path = tmp_path / "batch.csv"
    path.write_text(f"photo_id,title\n{id_of(1)},a\n{written},b\n49500000567,c\n")
    assert _strip_csv(path, {"flickr:4950000056"})
    assert path.read_text("utf-8-sig") == f"photo_id,title\n{id_of(1)},a\n49500000567,c\n"
    assert not _strip_csv(path, {"flickr:4950000056"})


def test_a_file_of_the_queue_that_nobody_can_read_is_reported_and_the_purge_ends(tmp_path: Path) -> None:
    folder = tmp_path / "collection"
    photos = [photo(folder, n, title="Gönner") for n in range(3)]
    with collect_world(tmp_path, *photos) as world:
        world.run(until="review_queue")
        home = world.home
        (batch,) = home.review_queue.glob("*.csv")
        batch.write_bytes(batch.read_text("utf-8-sig").replace(",", ";").encode("cp1252"))
        for name, data in (("book.csv", b"PK\x03\x04"), ("mine.csv", b"a,b\n1,2\n"), ("none.csv", b"")):
            (home.review_queue / name).write_bytes(data)
        done = forget(home, [id_of(0)], NOW_S)
        assert done.queue_files == [batch.name]
        assert not unpurged(home)
        assert id_of(0) not in batch.read_text("utf-8-sig")
        assert id_of(1) in batch.read_text("utf-8-sig")
        said = forget_summary(done)
        assert f"{home.review_queue / 'book.csv'}: this is an Excel workbook" in said
        assert f"{home.review_queue / 'mine.csv'}: the column photo_id is missing" in said
        assert "none.csv" not in said
        home.tables.write("tombstones", home.tables.read("tombstones").assign(purged_s=None))
        world.run()
        assert not unpurged(home)
        assert any("book.csv" in line for line in world.said)


def test_ids_that_were_never_seen_change_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "collection"
    with collect_world(tmp_path, photo(folder, 0)) as world:
        world.run(until="photo_listing")
        with pytest.raises(ConfigError, match=r"flickr:1; nothing was changed"):
            forget(world.home, [id_of(0), "flickr:1"], NOW_S)
        assert not unpurged(world.home)
        assert world.listing(1).loc[id_of(0), "title"] == "portrait 0"


@pytest.mark.slow
def test_while_a_run_is_at_work_the_next_one_purges_once_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "collection"
    with collect_world(tmp_path, *(photo(folder, n) for n in range(3))) as world:
        world.run()
        with world.home.lock("at-work", shared=True):
            forget_command.main(
                [f"https://www.flickr.com/photos/x/{id_of(1)[7:]}/", "--home", str(world.home.root)], standalone_mode=False
            )
        assert "1 photo forgotten: 1 blob " in capsys.readouterr().out
        assert unpurged(world.home) == [id_of(1)]
        world.run()
        assert not unpurged(world.home)


def test_beside_another_run_a_purge_is_not_complete(tmp_path: Path) -> None:
    """A run that read the tables before the photo was forgotten may write row and blob when the purge is over."""
    folder = tmp_path / "collection"
    with collect_world(tmp_path, *(photo(folder, n) for n in range(3))) as world:
        world.run(until="photo_history")
        home, key = world.home, "ordinary|2024-01"
        row = home.tables.read("photo_files", key)
        digest = row.set_index("photo_id").loc[id_of(0), "sha256"]
        data = home.blobs.read(digest)
        forget(home, [id_of(0)], NOW_S, is_quiet=False)
        other = world.instance.add_run(dg.DagsterRun(job_name="any", status=dg.DagsterRunStatus.STARTED))
        world.materialise("photo_history")
        home.tables.write("photo_files", row, key)
        with home.blobs.temporary() as path:
            path.write_bytes(data)
            home.blobs.adopt(path, digest)
        assert unpurged(home) == [id_of(0)]
        waiting = world.instance.add_run(dg.DagsterRun(job_name="any", status=dg.DagsterRunStatus.NOT_STARTED))
        world.instance.report_run_failed(other)
        world.materialise("photo_history")
        assert not waiting.is_finished
        assert not unpurged(home)
        assert not home.blobs.has(digest)
        assert id_of(0) not in set(home.tables.read("photo_files", key)["photo_id"])


def test_a_run_that_ended_during_the_purge_counts_as_one_at_work() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.add_run(dg.DagsterRun(job_name="any", status=dg.DagsterRunStatus.STARTED))
        instance.report_run_failed(run)
        assert others_at_work(instance, since=datetime.now(UTC) - timedelta(minutes=1))
        assert not others_at_work(instance, since=datetime.now(UTC) + timedelta(minutes=1))
        assert not others_at_work(instance, own_run_id=run.run_id, since=datetime.now(UTC) - timedelta(minutes=1))
        assert not others_at_work(instance)


def test_a_damaged_snapshot_is_reported_and_blocks_no_run(tmp_path: Path) -> None:
    folder = tmp_path / "collection"
    with collect_world(tmp_path, *(photo(folder, n) for n in range(3))) as world:
        world.run(until="photo_history")
        snapshot = World(world.home.root).freeze(range(1, 13))
        manifest = world.home.snapshots / snapshot / "manifest.parquet"
        sound = manifest.read_bytes()
        manifest.chmod(0o644)
        manifest.write_bytes(sound[:-100])
        digest = world.home.tables.read_all("photo_files").set_index("photo_id").loc[id_of(0), "sha256"]
        done = forget(world.home, [id_of(0)], NOW_S)
        assert f"{snapshot}: manifest.parquet is damaged" in forget_summary(done)
        assert not world.home.blobs.has(digest)
        world.run(rescrape=True)
        assert [line for line in world.said if "still not complete" in line and "manifest.parquet is damaged" in line]
        assert unpurged(world.home) == [id_of(0)]
        manifest.write_bytes(sound)
        world.run()
        assert not unpurged(world.home)


def test_what_interrupted_stages_kept_is_purged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "collection"
    photos = [photo(folder, n, title=f"portrait titled-{n}-so") for n in range(3)]
    with collect_world(tmp_path, *photos) as world:
        world.run(until="photo_listing")
        home, write, doomed = world.home, TableStore.write, ""

        def dies(self: TableStore, name: str, *arguments: Any) -> TableInfo:  # noqa: ANN401
            if name == doomed:
                raise KeyboardInterrupt
            return write(self, name, *arguments)

        monkeypatch.setattr(TableStore, "write", dies)
        doomed = "photo_files"
        with pytest.raises(KeyboardInterrupt):
            world.run(until="photo_files")
        doomed = "photo_listing"
        with pytest.raises(KeyboardInterrupt):
            world.run(until="photo_files", rescrape=True)
        monkeypatch.undo()
        (journal,), blobs = home.all_journals(), list(home.blobs.root.glob("??/*"))
        assert sum(b"titled-0-so" in data for data in everything(home).values()) == 2, "in the listing and in its window"
        lines = len(journal.read_bytes().split())
        home.hints_journal.write_text("".join(json.dumps({"sha256": blob.name}) + "\n" for blob in blobs))
        assert forget(home, [id_of(0)], NOW_S).blobs == 1
        assert not [name for name, data in everything(home).items() if b"titled-0-so" in data]
        assert id_of(0).encode() not in journal.read_bytes()
        assert 0 < len(journal.read_bytes().split()) < lines
        assert len(home.hints_journal.read_text().split()) == 2 * 2
        monkeypatch.setenv("FLICKR_API_KEY", KEY)
        monkeypatch.setenv("FLICKR_API_SECRET", SECRET)
        monkeypatch.setattr(TableStore, "write", dies)
        with pytest.raises(KeyboardInterrupt):
            world.run(until="photo_listing", rescrape=True)
        (window,) = home.all_listing_windows.rglob("*.found")
        assert b"titled-1-so" in window.read_bytes()
        assert b"titled-0-so" not in window.read_bytes()


@pytest.mark.slow
def test_forget_gone_takes_what_the_history_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "collection"
    photos = [photo(folder, n) for n in range(3)]
    with collect_world(tmp_path, *photos) as world:
        world.run()
        world.emulator.collection.change(photos[2].id, vanished=True)
        world.run(rescrape=True)
        assert gone(world.home) == [id_of(2)]
        forget_command.main(["--gone", "--home", str(world.home.root)], standalone_mode=False)
        assert gone(world.home) == []
        world.run()
        assert status(world.project, world.home)["history"]["gone_photos"] == []
        forget_command.main(["--gone", "--home", str(world.home.root)], standalone_mode=False)
        assert "no photo is gone" in capsys.readouterr().err


# Texts and secrets --------------------------------------------------------------------------------------------


def test_texts_come_through_unharmed(tmp_path: Path) -> None:
    folder = tmp_path / "collection"
    photos = [
        photo(folder, n, title=title, description="portrait", owner_name=title, tags=("portrait", title or "x"))
        for n, title in enumerate(ODD)
    ]
    expected = {id_of(n): title for n, title in enumerate(ODD)}
    with collect_world(tmp_path, *photos) as world:
        world.run(until="review_queue")
        assert world.listing(1)["title"].to_dict() == expected
        assert world.listing(1)["owner_name"].to_dict() == expected
        assert world.history()["title"].to_dict() == expected
        tags = world.listing(1)["tags"].to_dict()
        assert world.history()["tags"].to_dict() == tags
        assert tags[id_of(5)] == "portrait 🎈émoji𝕏"
        (batch,) = world.home.review_queue.glob("*.csv")
        queued = pd.read_csv(batch, dtype=str, keep_default_na=False, encoding="utf-8-sig", lineterminator=None)
        queued = queued.set_index("photo_id")
        for photo_id, title in expected.items():
            shown = str(queued.loc[photo_id, "title"])
            assert shown in (title, harmless(title))  # formulas and marks that turn the text around are written out
            assert not shown.startswith(("=", "+", "-", "@", "\t"))
        images = world.home.tables.read("unique_photos").assign(
            transform="t", pixels_sha256="p", alpha_sha256="a", shard="s", row=0
        )
        listing = world.home.tables.read_all("photo_listing")
        decided = images[["photo_id"]].assign(curator="me", file="a.csv", row=2)
        masks = images[["domain", "photo_id"]].assign(mask="m.png", mask_sha256="m")
        manifest = build_manifest(images, listing, decided, masks, world.project.dataset, "ordinary")
        written = io.StringIO(newline="")
        attribution(manifest).to_csv(written, index=False)
        read = pd.read_csv(io.StringIO(written.getvalue(), newline=""), dtype=str, keep_default_na=False)
        assert read.set_index("photo_id")["title"].to_dict() == expected


def test_no_key_or_secret_stands_anywhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """All files of the home, Dagster's databases, captured outputs and logs among them."""
    folder = tmp_path / "collection"
    photos = [photo(folder, n) for n in range(3)]
    with caplog.at_level(logging.DEBUG), collect_world(tmp_path, *photos, on_disk=True) as world:
        world.run()
        world.emulator.collection.change(photos[0].id, vanished=True)
        world.run(rescrape=True)
        world.emulator.faults = world.emulator.faults.model_copy(update={"refused_keys": [KEY]})
        with pytest.raises(Exception, match="refuses the API key"):
            world.run(rescrape=True)
        said = "\n".join([*world.said, caplog.text, *capfd.readouterr(), *map(str, world.emulator.requests)])
        for secret in (KEY, SECRET):
            assert secret not in said
            holding = [
                path for path in world.home.root.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()
            ]
            assert not holding
    assert "photo_listing" in said
