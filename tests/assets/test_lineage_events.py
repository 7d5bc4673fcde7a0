"""OpenLineage events of runs: read back by the classes of its own client, from a file and from a server on loopback."""

import json
import pkgutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID

import attr
import dagster as dg
import pytest
from openlineage.client import event_v2, generated

from assets.headless import bury_dead_runs
from pipeline.config import parse_project
from pipeline.errors import StorageError
from pipeline.operations import lineage_events
from pipeline.operations.lineage_events import Making, event_run_id, inputs_of, is_on
from storage import Home
from tests.assets.worlds import KEY, SECRET, CollectWorld, collect_world, photo
from tests.judged_world import CONFIG, judge, judged_home, train
from tests.loopback_server import serving

NEVER = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLICKR_API_KEY", KEY)
    monkeypatch.setenv("FLICKR_API_SECRET", SECRET)
    lineage_events._sender_of.cache_clear()


def to_file(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    settings = {"type": "file", "log_file_path": str(path), "append": True}
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT", json.dumps(settings))


def to_server(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT", json.dumps({"type": "http", "url": url, "retry": {"total": 0}}))


def read_events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def facet_classes() -> dict[str, type]:
    """The client's class of each facet, by the address of its schema."""
    found = {}
    for module in pkgutil.iter_modules(generated.__path__):
        for kind in vars(import_module(f"openlineage.client.generated.{module.name}")).values():
            if isinstance(kind, type) and attr.has(kind) and hasattr(kind, "_get_schema"):
                found[kind._get_schema()] = kind  # pyright: ignore[reportAttributeAccessIssue]
    return found


FACETS = facet_classes()


def checked_facets(facets: Mapping[str, dict[str, Any]]) -> dict[str, object]:
    """Raises where a facet is of no known schema, or has other fields than that."""
    return {
        name: FACETS[values["_schemaURL"]](**{key: value for key, value in values.items() if key[0] != "_"})
        for name, values in facets.items()
    }


def checked(event: Mapping[str, Any]) -> event_v2.RunEvent:
    """The event in the client's classes, which check ids, times and fields."""
    run, job = event["run"], event["job"]
    return event_v2.RunEvent(
        eventTime=event["eventTime"],
        eventType=event_v2.RunState(event["eventType"]),
        producer=event["producer"],
        run=event_v2.Run(run["runId"], checked_facets(run["facets"])),
        job=event_v2.Job(job["namespace"], job["name"], checked_facets(job["facets"])),
        inputs=[event_v2.InputDataset(**{**one, "facets": checked_facets(one["facets"])}) for one in event["inputs"]],
        outputs=[
            event_v2.OutputDataset(
                **{
                    **one,
                    "facets": checked_facets(one["facets"]),
                    "outputFacets": checked_facets(one["outputFacets"]),
                }
            )
            for one in event["outputs"]
        ],
    )


def version_of(dataset: Mapping[str, Any]) -> str | None:
    return dataset["facets"].get("version", {}).get("datasetVersion")


@contextmanager
def collector() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server of OpenLineage's one request, its address, and what it got."""
    got: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append({"path": self.path, **json.loads(body)})
            self.send_response(201)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    with serving(Handler) as address:
        yield address, got


@contextmanager
def small_world(folder: Path) -> Iterator[CollectWorld]:
    text = """
[collect]
from = "2024-01"
to = "2024-01"
[domains.ordinary]
queries = [{ text = "portrait" }]
[domains.shallow]
[photos]
min_edge_px = 32
"""
    with collect_world(folder, *(photo(folder / "collection", n) for n in range(3)), text=text) as world:
        yield world


def test_each_partition_tells_what_it_was_made_from_and_what_came_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_file(monkeypatch, tmp_path / "events.jsonl")
    with small_world(tmp_path) as world:
        world.run(until="fingerprints")
        home = world.home
        runs = {run.run_id: run.job_name for run in world.instance.get_runs()}
    events = read_events(tmp_path / "events.jsonl")
    for event in events:
        checked(event)
    states = [(event["job"]["name"], event["eventType"]) for event in events]
    made = ("photo_listing", "photo_files", "fingerprints")
    assert states == [(name, state) for name in made for state in ("START", "COMPLETE")]
    ended = {event["job"]["name"]: event for event in events if event["eventType"] == "COMPLETE"}
    files, key = ended["photo_files"], "ordinary|2024-01"
    assert files["inputs"][0]["name"] == f"photo_listing/{key}"
    (output,) = files["outputs"]
    info = home.tables.info("photo_files", key)
    assert info is not None
    assert (output["name"], version_of(output)) == (f"photo_files/{key}", info.data_version)
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 3
    assert version_of(files["inputs"][0]) == version_of(ended["photo_listing"]["outputs"][0])
    assert {"namespace": "flickr", "name": "ordinary"}.items() <= ended["photo_listing"]["inputs"][0].items()
    parent = files["run"]["facets"]["parent"]
    assert runs[parent["run"]["runId"]] == parent["job"]["name"] == "collect"
    assert files["run"]["runId"] == event_run_id(parent["run"]["runId"], "photo_files", key)
    assert all(SECRET not in json.dumps(event) and KEY not in json.dumps(event) for event in events)


def full_disk(*_: object) -> None:
    raise StorageError("the disk is full")


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_failure_and_an_interruption_are_told_to_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with collector() as (url, got), small_world(tmp_path) as world:
        to_server(monkeypatch, url)
        monkeypatch.setattr("assets.collect.download", full_disk)
        with pytest.raises(StorageError):
            world.run()
        monkeypatch.setattr("assets.collect.download", interrupted)
        with pytest.raises(KeyboardInterrupt):
            world.run()
    assert {event.pop("path") for event in got} == {"/api/v1/lineage"}
    ended = [(event["job"]["name"], event["eventType"], event) for event in got if event["eventType"] != "START"]
    assert [(name, state) for name, state, _ in ended] == [
        ("photo_listing", "COMPLETE"), ("photo_files", "FAIL"), ("photo_files", "ABORT"),
    ]  # fmt: skip
    assert ended[1][2]["run"]["facets"]["errorMessage"]["message"] == "the disk is full"
    assert len({event["run"]["runId"] for event in got}) == 3
    for event in got:
        checked(event)


def test_a_dead_server_is_said_once_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    to_server(monkeypatch, NEVER)
    with small_world(tmp_path) as world:
        world.run(until="photo_files")
        assert world.home.tables.info("photo_files", "ordinary|2024-01")
    assert capsys.readouterr().err.count("OpenLineage: events are not sent (") == 1


@pytest.mark.parametrize("wrong", ["no JSON", '{"type": "nobody"}', '{"type": "file", "log_file_path": "/dev/null/x"}'])
def test_settings_that_cannot_be_used_stop_nothing(wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT", wrong)
    said: list[str] = []
    making = Making(None, Home(tmp_path), "photo_files", None, str(UUID(int=1)), "collect")
    for _ in range(2):
        with lineage_events.events_of(making, said.append) as done:
            done("abc")
    assert len(said) == 1
    assert said[0].startswith("OpenLineage: events are not sent (")


def test_what_a_killed_run_had_begun_is_told_to_have_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    to_file(monkeypatch, tmp_path / "events.jsonl")
    with small_world(tmp_path) as world:
        world.run(until="photo_files")
        began = read_events(tmp_path / "events.jsonl")
        (run,) = [run for run in world.instance.get_runs() if run.job_name == "collect"]
        monkeypatch.setattr("assets.headless.unfinished_runs", lambda instance: [run])
        monkeypatch.setattr("assets.headless._is_dead", lambda *_: True)
        logs = world.instance.all_logs
        kinds = dg.DagsterEventType
        monkeypatch.setattr(
            world.instance,
            "all_logs",
            lambda name, of_type: [] if of_type == kinds.ASSET_MATERIALIZATION else logs(name, of_type),
        )
        assert bury_dead_runs(world.instance, world.home) == [run.run_id]
    told = read_events(tmp_path / "events.jsonl")[len(began) :]
    begun = {event["run"]["runId"] for event in began if event["run"]["facets"]["parent"]["run"]["runId"] == run.run_id}
    assert {event["run"]["runId"] for event in told} == begun != set()
    for event in told:
        checked(event)
        assert event["eventType"] == "FAIL"
        assert "the process of this run is gone" in event["run"]["facets"]["errorMessage"]["message"]


def test_a_models_events_name_its_snapshot_and_its_weights(tmp_path: Path) -> None:
    home, world = judged_home(tmp_path / "home")
    snapshot = world.freeze(range(1, 13))
    train(home, snapshot, "cyclegan@0")
    judge(home, snapshot, "cyclegan@0", ssim=0.9, sharpness=0.5)
    project = parse_project(CONFIG, tmp_path / "bokehflow.toml")

    def inputs(asset: str, partition: str) -> dict[str, str | None]:
        making = Making(project, home, asset, partition, str(UUID(int=1)), "train")
        return {one.name: one.version for one in inputs_of(making)}

    key, frozen = f"cyclegan@0|{snapshot}", {f"dataset_snapshot/{snapshot}": snapshot}
    assert inputs("trained_model", key) == frozen
    assert inputs("evaluation", key) == {**frozen, f"trained_model/{key}": "ab" * 32}
    info = home.tables.info("evaluation", key)
    assert info is not None
    assert inputs("comparison", snapshot) == {**frozen, f"evaluation/{key}": info.data_version}


def test_imports_name_the_lists_of_the_project_file_with_their_digest(tmp_path: Path) -> None:
    addresses = tmp_path / "portraits.csv"
    addresses.write_text("url\nhttp://127.0.0.1/1.jpg\n")
    config = CONFIG.replace("[domains.ordinary]", f"[domains.ordinary]\nlists = ['{addresses}', '{tmp_path}/lost.csv']")
    project = parse_project(config, tmp_path / "bokehflow.toml")
    making = Making(project, Home(tmp_path / "home"), "imported_photos", None, str(UUID(int=1)), "job")
    found = {one.name: one.version for one in inputs_of(making) if one.namespace == "file"}
    assert found == {str(addresses): sha256(addresses.read_bytes()).hexdigest()[:16], f"{tmp_path}/lost.csv": None}


def test_it_is_off_unless_the_environment_names_a_transport() -> None:
    assert not is_on({"HOME": "/", "OPENLINEAGE_NAMESPACE": "lab"})
    assert is_on({"OPENLINEAGE_URL": NEVER})
    assert is_on({"OPENLINEAGE__TRANSPORT__TYPE": "file"})
    assert not is_on({"OPENLINEAGE_URL": NEVER, "OPENLINEAGE_DISABLED": "True"})
