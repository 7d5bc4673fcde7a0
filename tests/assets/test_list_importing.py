"""A list of addresses into a home: fetched once, from the hosts that are named, with a reason for all that fails."""

from pathlib import Path

import pytest

from pipeline.commands.collecting import import_photos
from pipeline.config import Project, parse_project
from pipeline.emulators.flickr import Emulator
from pipeline.emulators.flickr_answers import pictures
from pipeline.errors import ConfigError, SourceError
from pipeline.operations import list_imports
from pipeline.operations.forget import forget
from pipeline.operations.imports import summary
from pipeline.operations.list_imports import import_list
from pipeline.operations.photo_tables import all_rows
from pipeline.operations.snapshots import fetch_photos
from pipeline.photo_ids import url_id, written_id
from storage import Home
from tests.assets.worlds import collect_world, photo

TEXT = """
[domains.ordinary]
[domains.shallow]
[photos]
min_edge_px = 32
threads = 2
[lists]
retries = 0
image_hosts = ["{host}"]
"""


def a_list(folder: Path, host: str, names: list[str]) -> Path:
    path = folder / "list.csv"
    rows = [f"http://{host}/{name},Picture {number},CC BY 4.0,Ann" for number, name in enumerate(names)]
    path.write_text("url,caption,license,owner_name\n" + "\n".join(rows) + "\n")
    return path


def test_a_list_is_fetched_once_and_its_photos_are_like_any_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = [photo(tmp_path / "collection", number) for number in range(5)]
    monkeypatch.setattr(list_imports, "BATCH", 2)
    with collect_world(tmp_path, *photos, text=TEXT) as world:
        host = world.emulator.image_host
        world.text = TEXT.format(host=host)
        names = pictures_of(world.emulator)
        path = a_list(tmp_path, host, [*names, "nothing/here.jpg"])
        path.write_text(path.read_text() + "ftp://x/1.jpg,,,\nhttp://elsewhere.example.org/1.jpg,,my own words,\n")
        (done,) = import_list(world.project, world.home, path, "ordinary")
        said = summary([done])
        assert (done.pictures, done.new) == (5, 5)
        assert {refused.reason for refused in done.refused} == {"unavailable", "host_not_allowed"}
        assert "list.csv, row 8: url 'ftp://x/1.jpg'" in said
        assert "words that are no known licence" in said
        assert "'my own words' (1)" in said
        world.run(until="unique_photos")
        listing = all_rows(world.project, world.home, "photo_listing").set_index("photo_id")
        row = listing.loc[url_id(f"http://{host}/{names[0]}")]
        assert row[["title", "license", "owner_name"]].tolist() == ["Picture 0", "11", "Ann"]
        assert row["page_url"] == f"http://{host}/{names[0]}"
        assert row["image_url"] == f"http://{host}/{names[0]}"
        assert len(world.home.tables.read("unique_photos")) == 5
        # Who restores a snapshot asks there again.
        asked = listing.reset_index()[["photo_id", "domain", "image_url"]].assign(source_sha256="0" * 64)
        assert set(fetch_photos(world.home, world.project, asked).values()) == {None}
        before = world.emulator.image_requests
        (again,) = import_list(world.project, world.home, path, "ordinary")
        assert (again.pictures, again.new) == (5, 0)
        assert world.emulator.image_requests == before + 1, "only what is missing is asked for again"
        gone = url_id(f"http://{host}/{names[1]}")
        assert written_id(f" URL:{gone.removeprefix('url:')}") == gone
        forget(world.home, [gone], now_s=1_800_000_000)
        (after,) = import_list(world.project, world.home, path, "ordinary")
        assert after.pictures == 4
        assert "forgotten" in {refused.reason for refused in after.refused}


def pictures_of(emulator: Emulator) -> list[str]:
    """Paths of the emulator's original pictures."""
    photos = emulator.collection.search("all", lambda photo: True).photos
    return [pictures(emulator.collection, one)[-1].path.lstrip("/") for one in photos]


def project_of(host: str) -> Project:
    return parse_project(TEXT.format(host=host), Path("x.toml"))


def test_lists_that_cannot_be_used(tmp_path: Path) -> None:
    home, path = Home(tmp_path / "home"), a_list(tmp_path, "pictures.example.org:81", ["1.jpg"])
    with pytest.raises(ConfigError, match=r"say --domain with one of ordinary, shallow"):
        import_list(project_of("x.org"), home, path, None)
    with pytest.raises(ConfigError, match=r"no domain 'odd' in the project file"):
        import_list(project_of("x.org"), home, path, "odd")
    with pytest.raises(ConfigError, match=r"are of pictures\.example\.org:81\. Name those .*`image_hosts` under \[lists\]"):
        import_list(project_of("x.org"), home, path, "ordinary")
    (tmp_path / "bokehflow.toml").write_text(TEXT.format(host="x.org"))
    with pytest.raises(ConfigError, match="leave --joined and --metadata out"):
        import_photos.main(
            [str(path), "--domain", "ordinary", "--joined", "AB", "--home", str(home.root), "--config",
             str(tmp_path / "bokehflow.toml")], standalone_mode=False,
        )  # fmt: skip


def test_a_list_out_of_reach_ends_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_imports, "BATCH", 20)
    path = a_list(tmp_path, "127.0.0.1:9", [f"{number}.jpg" for number in range(100)])
    home = Home(tmp_path / "home")
    with pytest.raises(SourceError, match="the last 20 pictures could not be fetched"):
        import_list(project_of("127.0.0.1:9"), home, path, "ordinary")
    assert not home.tables.path("imports").exists()


def test_a_host_that_is_gone_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = [photo(tmp_path / "collection", number) for number in range(3)]
    monkeypatch.setattr(list_imports, "BATCH", 25)
    with collect_world(tmp_path, *photos, text=TEXT) as world:
        host = world.emulator.image_host
        world.text = TEXT.format(host=f'{host}", "127.0.0.1:9')
        path = a_list(tmp_path, "127.0.0.1:9", [f"{number}.jpg" for number in range(60)])
        rows = "".join(f"http://{host}/{name},,,\n" for name in pictures_of(world.emulator))
        path.write_text(path.read_text() + rows)
        (done,) = import_list(world.project, world.home, path, "ordinary")
        assert done.pictures == 3
        said = summary([done])
        assert "left for the next import: 50 rows; 127.0.0.1:9: the last 20 pictures could not be fetched" in said
        assert [refused.reason for refused in done.refused] == ["unreachable"] * 10
        assert "127.0.0.1:9 was given up" in said
