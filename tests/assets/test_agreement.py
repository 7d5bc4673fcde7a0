"""`run` and `dev` make the same, whatever was edited before, and then want nothing."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.headless import HeadlessRun
from assets.jobs import snapshots_of
from assets.partitions import SNAPSHOTS
from assets.sensors import next_runs
from pipeline.operations.due import Due, WaitingForDecisions
from pipeline.operations.planning import Plan
from pipeline.tables import conform
from resources.trainer import TrainingsAhead
from tests.assets.made_up import SETTINGS, MadeUp, digest

VALUES = {
    "queries": ['[{ text = "portrait" }]', '[{ text = "portrait" }, { text = "face" }]'],
    "radius_bits": ["6", "8"],
    "min_edge_px": ["64", "96"],
    "batch_size": ["500", "400"],
    "views": ["4", "1"],
    "split": ['"share"', '"study"'],
    "perceptual": ["false", "true"],
    "automatic": ["[]", '["one"]', '["one", "two"]'],
    "profile": ['"smoke"', '"small"'],
    "rules": ["[]", '[{ name = "many", hint = "people", above = 3, reason = "wrong_tag" }]'],
}
Edit = tuple[str, str]
EDITS = st.one_of(
    *(st.tuples(st.just(name), st.sampled_from(values)) for name, values in VALUES.items()),
    st.tuples(st.just("decide"), st.sampled_from(["ann", "bo"])),
    st.tuples(st.sampled_from(["import", "forget"]), st.sampled_from(["1", "2"])),
    st.tuples(st.just("lose"), st.sampled_from(["blobs", "masks", "shards", "thumbnails", "tables", "reports"])),
)


def edit(world: MadeUp, change: Edit) -> None:
    """What a person, or the world, does to a home."""
    kind, what = change
    if kind in SETTINGS:
        world.settings[kind] = what
        return
    {"decide": _decide, "import": _import, "forget": _forget, "lose": _lose}[kind](world, what)


def _decide(world: MadeUp, what: str) -> None:
    world.home.reviewed.mkdir(parents=True, exist_ok=True)
    path = world.home.reviewed / f"{what}.csv"
    path.write_text((path.read_text() if path.exists() else "photo_id,decision\n") + "1,keep\n")


def _import(world: MadeUp, what: str) -> None:
    row = {
        "photo_id": f"folder:{what}", "domain": "ordinary", "file": "1.jpg", "sha256": digest(what), "size_bytes": 1,
        "width_px": 1, "height_px": 1, "format": "JPEG", "frames": 1, "imported_at_s": 1,
    }  # fmt: skip
    world.home.tables.write("imports", conform("imports", pd.DataFrame([row])))


def _forget(world: MadeUp, what: str) -> None:
    known = world.home.tables.read_or_empty("tombstones")
    if what not in set(known["photo_id"]):
        row = pd.DataFrame([{"photo_id": what, "forgotten_s": 1, "purged_s": 2}])
        world.home.tables.write("tombstones", pd.concat([known, row]) if len(known) else row)


def _lose(world: MadeUp, what: str) -> None:
    """The first file of a folder goes."""
    files = sorted(path for path in (world.root / what).rglob("*") if path.is_file()) if (world.root / what).exists() else []
    if files:
        files[0].unlink()


class Faked(HeadlessRun):
    """`run` that makes things up."""

    world: MadeUp

    def _execute(self, job: str, names: Sequence[str], key: str | None, why: str) -> None:
        for name in names:
            self.world.make(name, key)

    def _train_ahead(self, ahead: TrainingsAhead, due: Sequence[Due]) -> bool:
        """Made-up models are made at once."""
        return False


def run(world: MadeUp, instance: dg.DagsterInstance) -> None:
    headless = Faked(world.project, world.home, world.root, dg.Definitions(), instance, lambda line: None)
    headless.planner, headless.world = world.planner, world
    with suppress(WaitingForDecisions):
        headless.go(Plan())


def dev(world: MadeUp, instance: dg.DagsterInstance) -> None:
    """Ticks of the sensor until it starts nothing more; each run ends before the next tick."""
    seen: dict[str, str] = {}
    for _ in range(200):
        found = next_runs(world.planner, instance, seen)
        if not found.due and found.unsettled == seen:
            return
        seen = found.unsettled
        for one in (due for started in found.due for due in started):
            world.make(*one.name)
    raise AssertionError("it never ends")


def copied(world: MadeUp, root: Path) -> MadeUp:
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(world.root, root)
    return MadeUp(root, dict(world.settings), dict(world.made))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a table holds is what it says it is; and there is a key."""
    monkeypatch.setattr("pipeline.operations.training.code_revision", lambda: "c0de")
    for variable in ("FLICKR_API_KEY", "FLICKR_API_SECRET"):
        monkeypatch.setenv(variable, "x")


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@settings(max_examples=5, deadline=None)
@given(st.lists(st.lists(EDITS, min_size=1, max_size=3), min_size=1, max_size=4))
def test_run_and_dev_make_the_same_after_any_edits_and_then_nothing(
    tmp_path_factory: pytest.TempPathFactory, instance: dg.DagsterInstance, rounds: list[list[Edit]]
) -> None:
    base = tmp_path_factory.mktemp("homes")
    first = MadeUp(base / "0")
    first.root.mkdir()
    for number, edits in enumerate([[], *rounds], 1):
        for change in edits:
            edit(first, change)
        second = copied(first, base / str(number))
        before = len(first.history)
        run(first, instance)
        dev(second, instance)
        assert sorted(map(str, set(first.history[before:]))) == sorted(map(str, set(second.history)))
        for world in (first, second):
            assert world.planner.outlook().due == []
    shutil.rmtree(base)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("radius_bits", "8"), "`unique_photos`: `dedupe.radius_bits` 6 → 8"),
        (("profile", '"small"'), None),
        (("perceptual", "true"), None),
        (("views", "1"), "`person_masks`: `masks.views` 4 → 1; the segmenter changed"),
        (("split", '"study"'), '`dataset_manifest`: `dataset.split` "share" → "study"'),
        (("decide", "bo"), "`curated_photos`: the reviewed decisions changed"),
        (("lose", "blobs"), "`photo_files` ordinary|2024-01: 1 file is missing"),
        (("lose", "masks"), "`person_masks`: 1 mask is missing"),
        (("import", "1"), "`imported_photos`: `imports` is new"),
        (("forget", "1"), "`photo_history`: `tombstones` is new"),
        (("automatic", '["one"]'), "`trained_model` one@0|SNAPSHOT: was never trained"),
    ],
)
def test_the_reason_is_told_in_words(tmp_path: Path, instance: dg.DagsterInstance, change: Edit, reason: str | None) -> None:
    world = MadeUp(tmp_path / "home")
    world.root.mkdir()
    edit(world, ("decide", "ann"))
    run(world, instance)
    edit(world, change)
    (snapshot,) = [partition for asset, partition in world.made if asset == "dataset_snapshot"]
    told = [str(due).replace(str(snapshot), "SNAPSHOT") for due in world.planner.outlook().due]
    assert told[:1] == ([reason] if reason else [])


