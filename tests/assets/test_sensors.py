"""What `dev` starts by itself: nothing too early, nothing too often, each run with its reason."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from assets.attempts import ASKED_FOR, RETRY_AFTER_S, attempt_tags
from assets.headless import open_instance
from assets.jobs import WHY_TAG
from assets.schedules import due_for_rescrape, recent_months
from assets.sensors import Next, next_runs
from pipeline.config import load_project, parse_project
from pipeline.definitions import build_definitions
from pipeline.operations.due import Due, Outlook, Waiting
from pipeline.operations.months import listed_keys
from pipeline.operations.planning import Planner
from pipeline.operations.snapshots_due import UNRECORDED
from pipeline.operations.stages import PHOTO_TABLES, provenance_of
from pipeline.tables import empty
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
"""
KEY = "ordinary|2024-01"
MONTHS = {f"{domain}|2024-{month}" for domain in ("ordinary", "shallow") for month in ("01", "02")}
FAILED, SUCCEEDED, CANCELED, STARTED = (
    dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.STARTED,
)  # fmt: skip


class Told(Planner):
    """A planner that answers what it is told to."""

    told: Outlook

    def outlook(self, scope: object = None) -> Outlook:
        return self.told


class World:
    """A sensor's view of a home of which one says what is due."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.instance, self.home = instance, Home(folder)
        self.file = folder / "x.toml"
        self.file.write_text(PROJECT)
        self.project = load_project(self.file)
        self.definitions = build_definitions(self.project, self.home, self.file)
        self.planner = Told(self.project, self.home, folder, None)
        self.seen: dict[str, str] = {}

    def tick(self, *due: Due, waiting: tuple[Waiting, ...] = ()) -> Next:
        """What is started while this is due."""
        object.__setattr__(self.planner, "told", Outlook(list(due), list(waiting)))
        found = next_runs(self.planner, self.instance, self.seen)
        self.seen = found.unsettled
        return found

    def started(self, *due: Due) -> list[list[str]]:
        """Labels of what each run that is started makes."""
        return [[one.label for one in run] for run in self.tick(*due).due]

    def ran(self, due: Due, status: dg.DagsterRunStatus) -> str:
        """Have a run for what is due that ended so just now, or is not over; returns its id."""
        tags = {**attempt_tags(due), **({"dagster/partition": due.partition} if due.partition else {})}
        selected = frozenset({dg.AssetKey(due.asset)})
        run = dg.DagsterRun(job_name="any", tags=tags, status=status, asset_selection=selected)
        return self.instance.add_run(run).run_id


@pytest.fixture(autouse=True)
def _with_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("FLICKR_API_KEY", "FLICKR_API_SECRET"):
        monkeypatch.setenv(variable, "x")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(tmp_path, instance)


def due(asset: str, partition: str | None = None, why: str = "was never made", **more: object) -> Due:
    return Due(asset, partition, (why,), **more)


def test_what_was_never_made_of_a_month_is_made_in_one_run(world: World) -> None:
    month = [due(name, KEY) for name in ("photo_listing", "photo_files", "fingerprints")]
    other = due("photo_listing", "ordinary|2024-02", "its code changed")
    assert world.started(*month, other) == [[one.label for one in month], [other.label]]


def test_what_comes_after_waits_for_what_comes_before(world: World) -> None:
    table, month, model = due("unique_photos"), due("photo_files", KEY, "1 file is missing"), due("evaluation", "a@0|s")
    assert world.started(month, table, model) == [[month.label]]
    assert world.started(table, model) == [[table.label]]
    assert world.started(model) == [[model.label]]
    world.ran(month, STARTED)
    assert world.started(table, model) == []


def test_a_months_runs_hold_up_no_other_month_and_a_models_none_of_another(world: World) -> None:
    listing, files = due("photo_listing", "ordinary|2024-02", "x"), due("photo_files", KEY, "x")
    assert world.started(listing, files) == [[listing.label], [files.label]]
    first, second, report = due("trained_model", "a@0|s"), due("evaluation", "b@0|s"), due("comparison", "s")
    assert world.started(second, first, report) == [[second.label], [first.label]]
    world.ran(first, STARTED)
    assert world.started(second, report) == [[second.label]]
    assert world.started(due("evaluation", "a@0|s")) == []


def test_what_is_being_made_is_not_asked_for_again_whoever_makes_it(world: World) -> None:
    selected = frozenset({dg.AssetKey("unique_photos")})
    world.instance.add_run(dg.DagsterRun(job_name="any", status=STARTED, asset_selection=selected))
    assert world.started(due("unique_photos")) == []


def test_what_ends_while_the_planner_looks_is_not_asked_for_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The planner may have asked for its record before it was there."""
    run = world.ran(due("photo_listing", KEY), STARTED)

    def outlook(planner: Told) -> Outlook:
        world.instance.report_run_failed(world.instance.get_run_by_id(run))
        return planner.told

    monkeypatch.setattr(Told, "outlook", outlook)
    assert world.started(due("photo_listing", KEY, UNRECORDED)) == []
    assert world.started(due("photo_listing", KEY, UNRECORDED)) == [[f"photo_listing {KEY}"]]


