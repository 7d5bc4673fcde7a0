"""The code location as a whole."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from assets.headless import bury_dead_runs
from pipeline.config import load_project
from pipeline.definitions import build_definitions
from pipeline.operations.planning import ORDER
from pipeline.operations.stages import STAGES
from pipeline.training.jobs import ProcessIdentity
from storage import Home

REPOSITORY = Path(__file__).parents[2]
GROUPS = {
    "collect": {"photo_listing", "photo_files", "imported_photos", "photo_history"},
    "dedupe": {"fingerprints", "unique_photos"},
    "curation": {"photo_hints", "review_queue", "review_decisions", "curated_photos"},
    "dataset": {"person_masks", "training_images", "dataset_manifest", "dataset_snapshot"},
    "training": {"trained_model"},
    "evaluation": {"evaluation", "comparison"},
}


@pytest.fixture
def definitions(tmp_path: Path) -> dg.Definitions:
    return build_definitions(load_project(REPOSITORY / "bokehflow.toml"), Home(tmp_path), REPOSITORY)


def test_everything_loads_and_every_asset_is_in_its_group(definitions: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(definitions)
    graph = definitions.resolve_asset_graph()
    groups: dict[str, set[str]] = {}
    for node in graph.asset_nodes:
        groups.setdefault(node.group_name, set()).add(node.key.to_user_string())
    assert groups == GROUPS
    assert {name for names in groups.values() for name in names} - {"review_decisions"} == set(ORDER)


def test_every_asset_says_what_it_is_and_whose(definitions: dg.Definitions) -> None:
    for node in definitions.resolve_asset_graph().asset_nodes:
        assert node.description, node.key
        assert node.owners or node.is_observable, node.key
        assert node.kinds or node.is_observable, node.key
        assert node.code_version or node.is_observable, node.key


def test_the_graph_is_the_designs(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    parents = {node.key.to_user_string(): {key.to_user_string() for key in node.parent_keys} for node in graph.asset_nodes}
    assert parents["photo_files"] == {"photo_listing"}
    assert parents["photo_history"] == {"photo_listing", "imported_photos"}
    assert parents["unique_photos"] == {"fingerprints", "photo_history", "imported_photos"}
    assert parents["photo_hints"] == {"unique_photos"}
    assert parents["review_queue"] == {"unique_photos", "photo_hints"}
    assert parents["curated_photos"] == {"unique_photos", "review_decisions"}
    assert parents["comparison"] == {"evaluation"}


def test_blocking_checks_are_those_that_the_headless_run_waits_for(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    blocking = [key for key in graph.asset_check_keys if graph.get_check_spec(key).blocking]
    found: dict[str, set[str]] = {}
    for key in blocking:
        found.setdefault(key.asset_key.to_user_string(), set()).add(key.name)
    assert found == {name: set(stage.blocking_checks) for name, stage in STAGES.items() if stage.blocking_checks}


@pytest.mark.parametrize(
    ("resource", "config"),
    [
        ("sources", {"project_json": "{}"}),
        ("home", {"root": "/elsewhere"}),
        ("segmenter", {"name": "other"}),
        ("trainer", {"x": 1}),
    ],
)
def test_a_runs_configuration_cannot_say_who_is_asked_or_where_data_goes(
    definitions: dg.Definitions, resource: str, config: dict[str, object]
) -> None:
    for job in definitions.resolve_all_job_defs():
        dg.validate_run_config(job, {})
        with pytest.raises(dg.DagsterInvalidConfigError):
            dg.validate_run_config(job, {"resources": {resource: {"config": config}}})


def test_loading_does_not_import_torch() -> None:
    code = "import sys, pipeline.definitions as d; d.definitions(); print('torch' in sys.modules, 'mitsuba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout.strip() == "False False"


def test_the_project_file_is_the_one_given_or_the_homes_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    home = Home(tmp_path / "home")
    assert home.project_file() == tmp_path / "bokehflow.toml"
    home.root.mkdir()
    (home.root / "bokehflow.toml").touch()
    assert home.project_file() == home.root / "bokehflow.toml"
    monkeypatch.setenv("BOKEHFLOW_CONFIG", str(tmp_path / "other.toml"))
    assert home.project_file() == tmp_path / "other.toml"
    assert home.project_file(tmp_path / "given.toml") == tmp_path / "given.toml"


def test_runs_whose_process_is_gone_are_buried_and_living_ones_are_not() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        gone = {"bokehflow/process": "1", "bokehflow/process_started": "1.0"}
        process = ProcessIdentity.current()
        here = {"bokehflow/process": str(process.pid), "bokehflow/process_started": repr(process.started_at_s)}
        for run_id, tags in (("dead", gone), ("of-a-closed-ui", {}), ("living", here)):
            instance.add_run(dg.DagsterRun(job_name="dataset", run_id=run_id, status=dg.DagsterRunStatus.STARTED, tags=tags))
        assert set(bury_dead_runs(instance)) == {"dead", "of-a-closed-ui"}
        runs = {run.run_id: run.status for run in instance.get_runs()}
        failed, started = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.STARTED
        assert runs == {"dead": failed, "of-a-closed-ui": failed, "living": started}