def test_a_snapshot_that_dagster_never_heard_of_is_trained_on(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """That of a home which was copied, or which it was restored into."""
    world = MadeUp(tmp_path / "home")
    world.root.mkdir()
    edit(world, ("decide", "ann"))
    run(world, instance)
    edit(world, ("automatic", '["one"]'))
    (snapshot,) = [partition for asset, partition in world.made if asset == "dataset_snapshot"]
    assert snapshots_of(world.planner.outlook().due) == [snapshot]
    with dg.DagsterInstance.ephemeral() as another:
        run(world, another)
        assert another.get_dynamic_partitions(str(SNAPSHOTS.name)) == [snapshot]
    assert world.history[-3] == ("trained_model", f"one@0|{snapshot}")


def test_what_models_are_judged_by_is_told_in_words(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    world = MadeUp(tmp_path / "home")
    world.root.mkdir()
    for change in (("decide", "ann"), ("automatic", '["one"]')):
        edit(world, change)
    run(world, instance)
    assert [asset for asset, _ in world.history[-3:]] == ["trained_model", "evaluation", "comparison"]
    edit(world, ("perceptual", "true"))
    (due,) = world.planner.outlook().due
    assert due.why.startswith("`evaluation.perceptual` false → true")
    world.settings["views"] = "1"
    assert "the segmenter changed" in next(one for one in world.planner.outlook().due if one.asset == "evaluation").why
