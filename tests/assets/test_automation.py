"""What the automation asks for, evaluated without a daemon on materialisations that are only reported."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pandas as pd
import pytest
from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._core.events.log import EventLogEntry
from dagster._core.test_utils import create_run_for_test

from assets.attempts import RETRY_AFTER_S
from assets.partitions import SNAPSHOTS, domain_month_key, snapshot_recipe_key
from assets.schedules import due_for_rescrape, passed_snapshot, recent_months
from pipeline.config import parse_project
from pipeline.definitions import build_definitions
from pipeline.operations.versions import inputs_version
from pipeline.tables import columns_of, conform, empty
from storage import Home

PROJECT = """
[collect]
from = "2024-01"
to = "2024-02"
[domains.ordinary]
queries = [{ text = "portrait" }]
[domains.shallow]
queries = [{ text = "portrait bokeh" }]
[training]
automatic = ["smoke"]
[recipes.smoke]
model = "cyclegan"
profile = "smoke"
[recipes.study]
model = "cyclegan"
"""
MONTHS = [domain_month_key(domain, month) for domain in ("ordinary", "shallow") for month in ("2024-01", "2024-02")]


class World:
    """Definitions, an instance in memory and the automation's cursor."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.definitions = build_definitions(parse_project(PROJECT, folder / "x.toml"), Home(folder), folder)
        self.instance = instance
        self.cursor: object = None

    def made(self, name: str, version: str, key: str | None = None, check: tuple[str, bool] | None = None) -> None:
        """Report that an asset was made with this data version, and the outcome of a check."""
        metadata = {"snapshot_id": version} if name == "dataset_manifest" else {}
        event = dg.AssetMaterialization(name, partition=key, tags={"dagster/data_version": version}, metadata=metadata)
        self.instance.report_runless_asset_event(event)
        if check:
            evaluation = dg.AssetCheckEvaluation(asset_key=dg.AssetKey(name), check_name=check[0], passed=check[1])
            self.instance.report_runless_asset_event(evaluation)

    def observed(self, version: str) -> None:
        """Report the content of the reviewed folder."""
        self.instance.report_runless_asset_event(
            dg.AssetObservation("review_decisions", tags={"dagster/data_version": version})
        )

    def asked(self) -> dict[str, set[str]]:
        """What the automation requests now: asset → partitions (`None` as text where there are none)."""
        selection = dg.AssetSelection.all() - dg.AssetSelection.assets("review_decisions")
        result = dg.evaluate_automation_conditions(
            self.definitions,
            self.instance,
            asset_selection=selection,
            cursor=self.cursor,  # pyright: ignore[reportArgumentType]
        )
        self.cursor = result.cursor
        found: dict[str, set[str]] = {}
        for outcome in result.results:
            if isinstance(outcome.key, dg.AssetKey) and outcome.true_subset.size:
                keys = result.get_requested_partitions(outcome.key)
                found[outcome.key.to_user_string()] = set(map(str, keys))
        return found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(tmp_path, instance)


def collected(world: World, version: str = "v1") -> None:
    """All months listed, fetched and fingerprinted, and everything up to the curated photos made."""
    for name in ("photo_listing", "photo_files", "fingerprints"):
        for key in MONTHS:
            world.made(name, version, str(key))
    world.made("photo_history", version)
    world.made("unique_photos", version)
    world.made("review_queue", version)
    world.observed("none")


def decided(world: World) -> None:
    """A full pass up to a manifest whose check passed."""
    collected(world)
    world.observed("d1")
    world.made("curated_photos", "c1", check=("decisions_valid", True))
    world.made("curated_photos", "c1", check=("enough_kept", True))
    world.made("person_masks", "p1")
    world.made("training_images", "t1")
    world.made("dataset_manifest", "snap1", check=("can_be_frozen", True))


def test_a_new_listing_asks_for_its_files_only(world: World) -> None:
    world.asked()
    world.made("photo_listing", "v1", str(MONTHS[0]))
    assert world.asked() == {"photo_files": {str(MONTHS[0])}, "photo_history": {"None"}}


