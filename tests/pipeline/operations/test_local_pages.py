"""What `bokehflow dev` serves beside Dagster: reports, duplicates, masks and lineage, only to be read."""

from pathlib import Path

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from pipeline.config import load_project
from pipeline.evaluation.report.page import write_report
from pipeline.loopback.guard import Door, Guard
from pipeline.operations.links import DUPLICATES_LINK, HOME_LINK, MASKS_LINK, lineage_link, report_link
from pipeline.operations.local_pages import with_local_pages
from pipeline.operations.reports import report_inputs
from storage import Home
from tests.judged_world import judge, judged_home, train

PORT = 3000


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, str]:
    home, world = judged_home(tmp_path_factory.mktemp("pages") / "home")
    snapshot = world.freeze(range(1, 60))
    train(home, snapshot, "cyclegan@0")
    judge(home, snapshot, "cyclegan@0", 0.95, 0.6)
    project = load_project(home.root / "bokehflow.toml")
    write_report(home.reports / snapshot / "index.html", report_inputs(project, home, snapshot))
    home.duplicates.mkdir()
    (home.duplicates / "index.html").write_text("<p>duplicates")
    (home.duplicates / "notes.txt").write_text("no page")
    (home.duplicates / "out.html").symlink_to(home.root / "bokehflow.toml")
    (home.root / "secret.html").write_text("secret")
    return home, snapshot


@pytest.fixture
def client(place: tuple[Home, str]) -> TestClient:
    home, _ = place
    web = with_local_pages(PlainTextResponse("Dagster"), lambda: load_project(home.root / "bokehflow.toml"), home)
    return TestClient(web, base_url=f"http://127.0.0.1:{PORT}")


def test_everything_that_there_is_can_be_reached_by_links(client: TestClient, place: tuple[Home, str]) -> None:
    _, snapshot = place
    index = client.get(HOME_LINK)
    run = f"{snapshot}-cyclegan-0"
    links = [report_link(snapshot), DUPLICATES_LINK, lineage_link("snapshot", snapshot), lineage_link("model", run)]
    assert all(f'href="{link}"' in index.text for link in links)
    kinds = {link: client.get(link).headers["content-type"].partition(";")[0] for link in links}
    assert list(kinds.values()) == ["text/html", "text/html", "image/svg+xml", "image/svg+xml"]
    assert client.get(lineage_link("photo", "flickr:1")).text.startswith("<svg")
    assert client.get("/").text == "Dagster"
    assert client.get("/bokehflows").text == "Dagster"


def test_the_page_of_depth_beside_a_report_is_listed_and_served(client: TestClient, place: tuple[Home, str]) -> None:
    home, snapshot = place
    beside = home.reports / snapshot / "index-depth.html"
    beside.write_text("<p>depth")
    try:
        link = f"{report_link(snapshot)}/index-depth.html"
        assert f'href="{link}">{snapshot}, depth<' in client.get(HOME_LINK).text
        assert client.get(link).text == "<p>depth"
        assert "sandbox" in client.get(link).headers["content-security-policy"]
        assert client.get(f"{report_link(snapshot)}/..%2f..%2fbokehflow.toml").status_code == 404
        assert client.get(f"{report_link(snapshot)}/none.html").status_code == 404
        beside.unlink()
        beside.symlink_to(beside.name)
        assert client.get(link).status_code == 404
    finally:
        beside.unlink()


def test_no_page_may_run_a_script_with_the_rights_of_dagsters(client: TestClient, place: tuple[Home, str]) -> None:
    _, snapshot = place
    for link in (HOME_LINK, DUPLICATES_LINK, lineage_link("snapshot", snapshot)):
        policy = client.get(link).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
    policy = client.get(report_link(snapshot)).headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts")
    assert "allow-same-origin" not in policy


@pytest.mark.parametrize(
    "path",
    [
        "/bokehflow/reports/%2e%2e",
        "/bokehflow/reports/..%2f..%2fsecret.html",
        "/bokehflow/reports/none",
        "/bokehflow/duplicates/..%2fsecret.html",
        "/bokehflow/duplicates/out.html",
        "/bokehflow/duplicates/notes.txt",
        "/bokehflow/lineage/photo/..%2f..%2fbokehflow.toml",
        "/bokehflow/lineage/model/none",
        "/bokehflow/lineage/table/x",
        "/bokehflow/none",
        MASKS_LINK,
    ],
)
def test_nothing_else_is_served(client: TestClient, path: str) -> None:
    answer = client.get(path, follow_redirects=False)
    assert answer.status_code == 404
    assert "secret" not in answer.text
    assert "queries" not in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_pages_are_only_read(client: TestClient, method: str) -> None:
    assert client.request(method, HOME_LINK).status_code == 405


def test_nobody_gets_in_without_the_token(client: TestClient, place: tuple[Home, str]) -> None:
    door = Door(PORT, starter=-1)
    guarded = TestClient(Guard(client.app, PORT, 100, door=door), base_url=f"http://127.0.0.1:{PORT}")
    assert guarded.get(report_link(place[1])).status_code == 403
    assert guarded.get(f"{report_link(place[1])}?token={door.token.value}").status_code == 200
    assert guarded.get(HOME_LINK, headers={"sec-fetch-site": "cross-site"}).status_code == 403


def test_a_home_without_anything_says_what_would_write_it(tmp_path: Path) -> None:
    home, _ = judged_home(tmp_path / "home")
    project = load_project(home.root / "bokehflow.toml")
    text = TestClient(with_local_pages(PlainTextResponse(""), lambda: project, home)).get(HOME_LINK).text
    assert "bokehflow report --all" in text
    assert "bokehflow duplicates" in text
    assert "No snapshot yet" in text