@pytest.mark.filterwarnings("ignore:Non-compliant tag keys")
def test_months_are_asked_about_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at ten years of months, each for itself, takes seconds, and there is one every few seconds."""
    asked, look = list[object](), world.instance.fetch_materializations

    def fetch(filters: dg.AssetRecordsFilter, limit: int) -> object:
        asked.append(filters.asset_partitions)
        return look(filters, limit)

    for key in MONTHS:
        made = provenance_of(world.project, world.home, "photo_listing", key)
        world.home.tables.write("photo_listing", empty("photo_listing"), key, made, made_s=1.0)
        world.instance.report_runless_asset_event(dg.AssetMaterialization("photo_listing", partition=key))
    monkeypatch.setattr(world.instance, "fetch_materializations", fetch)
    sensor = world.definitions.resolve_sensor_def("what_is_due")
    context = dg.build_sensor_context(instance=world.instance, definitions=world.definitions)
    assert sensor.evaluate_tick(context).run_requests
    assert asked == [None]


def test_what_people_put_there_is_taken_when_it_has_not_changed_since_the_tick_before(world: World) -> None:
    curated = due("curated_photos", None, "the reviewed decisions changed")
    reviewed = world.home.reviewed
    reviewed.mkdir(parents=True)
    for text in ("photo_id,decision\n", "photo_id,decision\n1,keep\n"):
        (reviewed / "ann.csv").write_text(text)
        assert world.started(curated, due("person_masks")) == []
    assert world.started(curated) == [["curated_photos"]]


def test_what_failed_is_tried_again_with_pauses_and_not_for_ever(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    wish, now_s = due("imported_photos", None, "`imports` changed"), time.time()
    clock = type("Clock", (), {"time": staticmethod(lambda: now_s)})
    for number, pause_s in enumerate(RETRY_AFTER_S, 1):
        run = world.ran(wish, FAILED)
        monkeypatch.setattr("assets.attempts.time", clock)
        now_s = time.time() + pause_s - 5
        said = world.tick(wish).why_not[0]
        assert said.startswith(f"imported_photos: run {run[:8]} did not bring it; tried again in"), number
        now_s = time.time() + pause_s + 5
        assert world.started(wish) == [["imported_photos"]]
    world.ran(wish, FAILED)
    now_s = time.time() + 2 * RETRY_AFTER_S[-1]
    assert "5 runs did not bring it" in world.tick(wish).why_not[0]
    assert world.started(due("imported_photos", None, "another reason")) == [["imported_photos"]]


def test_a_clock_that_was_ahead_holds_nothing_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    wish, now_s = due("imported_photos", None, "`imports` changed"), time.time() - 365 * 86_400
    world.ran(wish, FAILED)
    monkeypatch.setattr("assets.attempts.time", type("Clock", (), {"time": staticmethod(lambda: now_s)}))
    assert world.started(wish) == [["imported_photos"]]


def test_the_same_reason_with_other_inputs_is_no_second_try(world: World) -> None:
    """Whoever decides all day while `dev` is open hands in many times."""
    versions = [f"version {number}" for number in range(len(RETRY_AFTER_S) + 2)]
    wishes = [due("unique_photos", None, "`fingerprints` changed", inputs=version) for version in versions]
    for wish in wishes:
        assert world.started(wish) == [["unique_photos"]]
        world.ran(wish, dg.DagsterRunStatus.SUCCESS)
    assert "did not bring it; tried again in" in world.tick(wishes[-1]).why_not[0]


def test_a_month_whose_source_was_away_for_days_is_tried_once_a_day(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    wish, now_s = due("photo_listing", KEY), time.time()
    monkeypatch.setattr("assets.attempts.time", type("Clock", (), {"time": staticmethod(lambda: now_s)}))
    for _ in range(7):
        world.ran(wish, FAILED)
    now_s = time.time() + RETRY_AFTER_S[-1] - 5
    assert "did not bring it; tried again in" in world.tick(wish).why_not[0]
    now_s = time.time() + RETRY_AFTER_S[-1] + 5
    assert world.started(wish) == [[wish.label]]
    world.ran(wish, CANCELED)
    assert "was cancelled" in world.tick(wish).why_not[0]


def test_what_somebody_cancelled_is_not_started_again(world: World) -> None:
    wish = due("trained_model", "smoke@0|s")
    run = world.ran(wish, CANCELED)
    assert f"run {run[:8]} was cancelled" in world.tick(wish).why_not[0]


def test_what_comes_in_portions_comes_with_pauses(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    wish = due("photo_history", None, "700 absent photos are to be asked about", pause_s=3600)
    assert world.started(wish) == [["photo_history"]]
    world.ran(due("photo_history", None, "1,200 absent photos are to be asked about", pause_s=3600), SUCCEEDED)
    assert "again in" in world.tick(wish).why_not[0]


def test_what_comes_in_portions_pauses_longer_while_nothing_comes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flickr may be away for a week, or its key no longer count: a run each hour would leave a hundred."""

    def at(seconds: float) -> None:
        monkeypatch.setattr("assets.attempts.time", type("Clock", (), {"time": staticmethod(lambda: time.time() + seconds)}))

    wish = due("photo_history", None, "700 absent photos are to be asked about", pause_s=3600)
    for hours in (1, 2, 4, 8, 16, 24, 24):
        world.ran(wish, SUCCEEDED)
        at(hours * 3600 - 5)
        assert "again in" in world.tick(wish).why_not[0]
        at(hours * 3600 + 5)
        assert world.started(wish) == [["photo_history"]]
    fewer = due("photo_history", None, "200 absent photos are to be asked about", pause_s=3600)
    at(3600 + 5)
    assert world.started(fewer) == [["photo_history"]]
    daily = due("photo_files", KEY, "3 files are to be tried again", pause_s=86_400)
    for _ in range(4):
        world.ran(daily, SUCCEEDED)
    at(86_400 + 5)
    assert world.started(daily) == [[daily.label]]