def test_an_unchanged_rescrape_stops_at_the_listing(world: World) -> None:
    decided(world)
    world.asked()
    world.made("photo_listing", "v1", str(MONTHS[1]))
    assert world.asked() == {}


def test_one_changed_month_asks_for_that_month_and_the_history(world: World) -> None:
    decided(world)
    world.asked()
    world.made("photo_listing", "v2", str(MONTHS[1]))
    assert world.asked() == {"photo_files": {str(MONTHS[1])}, "photo_history": {"None"}}


def test_fingerprints_roll_up_although_other_months_are_missing(world: World) -> None:
    world.made("photo_history", "v1")
    world.asked()
    world.made("fingerprints", "v1", str(MONTHS[0]))
    assert world.asked() == {"unique_photos": {"None"}}


def test_changed_decisions_ask_for_the_curated_photos_and_equal_ones_for_nothing(world: World) -> None:
    decided(world)
    world.asked()
    world.observed("d2")
    assert world.asked() == {"curated_photos": {"None"}}
    world.made("curated_photos", "c1", check=("decisions_valid", True))
    assert world.asked() == {}
    world.observed("d2")
    assert world.asked() == {}


def test_nothing_goes_on_from_a_table_whose_blocking_check_failed(world: World) -> None:
    decided(world)
    world.asked()
    world.made("curated_photos", "c2", check=("decisions_valid", False))
    assert world.asked() == {}
    world.made("curated_photos", "c3", check=("decisions_valid", True))
    assert world.asked() == {"person_masks": {"None"}}


def test_a_manifest_becomes_a_snapshot_only_after_its_check(world: World) -> None:
    decided(world)
    assert passed_snapshot(world.instance) == "snap1"
    world.made("dataset_manifest", "snap2", check=("can_be_frozen", False))
    assert passed_snapshot(world.instance) is None


def test_a_new_snapshot_is_frozen_once_and_old_ones_are_left_alone(world: World) -> None:
    decided(world)
    world.instance.add_dynamic_partitions(str(SNAPSHOTS.name), ["snap1"])
    world.asked()
    world.made("dataset_snapshot", "snap1", "snap1")
    world.asked()
    world.made("dataset_manifest", "snap2", check=("can_be_frozen", True))
    assert world.asked() == {}
    world.instance.add_dynamic_partitions(str(SNAPSHOTS.name), ["snap2"])
    assert world.asked() == {"dataset_snapshot": {"snap2"}}


def test_a_trained_model_is_evaluated_and_then_reported(world: World) -> None:
    decided(world)
    world.asked()
    world.instance.add_dynamic_partitions(str(SNAPSHOTS.name), ["snap1"])
    assert world.asked() == {"dataset_snapshot": {"snap1"}}
    world.made("dataset_snapshot", "snap1", "snap1")
    assert world.asked() == {}
    key = str(snapshot_recipe_key("snap1", "smoke@0"))
    world.made("trained_model", "m1", key)
    assert world.asked() == {"evaluation": {key}}
    world.made("evaluation", "e1", key)
    assert world.asked() == {"comparison": {"snap1"}}


def test_models_are_never_trained_by_a_condition(world: World) -> None:
    decided(world)
    world.instance.add_dynamic_partitions(str(SNAPSHOTS.name), ["snap1"])
    world.made("dataset_snapshot", "snap1", "snap1")
    assert "trained_model" not in world.asked()


def run_sensor(world: World, name: str) -> object:
    sensor = world.definitions.resolve_sensor_def(name)
    return sensor(dg.build_sensor_context(instance=world.instance, definitions=world.definitions))


def test_the_sensor_adds_a_passed_manifest_as_a_snapshot_once(world: World) -> None:
    assert isinstance(run_sensor(world, "freeze_passed_manifest"), dg.SkipReason)
    decided(world)
    result = run_sensor(world, "freeze_passed_manifest")
    assert isinstance(result, dg.SensorResult)
    assert [request.partition_keys for request in result.dynamic_partitions_requests or []] == [["snap1"]]
    world.instance.add_dynamic_partitions(str(SNAPSHOTS.name), ["snap1"])
    assert isinstance(run_sensor(world, "freeze_passed_manifest"), dg.SkipReason)


