"""A run that leaves nothing due keeps what Dagster answered; while nothing changes, the next one does without it."""

import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

import assets.headless
import assets.old_runs
from assets.headless import open_instance
from pipeline.config import load_project
from pipeline.errors import ConfigError
from pipeline.headless import run_plan
from pipeline.operations import stages
from pipeline.operations.kept_records import is_current
from pipeline.operations.planning import Plan
from pipeline.operations.stages import provenance_of
from pipeline.package_files import POSTGRES_VARIABLE
from storage import Home
from storage.blobs import BlobStore
from storage.provenance import differences
from tests.pipeline.operations.test_planning import FORMER_HOME, SNAPSHOT


@pytest.fixture(scope="module")
def settled_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("settled") / "home"
    with tarfile.open(FORMER_HOME) as archive:
        archive.extractall(root, filter="data")
    assert go(Home(root)) == SNAPSHOT
    return root


@pytest.fixture
def settled(settled_once: Path, tmp_path: Path) -> Home:
    """A home in which a run has left nothing due."""
    return Home(shutil.copytree(settled_once, tmp_path / "home", symlinks=True))


def go(home: Home, plan: Plan | None = None) -> str | None:
    path = home.root / "bokehflow.toml"
    return run_plan(plan or Plan(), load_project(path), path, home, lambda words: None)


def needs_nothing(home: Home) -> bool:
    project = load_project(home.root / "bokehflow.toml")
    return is_current(project, home, home.root, Plan().scope(project))


def test_dagster_is_not_asked_again(settled: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets.headless, "open_instance", lambda home: pytest.fail("Dagster was asked"))
    assert go(settled) == SNAPSHOT
    assert go(settled, Plan(until="review_queue")) is None
    for others in ("dev", "at-work"):
        with settled.lock(others), pytest.raises(Exception, match="at work in this home"):
            go(settled)


def test_records_of_old_runs_go_with_the_next_run_and_nothing_is_due_for_want_of_them(
    settled: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_instance(settled) as instance:
        needed = set(instance.get_run_ids())
        instance.add_run(dg.DagsterRun("dataset", run_id="0" * 32, status=dg.DagsterRunStatus.SUCCESS))
    monkeypatch.setattr(assets.old_runs, "KEPT_FOR", timedelta(0))
    assert go(settled) == SNAPSHOT
    with open_instance(settled) as instance:
        assert set(instance.get_run_ids()) == needed
    assert needs_nothing(settled)


def test_dagster_is_not_even_imported(settled: Home) -> None:
    code = "import sys\nfrom pipeline.cli import main\nmain()\nprint('dagster' in sys.modules, 'torch' in sys.modules)"
    command = [sys.executable, "-c", code, "run", "--home", str(settled.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
    assert done.stderr == f"up to date, snapshot {SNAPSHOT}\n"
    done = subprocess.run([*command, "--plan"], capture_output=True, text=True, check=True)
    assert done.stdout == "nothing is due\nFalse False\n"


def edit_the_project(home: Home) -> None:
    path = home.root / "bokehflow.toml"
    path.write_text(path.read_text().replace("min_kept_per_domain = 2", "min_kept_per_domain = 3"))


def lose_a_blob(home: Home) -> None:
    next(home.blobs.root.glob("??/*")).unlink()


def decide(home: Home) -> None:
    (photo_id, *_) = home.tables.read("curated_photos").query("decision == 'keep'")["photo_id"]
    (home.reviewed / "second-thoughts.csv").write_text(f"photo_id,decision,reason\n{photo_id},drop,unfit_blur\n")


def record_something(home: Home) -> None:
    with open_instance(home) as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization("unique_photos"))


def damage_what_is_kept(home: Home) -> None:
    home.kept_records.write_bytes(home.kept_records.read_bytes()[:-9])


def forget_what_is_kept(home: Home) -> None:
    home.kept_records.unlink()


def put_a_folder_in_its_place(home: Home) -> None:
    home.kept_records.unlink()
    home.kept_records.mkdir()


@pytest.mark.parametrize(
    "change",
    [
        edit_the_project,
        lose_a_blob,
        decide,
        record_something,
        damage_what_is_kept,
        forget_what_is_kept,
        put_a_folder_in_its_place,
    ],
)
def test_after_any_change_it_is(settled: Home, change: Callable[[Home], None]) -> None:
    assert needs_nothing(settled)
    change(settled)
    assert not needs_nothing(settled)


@pytest.mark.parametrize("change", [edit_the_project, damage_what_is_kept])
def test_a_run_looks_for_each_file_once(
    settled: Home, monkeypatch: pytest.MonkeyPatch, change: Callable[[Home], None]
) -> None:
    asked: Counter[str] = Counter()
    missing = BlobStore.missing

    def counted(store: BlobStore, sizes: Iterable[tuple[str, int]]) -> int:
        wanted = list(sizes)
        asked.update(sha256 for sha256, _ in wanted)
        return missing(store, wanted)

    monkeypatch.setattr(BlobStore, "missing", counted)
    change(settled)
    assert go(settled)
    months = [key for key in settled.tables.partitions("photo_files") if not key.endswith("|imported")]
    stored = settled.tables.read_all("photo_files", months)["sha256"].dropna()
    assert len(stored) > 5
    assert asked == Counter(stored), "once for each row"


def test_what_owners_say_is_looked_at_where_something_was_listed_since(
    settled: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide(settled)
    assert go(settled, Plan(until="dataset_snapshot")) != SNAPSHOT
    project = load_project(settled.root / "bokehflow.toml")
    with monkeypatch.context() as patch:
        patch.setattr(stages, "_ORIGINS", {})  # as in a new process
        patch.setattr(stages, "_looked_at", lambda project, home: pytest.fail("the listing was read"))
        before = provenance_of(project, settled, "dataset_manifest")
    photo_id = settled.tables.read("training_images")["photo_id"].iloc[0]
    for key in settled.tables.partitions("photo_listing"):
        listing = settled.tables.read("photo_listing", key)
        is_photo = listing["photo_id"] == photo_id
        settled.tables.correct("photo_listing", listing.assign(title=listing["title"].mask(is_photo, "renamed")), key)
    assert differences(before, provenance_of(project, settled, "dataset_manifest"), {}) == [
        "the owners, titles or licences changed"
    ]


def test_what_was_never_asked_is_asked_now(settled: Home) -> None:
    home = settled
    project = load_project(home.root / "bokehflow.toml")
    recipe = project.recipe_keys()[0].replace("@0", "@7")
    assert not is_current(project, home, home.root, Plan(recipes=[recipe]).scope(project))


def test_a_run_ends_well_where_nothing_can_be_kept(settled: Home) -> None:
    put_a_folder_in_its_place(settled)
    assert go(settled) == SNAPSHOT


def test_records_in_postgres_are_always_asked(settled: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(POSTGRES_VARIABLE, "127.0.0.1")
    assert not needs_nothing(settled)
    with pytest.raises(ConfigError, match=POSTGRES_VARIABLE):
        go(settled)