def test_what_needs_quiet_waits_for_it(world: World) -> None:
    wish = due("photo_history", None, "1 forgotten photo is not purged yet", needs_quiet=True)
    world.ran(due("comparison", "s"), STARTED)
    assert world.started(wish) == []
    for run in world.instance.get_runs():
        world.instance.report_run_failed(run)
    assert world.started(wish) == [["photo_history"]]


def test_without_a_key_a_listing_holds_nothing_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLICKR_API_KEY")
    found = world.tick(due("photo_listing", KEY, "x"), due("unique_photos"))
    assert [[one.label for one in run] for run in found.due] == [["unique_photos"]]
    assert "FLICKR_API_KEY not set" in found.why_not[0]


def test_without_a_key_nothing_is_asked_of_a_month_that_was_never_listed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files and fingerprints would fail, a run for each month, and again the next day."""
    monkeypatch.delenv("FLICKR_API_KEY")
    month = [due(name, KEY) for name in PHOTO_TABLES]
    assert world.started(*month) == []
    lost = due("photo_files", KEY, "1 file is missing")  # of a month that was listed before the key went
    assert world.started(due("photo_listing", KEY, "its code changed"), lost) == [[lost.label]]


def test_what_could_not_be_made_is_awaited_by_what_is_made_from_it_and_imports_are_by_nobody(world: World) -> None:
    tables = [due(name) for name in ("imported_photos", "unique_photos", "photo_hints", "review_queue")]
    world.ran(tables[0], FAILED)
    assert world.started(*tables) == [["unique_photos"]]
    world.ran(tables[1], FAILED)
    assert world.started(*tables) == []


def test_what_waits_for_decisions_is_said(world: World) -> None:
    found = world.tick(waiting=(Waiting("curated_photos", {"enough_kept": "3 of 10"}),))
    assert (found.due, found.why_not) == ([], ["curated_photos waits: enough_kept did not pass"])


@pytest.mark.filterwarnings("ignore:Non-compliant tag keys")  # Dagster's own, of partitions with two dimensions
def test_the_sensor_asks_for_runs_that_dagster_can_start(world: World) -> None:
    sensor = world.definitions.resolve_sensor_def("what_is_due")
    context = dg.build_sensor_context(instance=world.instance, definitions=world.definitions)
    answer = sensor.evaluate_tick(context)
    requests = list(answer.run_requests or [])
    collect = [request for request in requests if request.job_name == "collect"]
    assert {str(request.partition_key) for request in collect} == MONTHS
    assert all(len(request.asset_selection or ()) == 3 for request in collect)
    assert all(request.tags["dagster/partition"] == str(request.partition_key) for request in collect)
    assert {request.tags[WHY_TAG] for request in requests} == {"was never made"}
    assert all(request.tags[ASKED_FOR] for request in requests)
    assert json.loads(answer.cursor or "") == {}


@pytest.mark.filterwarnings("ignore:Non-compliant tag keys")
def test_a_model_of_a_snapshot_that_dagster_never_heard_of_can_be_started(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of a home which was copied, or which it was restored into."""
    model = due("trained_model", "smoke@0|s")
    monkeypatch.setattr("assets.sensors.Planner.outlook", lambda planner: Outlook([model], []))
    sensor = world.definitions.resolve_sensor_def("what_is_due")
    with open_instance(world.home) as instance:  # on disk, as a code server asks it for partitions
        context = dg.build_sensor_context(instance_ref=instance.get_ref(), definitions=world.definitions)
        answer = sensor.evaluate_tick(context)
    assert [request.partition_key for request in answer.run_requests or []] == [model.partition]
    assert [request.partition_keys for request in answer.dynamic_partitions_requests or []] == [["s"]]