def test_the_reviewed_folder_is_watched_by_its_content(world: World, tmp_path: Path) -> None:
    sensor = world.definitions.resolve_sensor_def("watch_reviewed")

    def tick(cursor: str | None) -> dg.SensorResult | dg.SkipReason:
        return sensor(dg.build_sensor_context(instance=world.instance, cursor=cursor))  # pyright: ignore[reportReturnType]

    reviewed = tmp_path / "review" / "reviewed"
    reviewed.mkdir(parents=True)
    cursor = None
    for text in ("photo_id,decision\n", "photo_id,decision\n1,keep\n"):
        # Half a file is seen and then the whole of it: only what stays the same between two ticks counts.
        (reviewed / "ann.csv").write_text(text)
        seen = tick(cursor)
        assert isinstance(seen, dg.SensorResult)
        assert not seen.asset_events
        cursor = seen.cursor
    settled = tick(cursor)
    assert isinstance(settled, dg.SensorResult)
    (event,) = settled.asset_events
    assert isinstance(event, dg.AssetObservation)
    assert event.tags == {"dagster/data_version": settled.cursor}
    assert isinstance(tick(settled.cursor), dg.SkipReason)


def tick(world: World, name: str, cursor: str | None = None) -> tuple[list[dg.RunRequest], str, str | None]:
    """What a sensor asks for, why nothing if so, and its cursor."""
    sensor = world.definitions.resolve_sensor_def(name)
    found = sensor(dg.build_sensor_context(instance=world.instance, cursor=cursor, definitions=world.definitions))
    if isinstance(found, dg.SensorResult):
        why = found.skip_reason.skip_message if found.skip_reason else None
        return list(found.run_requests or []), str(why), found.cursor
    if isinstance(found, dg.SkipReason):
        return [], str(found.skip_message), cursor
    return found if isinstance(found, list) else [found], "", cursor  # pyright: ignore[reportReturnType]


def ran(world: World, request: dg.RunRequest, status: dg.DagsterRunStatus, ended_s: float | None = None) -> str:
    """Have the requested run, and let it end so, at some time; returns its id."""
    run = create_run_for_test(world.instance, tags=dict(request.tags), status=dg.DagsterRunStatus.STARTED)
    if status != dg.DagsterRunStatus.STARTED:
        kinds = {
            dg.DagsterRunStatus.FAILURE: DagsterEventType.RUN_FAILURE,
            dg.DagsterRunStatus.SUCCESS: DagsterEventType.RUN_SUCCESS,
            dg.DagsterRunStatus.CANCELED: DagsterEventType.RUN_CANCELED,
        }
        event = DagsterEvent(kinds[status].value, run.job_name)
        world.instance.handle_new_event(
            EventLogEntry(None, 20, "", run.run_id, ended_s or time.time(), None, run.job_name, event)
        )
    return run.run_id


FAILED, SUCCEEDED, CANCELED, STARTED = (
    dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.STARTED,
)  # fmt: skip
NOTICES = "watch_imported_and_forgotten"


