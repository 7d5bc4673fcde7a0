"""What a headless run does about models that are there: kept, judged again, trained anew where somebody asks for it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg
import pytest

from assets.headless import HeadlessRun, open_instance
from pipeline.config import parse_project
from pipeline.errors import ConfigError
from pipeline.operations.reports import evaluation_provenance
from pipeline.operations.training import run_folder, training_job
from pipeline.sources.budget import CallBudget
from pipeline.training import jobs
from storage import Home
from tests.judged_world import CONFIG, judge, judged_home, train

KEY = "cyclegan@0"
EDITED = CONFIG.replace('model = "cyclegan"', 'model = "cyclegan"\nprofile = "smoke"')


class Headless(HeadlessRun):
    """Notes what it would have Dagster make."""

    def _execute(self, job: str, names: Sequence[str], key: str | None, why: str) -> None:
        self.made += names

    made: list[str]


class Trained:
    """A home with a finished and judged model, and runs over it."""

    def __init__(self, root: Path, instance: dg.DagsterInstance) -> None:
        self.root, self.instance, self.said = root, instance, []
        self.home, world = judged_home(root)
        self.snapshot = world.freeze(range(1, 60))
        project = parse_project(CONFIG, root / "bokehflow.toml")
        train(self.home, self.snapshot, KEY, training_job(project, self.home, self.snapshot, KEY))
        run = run_folder(self.home, self.snapshot, KEY)
        provenance = evaluation_provenance(project, self.home, None, run)
        judge(self.home, self.snapshot, KEY, 0.9, 0.6, provenance=provenance)
        for name in ("trained_model", "evaluation"):
            key = f"{KEY}|{self.snapshot}"
            instance.report_runless_asset_event(dg.AssetMaterialization(name, partition=key))

    def made(self, text: str = CONFIG, anew: bool = False) -> list[str]:
        """What the project file makes a run ask for."""
        project = parse_project(text, self.root / "bokehflow.toml")
        run = Headless(project, self.home, self.root, dg.Definitions(), self.instance, self.said.append)
        run.made = []
        run.train(self.snapshot, KEY, anew=anew)
        return run.made


@pytest.fixture
def trained(tmp_path: Path) -> Iterator[Trained]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Trained(tmp_path / "home", instance)


def test_what_is_trained_and_judged_is_left_alone(trained: Trained) -> None:
    assert trained.made() == []
    assert trained.made(anew=True) == []
    assert {line.partition(": ")[2] for line in trained.said} == {"nothing is due"}


def test_a_model_is_judged_again_by_another_yardstick(trained: Trained) -> None:
    assert trained.made(CONFIG + "perceptual = false\n") == ["evaluation"]
    (trained.root / "truth").mkdir()
    assert trained.made(CONFIG + 'truth = "truth"\n') == ["evaluation"]


def test_an_edited_recipe_ends_no_run_and_costs_no_model(trained: Trained) -> None:
    assert trained.made(EDITED) == []
    command = f"bokehflow train cyclegan --seed 0 --snapshot {trained.snapshot} --anew"
    assert [line for line in trained.said if line.endswith(command)]
    assert trained.made(EDITED, anew=True) == ["trained_model"]


def test_a_model_of_an_older_version_is_as_good_as_before(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "RUN_FORMAT", 99)
    trained.instance.wipe_assets([dg.AssetKey("trained_model")])
    assert trained.made() == []
    assert {line.partition(": ")[2] for line in trained.said} == {"nothing is due"}


def test_a_home_without_its_models_trains_them(trained: Trained) -> None:
    (Home(trained.root).runs / f"{trained.snapshot}-cyclegan-0" / "complete.json").unlink()
    assert trained.made()[0] == "trained_model"


@pytest.mark.parametrize("folder", ["what?", "my%20home", "50%fe", "in%2Fit/home"])
def test_a_path_that_is_another_one_as_an_address_is_refused(tmp_path: Path, folder: str) -> None:
    home = Home(tmp_path / folder)
    with pytest.raises(ConfigError, match="cannot hold Dagster's database"), open_instance(home):
        pass
    assert not home.root.exists()


def test_an_installation_that_dagster_cannot_work_from_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tool that sets its database up takes a % in its own path for the name of a setting."""
    monkeypatch.setattr(dg, "__file__", "/100% mine/dagster/__init__.py")
    with (
        pytest.raises(ConfigError, match=r"^/100% mine/dagster.*install bokehflow in another"),
        open_instance(Home(tmp_path)),
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_records_lie_in_a_home_of_an_odd_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "")
    home = Home(tmp_path / "100% mine, 5%x #1 'é'")
    with open_instance(home) as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization("photo_listing"))
    assert list(tmp_path.iterdir()) == [home.root]
    assert len(list(home.dagster.rglob("*.db"))) >= 2


def test_what_a_run_waits_for_is_told_to_who_watches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "")
    passed = [0.0]
    budget = CallBudget(tmp_path / "budget", "key", 1, clock=lambda: sum(passed), sleep=passed.append)
    budget.acquire()

    @dg.asset
    def listing() -> None:
        budget.acquire()

    with open_instance(Home(tmp_path / "home")) as instance:
        run = dg.materialize([listing], instance=instance)
        told = [entry.user_message for entry in instance.all_logs(run.run_id)]
    waits = "the 1 Flickr calls of this hour are spent: waiting 3600 s"
    assert waits in told
    assert waits in capfd.readouterr().err