@pytest.mark.filterwarnings("ignore:Non-compliant tag keys")
def test_nothing_is_started_by_a_project_file_that_was_changed_since_it_was_loaded(world: World) -> None:
    """The run would read the new one, and what was found due by the old one would be so again."""
    sensor = world.definitions.resolve_sensor_def("what_is_due")
    context = dg.build_sensor_context(instance=world.instance, definitions=world.definitions, cursor='{"a": "b"}')
    for changed, why_not in (
        (
            PROJECT + "[dedupe]\nradius_bits = 4\n",
            "x.toml says something else by now; it counts from `Reload definitions` on",
        ),
        (PROJECT + "[dedupe\n", "until the project file is mended"),
        (PROJECT + "[dedupe]\nradius = 4\n", "dedupe.radius: unknown key"),
    ):
        world.file.write_text(changed)
        answer = sensor.evaluate_tick(context)
        assert not answer.run_requests
        assert why_not in str(answer.skip_message)
        assert answer.cursor == '{"a": "b"}'
    world.file.write_text(PROJECT + "# a remark\n")
    assert sensor.evaluate_tick(context).run_requests


def test_the_weekly_schedule_lists_the_last_two_months_or_says_why_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = world.definitions.resolve_schedule_def("weekly_rescrape")
    tick = dg.build_schedule_context(instance=world.instance, scheduled_execution_time=datetime(2024, 2, 5, 3, tzinfo=UTC))
    requests = schedule(tick)
    assert isinstance(requests, list)
    assert {str(request.partition_key) for request in requests} == MONTHS
    assert len({request.run_key for request in requests}) == 4
    assert all(len(request.asset_selection or ()) == 3 for request in requests)
    for variable in ("FLICKR_API_KEY", "FLICKR_API_SECRET"):
        monkeypatch.delenv(variable, raising=False)
    skipped = schedule(tick)
    assert isinstance(skipped, dg.SkipReason)
    assert "FLICKR_API_KEY and FLICKR_API_SECRET not set" in str(skipped.skip_message)


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


def test_a_month_that_a_clock_ahead_listed_has_its_turn_first(tmp_path: Path) -> None:
    """Else it would have none for years."""
    project, home = parse_project(PROJECT.replace('"2024-02"', '"2025-12"'), tmp_path / "x.toml"), Home(tmp_path)
    tick = datetime(2025, 12, 1, 3, tzinfo=UTC)
    for key in listed_keys(project):
        at_s = time.time() + 10 * 365 * 86_400 if key == "shallow|2024-05" else tick.timestamp() - 86_400
        home.tables.write("photo_listing", empty("photo_listing"), key, made_s=at_s)
    assert due_for_rescrape(project, home, tick)[4] == "shallow|2024-05"


def test_a_daily_schedule_takes_fewer_months_at_a_tick(tmp_path: Path) -> None:
    text = PROJECT.replace('from = "2024-01"\nto = "2024-02"', 'from = "2010-01"\nto = "2024-02"\nschedule = "0 3 * * *"')
    project = parse_project(text, tmp_path / "x.toml")
    tick = datetime(2026, 1, 1, 3, tzinfo=UTC)
    assert len(due_for_rescrape(project, Home(tmp_path), tick)) == -(-340 // 84)


def test_without_queries_the_schedule_says_so(tmp_path: Path) -> None:
    text = "[domains.ordinary]\n[domains.shallow]\n"
    definitions = build_definitions(parse_project(text, tmp_path / "x.toml"), Home(tmp_path), tmp_path / "x.toml")
    tick = dg.build_schedule_context(scheduled_execution_time=datetime(2025, 2, 3, 3, tzinfo=UTC))
    skipped = definitions.resolve_schedule_def("weekly_rescrape")(tick)
    assert isinstance(skipped, dg.SkipReason)
    assert "no query of the project covers a month" in str(skipped.skip_message)


@pytest.mark.parametrize(
    ("now", "months"), [(datetime(2024, 1, 1), ["2023-12", "2024-01"]), (datetime(2024, 12, 31), ["2024-11", "2024-12"])]
)
def test_recent_months(now: datetime, months: list[str]) -> None:
    assert recent_months(now) == months