def test_what_was_imported_or_forgotten_is_noticed_until_it_is_taken_in(world: World, tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert tick(world, NOTICES)[:2] == ([], "nothing was imported or forgotten")
    home.tables.write("imports", empty("imports"))
    (request,), _, _ = tick(world, NOTICES)
    assert request.asset_selection == [dg.AssetKey("imported_photos")]
    version = inputs_version(parse_project(PROJECT, tmp_path / "x"), home, "imported_photos")
    home.tables.write("imported_photos", empty("imported_photos"), inputs_version=version)
    assert not tick(world, NOTICES)[0]
    tombstone = pd.DataFrame({"photo_id": ["flickr:1"], "forgotten_s": [1], "purged_s": [2]})
    home.tables.write("tombstones", tombstone)
    (request,), _, cursor = tick(world, NOTICES)
    assert request.asset_selection == [dg.AssetKey("photo_history")]
    ran(world, request, SUCCEEDED)
    requests, _, cursor = tick(world, NOTICES, cursor)
    assert not requests
    assert not tick(world, NOTICES, cursor)[0]


def test_a_purge_that_is_not_complete_goes_on_when_nothing_else_runs(world: World, tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.tables.write("tombstones", pd.DataFrame({"photo_id": ["flickr:1"], "forgotten_s": [1], "purged_s": [None]}))
    other = create_run_for_test(world.instance, status=STARTED)
    (request,), _, cursor = tick(world, NOTICES)
    ran(world, request, SUCCEEDED, time.time() - 100)
    requests, _, cursor = tick(world, NOTICES, cursor)
    assert not requests, "another run is at work"
    world.instance.report_run_failed(other)
    assert len(tick(world, NOTICES, cursor)[0]) == 1
    home.tables.write("tombstones", pd.DataFrame({"photo_id": ["flickr:1"], "forgotten_s": [1], "purged_s": [2]}))
    assert not tick(world, NOTICES, cursor)[0]


def test_what_failed_is_tried_again_with_pauses_and_not_for_ever(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, now_s = Home(tmp_path), float(int(time.time()))  # whole seconds, which add up without rounding
    monkeypatch.setattr("assets.attempts.time", SimpleNamespace(time=lambda: now_s))
    home.tables.write("imports", empty("imports"))
    (request,), _, _ = tick(world, NOTICES)
    running = ran(world, request, STARTED)
    assert tick(world, NOTICES)[:2] == ([], f"imported_photos: run {running[:8]} is not over")
    world.instance.delete_run(running)
    for pause_s in RETRY_AFTER_S:
        failed = ran(world, request, FAILED, now_s)
        now_s += pause_s - 5
        says = f"imported_photos: run {failed[:8]} did not bring it; tried again in 5 s"
        assert tick(world, NOTICES)[:2] == ([], says)
        now_s += 5
        (request,), _, _ = tick(world, NOTICES)
    ran(world, request, FAILED, now_s)
    now_s += 100 * RETRY_AFTER_S[-1]
    requests, why, _ = tick(world, NOTICES)
    assert not requests
    assert "5 runs did not bring it" in why
    home.tables.write("imports", one_import())
    assert len(tick(world, NOTICES)[0]) == 1, "something new was imported"


def one_import() -> pd.DataFrame:
    row = {
        "photo_id": "folder:1", "domain": "ordinary", "file": "1.jpg", "sha256": "1", "size_bytes": 1, "width_px": 1,
        "height_px": 1, "format": "JPEG", "frames": 1, "imported_at_s": 1,
    }  # fmt: skip
    return conform("imports", pd.DataFrame([row]))


def test_settings_that_come_back_are_taken_in_again(world: World, tmp_path: Path) -> None:
    home = Home(tmp_path)
    for imports in (empty("imports"), one_import(), empty("imports")):
        home.tables.write("imports", imports)
        (request,), _, _ = tick(world, NOTICES)
        ran(world, request, SUCCEEDED)


def test_a_cancelled_training_is_not_started_again(world: World) -> None:
    decided(world)
    world.instance.add_dynamic_partitions(str(SNAPSHOTS.name), ["snap1"])
    world.made("dataset_snapshot", "snap1", "snap1")
    (request,), _, _ = tick(world, "train_automatic_recipes")
    ran(world, request, FAILED, time.time() - RETRY_AFTER_S[0])
    (request,), _, _ = tick(world, "train_automatic_recipes")
    cancelled = ran(world, request, CANCELED, time.time() - RETRY_AFTER_S[-1])
    requests, why, _ = tick(world, "train_automatic_recipes")
    assert not requests
    assert f"smoke@0|snap1: run {cancelled[:8]} was cancelled" in why


def test_imported_photos_and_a_tombstone_go_on_downstream(world: World) -> None:
    decided(world)
    world.asked()
    world.made("imported_photos", "v1")
    assert world.asked() == {"photo_history": {"None"}, "unique_photos": {"None"}}
    assert world.asked() == {}
    world.made("photo_history", "with a tombstone")
    assert world.asked() == {"unique_photos": {"None"}}


def test_photos_that_no_listing_shows_are_asked_about_on_the_hour(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, key = Home(tmp_path), "ordinary|2024-01"
    assert isinstance(run_sensor(world, "ask_about_absent_photos"), dg.SkipReason)
    version = inputs_version(parse_project(PROJECT, tmp_path / "x"), home, "photo_listing", key)
    home.tables.write("photo_listing", empty("photo_listing"), key, version)
    row = {
        "photo_id": "flickr:1", "partition": key, "configuration": version.split("-")[0], "first_seen_s": 1,
        "last_seen_s": 1, "title": "", "tags": "", "stricter": False, "absent": True, "forgotten": False,
    }  # fmt: skip
    home.tables.write("photo_history", pd.DataFrame([row]))
    assert isinstance(run_sensor(world, "ask_about_absent_photos"), dg.SkipReason), "without a key nobody can be asked"
    for variable in ("FLICKR_API_KEY", "FLICKR_API_SECRET"):
        monkeypatch.setenv(variable, "x")
    request = run_sensor(world, "ask_about_absent_photos")
    assert isinstance(request, dg.RunRequest)
    assert request.asset_selection == [dg.AssetKey("photo_history")]
    home.tables.write("photo_history", pd.DataFrame([{**row, "asked_s": 2}]))
    assert isinstance(run_sensor(world, "ask_about_absent_photos"), dg.SkipReason)


def test_metadata_learnt_later_asks_for_the_manifest_alone(world: World, tmp_path: Path) -> None:
    home, project = Home(tmp_path), parse_project(PROJECT, tmp_path / "x")
    images = {"domain": "ordinary", "split_key": "k", "sha256": "s", "transform": "t", "shard": "one", "row": 0,
              "pixels_sha256": "p", "alpha_sha256": "q"}  # fmt: skip
    home.tables.write("training_images", conform("training_images", pd.DataFrame([{"photo_id": "folder:1", **images}])))

    def listed(number: int, **told: object) -> str:
        facts = {
            "photo_id": f"folder:{number}", "domain": "ordinary", "month": "imported", "query": 0, "owner": "", "title": "",
            "tags": "", "date_upload_s": 1, "media": "photo", "page_url": "", "truncated": False, "fetched_at_s": 1, **told,
        }  # fmt: skip
        rows[number] = facts
        frame = pd.DataFrame(rows.values()).reindex(columns=columns_of("photo_listing"))
        home.tables.write("photo_listing", conform("photo_listing", frame), "ordinary|imported")
        return inputs_version(project, home, "dataset_manifest")

    rows: dict[int, dict[str, object]] = {}
    version = listed(1)
    assert not tick(world, "watch_metadata")[0], "there is no manifest"
    home.tables.write("dataset_manifest", empty("dataset_manifest"), inputs_version=version)
    assert listed(1, views=7, fetched_at_s=9, tags="a") == listed(2, title="of another photo") == version
    assert not tick(world, "watch_metadata")[0]
    assert len({version, listed(1, owner="ann"), listed(1, license="4"), listed(1, title="t"), listed(1, page_url="x")}) == 5
    (request,) = tick(world, "watch_metadata")[0]
    assert request.asset_selection == [dg.AssetKey("dataset_manifest")]


def test_only_automatic_recipes_are_trained_on_a_new_snapshot(world: World) -> None:
    assert isinstance(run_sensor(world, "train_automatic_recipes"), dg.SkipReason)
    world.instance.add_dynamic_partitions(str(SNAPSHOTS.name), ["snap0", "snap1"])
    world.made("dataset_snapshot", "snap0", "snap0")
    decided(world)
    assert isinstance(run_sensor(world, "train_automatic_recipes"), dg.SkipReason)
    world.made("dataset_snapshot", "snap1", "snap1")
    requests = run_sensor(world, "train_automatic_recipes")
    assert isinstance(requests, list)
    assert [str(request.partition_key) for request in requests] == ["smoke@0|snap1"]
    world.made("trained_model", "m", "smoke@0|snap1")
    assert isinstance(run_sensor(world, "train_automatic_recipes"), dg.SkipReason)


def test_the_weekly_schedule_lists_the_last_two_months_or_says_why_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = world.definitions.resolve_schedule_def("weekly_rescrape")
    tick = dg.build_schedule_context(scheduled_execution_time=datetime(2024, 2, 5, 3, tzinfo=UTC))
    for variable in ("FLICKR_API_KEY", "FLICKR_API_SECRET"):
        monkeypatch.delenv(variable, raising=False)
    skipped = schedule(tick)
    assert isinstance(skipped, dg.SkipReason)
    assert "FLICKR_API_KEY and FLICKR_API_SECRET not set" in str(skipped.skip_message)
    for variable in ("FLICKR_API_KEY", "FLICKR_API_SECRET"):
        monkeypatch.setenv(variable, "x")
    requests = schedule(tick)
    assert isinstance(requests, list)
    assert {str(request.partition_key) for request in requests} == set(map(str, MONTHS))
    assert len({request.run_key for request in requests}) == 4
    assert all(len(request.asset_selection or ()) == 3 for request in requests)


def test_every_older_month_has_its_turn_within_the_weeks(tmp_path: Path) -> None:
    """Two years of two domains, twelve weekly ticks: 44 older months, each once, at most four at a tick."""
    text = PROJECT.replace('"2024-02"', '"2025-12"') + "[domains.own]\n"
    project, home = parse_project(text, tmp_path / "x.toml"), Home(tmp_path)
    ticks = [datetime(2025, 12, 1, 3, tzinfo=UTC) + timedelta(weeks=week) for week in range(12)]
    recent = {f"{domain}|2025-{month}" for domain in ("ordinary", "shallow") for month in (11, 12)}
    rotated: list[str] = []
    for tick in ticks[:4]:
        keys = due_for_rescrape(project, home, tick)
        assert set(keys[:4]) == recent
        assert len(keys) == 4 + 4
        rotated += keys[4:]
        for key in keys:
            home.tables.write("photo_listing", empty("photo_listing"), key, made_s=tick.timestamp())
    assert rotated == sorted(rotated, key=lambda key: (key in rotated, rotated.index(key)))
    assert len(set(rotated)) == 16
    oldest = [key for key in due_for_rescrape(project, home, ticks[4]) if key not in recent]
    assert not set(oldest) & set(rotated), "the longest unlisted come first"


def test_a_daily_schedule_takes_fewer_months_at_a_tick(tmp_path: Path) -> None:
    text = PROJECT.replace('from = "2024-01"\nto = "2024-02"', 'from = "2010-01"\nto = "2024-02"\nschedule = "0 3 * * *"')
    project = parse_project(text, tmp_path / "x.toml")
    tick = datetime(2026, 1, 1, 3, tzinfo=UTC)
    assert len(due_for_rescrape(project, Home(tmp_path), tick)) == -(-340 // 84)


def test_without_queries_the_schedule_says_so(tmp_path: Path) -> None:
    text = "[domains.ordinary]\n[domains.shallow]\n"
    definitions = build_definitions(parse_project(text, tmp_path / "x.toml"), Home(tmp_path), tmp_path)
    tick = dg.build_schedule_context(scheduled_execution_time=datetime(2025, 2, 3, 3, tzinfo=UTC))
    skipped = definitions.resolve_schedule_def("weekly_rescrape")(tick)
    assert isinstance(skipped, dg.SkipReason)
    assert "no query of the project covers a month" in str(skipped.skip_message)


@pytest.mark.parametrize(
    ("now", "months"), [(datetime(2024, 1, 1), ["2023-12", "2024-01"]), (datetime(2024, 12, 31), ["2024-11", "2024-12"])]
)
def test_recent_months(now: datetime, months: list[str]) -> None:
    assert recent_months(now) == months
