"""The code location as a whole."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from assets.building_blocks import column_schema
from assets.headless import (
    bury_dead_runs,
    process_tags,
    runs_elsewhere,
    served_runs,
    serving_ui,
    tags_of_process,
)
from assets.partitions import months
from pipeline.config import load_project, parse_project
from pipeline.definitions import build_definitions
from pipeline.machine import here
from pipeline.operations.planning import ORDER, Plan, Scope
from pipeline.operations.stages import STAGES
from pipeline.tables import TABLES
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
    return build_definitions(load_project(REPOSITORY / "bokehflow.toml"), Home(tmp_path), REPOSITORY / "bokehflow.toml")


def test_everything_loads_and_every_asset_is_in_its_group(definitions: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(definitions)
    graph = definitions.resolve_asset_graph()
    groups: dict[str, set[str]] = {}
    for node in graph.asset_nodes:
        groups.setdefault(node.group_name, set()).add(node.key.to_user_string())
    assert groups == GROUPS
    assert {name for names in groups.values() for name in names} - {"review_decisions"} == set(ORDER) - {"depth_maps"}


def test_depth_is_an_asset_where_somebody_is_asked_for_it(tmp_path: Path) -> None:
    project = load_project(REPOSITORY / "bokehflow.toml")
    asked = project.model_copy(update={"depth": project.depth.model_copy(update={"estimator": "run:a-depth-0"})})
    definitions = build_definitions(asked, Home(tmp_path), REPOSITORY / "bokehflow.toml")
    dg.Definitions.validate_loadable(definitions)
    graph = definitions.resolve_asset_graph()
    assert {node.key.to_user_string() for node in graph.asset_nodes} - {"review_decisions"} == set(ORDER)
    assert dg.AssetKey("depth_maps") in graph.get(dg.AssetKey("training_images")).parent_keys


def test_where_masks_go_by_depth_it_is_estimated_before_them(tmp_path: Path) -> None:
    project = load_project(REPOSITORY / "bokehflow.toml")
    depth = project.depth.model_copy(update={"estimator": "run:a-depth-0"})
    asked = project.model_copy(update={"depth": depth, "masks": project.masks.model_copy(update={"others": "nearest"})})
    definitions = build_definitions(asked, Home(tmp_path), REPOSITORY / "bokehflow.toml")
    dg.Definitions.validate_loadable(definitions)
    graph = definitions.resolve_asset_graph()
    parents = {node.key.to_user_string(): {key.to_user_string() for key in node.parent_keys} for node in graph.asset_nodes}
    assert parents["depth_maps"] == {"curated_photos"}
    assert parents["person_masks"] == {"curated_photos", "depth_maps"}
    assert parents["training_images"] == {"person_masks", "depth_maps"}
    order = Scope.whole(asked).order
    assert sorted(order) == sorted(ORDER)
    assert order.index("curated_photos") < order.index("depth_maps") < order.index("person_masks")
    assert Plan(until="person_masks").scope(asked).has("depth_maps")
    assert not Plan(until="person_masks").scope(project).has("depth_maps")


def test_the_last_months_that_can_be_written_mean_no_end() -> None:
    text = '[collect]\nfrom = "2026-01"\n{to}[domains.ordinary]\n[domains.shallow]\n'
    without, *named, early = (
        parse_project(text.format(to=to), Path("bokehflow.toml"))
        for to in ("", 'to = "9999-12"\n', 'to = "9999-11"\n', 'to = "9999-10"\n', 'to = "2026-02"\n')
    )
    assert all(months(one).get_partition_keys() == months(without).get_partition_keys() for one in named)
    assert months(early).get_partition_keys() == ["2026-01", "2026-02"]
    far = parse_project('[collect]\nfrom = "9999-12"\n[domains.ordinary]\n[domains.shallow]\n', Path("bokehflow.toml"))
    assert not months(far).get_partition_keys()


def test_every_asset_says_what_it_is_and_whose(definitions: dg.Definitions) -> None:
    for node in definitions.resolve_asset_graph().asset_nodes:
        assert node.description, node.key
        assert node.owners or node.is_observable, node.key
        assert node.kinds or node.is_observable, node.key
        assert node.code_version or node.is_observable, node.key
    checks = definitions.resolve_asset_graph().asset_check_nodes
    assert checks
    assert [one.key for one in checks if not one.description] == []


def test_every_table_is_shown_from_its_own_columns_on() -> None:
    for name, table in TABLES.items():
        shown = [column.name for column in column_schema(name).columns]
        assert sorted(shown) == sorted(table.columns)
        assert shown[0] in table.rows.__annotations__, name
    assert column_schema("dataset_manifest").columns[0].name == "photo_id"


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


COPIES = """
import os, sys
import dagster as dg, psutil
from pipeline.definitions import definitions

definitions()

@dg.asset
def made() -> None:
    copies = psutil.Process().children()
    with open(sys.argv[1], "w") as file:
        print(len(copies) > 0, any(os.getsid(one.pid) == os.getsid(0) for one in copies), file=file)

with dg.DagsterInstance.local_temp() as instance:
    dg.materialize([made], instance=instance)
"""


def test_what_copies_a_runs_output_does_not_hear_the_ctrl_c_that_the_run_hears(tmp_path: Path) -> None:
    """It would answer with a traceback, and ends with the run anyway."""
    code = [sys.executable, "-c", COPIES, str(tmp_path / "told")]
    subprocess.run(code, capture_output=True, check=True, cwd=REPOSITORY)
    assert (tmp_path / "told").read_text() == "True False\n"


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


def test_runs_whose_process_is_gone_are_buried_and_living_ones_are_not(tmp_path: Path) -> None:
    gone = tags_of_process(ProcessIdentity(pid=1, started_at_s=1.0))
    process = ProcessIdentity.current()
    here = tags_of_process(ProcessIdentity(pid=process.pid, started_at_s=process.started_at_s))
    with instance_with(dead=gone, of_a_closed_ui={}, living=here, marked=process_tags()) as instance:
        assert set(bury_dead_runs(instance, Home(tmp_path))) == {"dead", "of_a_closed_ui"}
        runs = {run.run_id: run.status for run in instance.get_runs()}
        failed, started = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.STARTED
        assert runs == {"dead": failed, "of_a_closed_ui": failed, "living": started, "marked": started}


def test_runs_that_an_earlier_version_began_are_known_by_its_tags(tmp_path: Path) -> None:
    process = ProcessIdentity.current()
    tags = {"bokehflow/process": str(process.pid), "bokehflow/process_started": repr(process.started_at_s)}
    tags |= {"bokehflow/process_place": process.place, "bokehflow/host": process.host}
    gone = tags | {"bokehflow/process": "999999999"}
    with instance_with(dead=gone, living=tags, of_a_ui={}) as instance:
        assert [run.run_id for run in served_runs(instance)] == ["of_a_ui"]
        assert bury_dead_runs(instance, Home(tmp_path), ui_is_open=True) == ["dead"]
        assert bury_dead_runs(instance, Home(tmp_path)) == ["of_a_ui"]


def test_a_tag_that_somebody_wrote_by_hand_names_no_process(tmp_path: Path) -> None:
    with instance_with(odd={"bokehflow/made_by": "me"}, former={"bokehflow/process": "-"}) as instance:
        assert {run.run_id for run in served_runs(instance)} == {"odd", "former"}
        assert runs_elsewhere(instance) == []
        assert set(bury_dead_runs(instance, Home(tmp_path))) == {"odd", "former"}


@contextmanager
def instance_with(**tags_of_runs: dict[str, str]) -> Iterator[dg.DagsterInstance]:
    """With started runs of these ids and tags."""
    with dg.DagsterInstance.ephemeral() as instance:
        for run_id, tags in tags_of_runs.items():
            instance.add_run(dg.DagsterRun(job_name="dataset", run_id=run_id, status=dg.DagsterRunStatus.STARTED, tags=tags))
        yield instance


def tags_of(host_name: str = "", **place: str) -> dict[str, str]:
    """Of a process that is not here, as if it ran at the place of these parts, the others being ours."""
    gone = {"pid": 999_999_999, "place": replace(here(), **place).mark, "host": host_name}
    return tags_of_process(ProcessIdentity.current().model_copy(update=gone))


def test_a_run_of_another_machine_is_left_alone_and_named(tmp_path: Path) -> None:
    other = tags_of("titan", host="0" * 6, boot="0" * 6, namespace="0" * 6)
    with instance_with(other=other, of_an_earlier_boot=tags_of(boot="0" * 6), ours=tags_of()) as instance:
        assert set(bury_dead_runs(instance, Home(tmp_path))) == {"of_an_earlier_boot", "ours"}
        (told,) = runs_elsewhere(instance)
        assert "titan" in told
        assert "cancel it" in told


def test_runs_of_a_ui_of_another_machine_are_left_alone(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with instance_with(of_a_ui={}) as instance:
        with serving_ui(home):
            mine = ProcessIdentity.model_validate_json(home.ui_process.read_text())
            theirs = mine.model_copy(update={"place": replace(here(), host="0" * 6, boot="0" * 6).mark})
            home.ui_process.write_text(theirs.model_dump_json())
            assert bury_dead_runs(instance, home) == []
        assert bury_dead_runs(instance, home) == ["of_a_ui"]


IN_A_CONTAINER = """
import sys
from pipeline.headless import present
from pipeline.training.jobs import ProcessIdentity
from assets.headless import process_tags
from storage import Home
with present(Home.at(sys.argv[1])):
    import json
    print(json.dumps(process_tags()), flush=True)
    sys.stdin.readline()
"""


def test_two_containers_of_a_machine_tell_who_is_at_work(tmp_path: Path) -> None:
    apart = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*apart, "true"], capture_output=True).returncode:
        pytest.skip("this system lets nobody make a namespace of process numbers")
    command = [*apart, sys.executable, "-c", IN_A_CONTAINER, str(tmp_path)]
    home, pipe = Home(tmp_path), subprocess.PIPE
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        tags = json.loads(process.stdout.readline())
        with instance_with(there=tags) as instance:
            assert json.loads(tags["bokehflow/made_by"])["pid"] == 1  # which is somebody else here
            assert bury_dead_runs(instance, home) == []
            (label,) = (path.stem for path in home.at_work.iterdir())
            process.kill()
            deadline_s = time.monotonic() + 30
            while home.is_present(label):  # its child is killed a moment later
                assert time.monotonic() < deadline_s
                time.sleep(0.02)
            assert bury_dead_runs(instance, home) == ["there"]
    assert list(home.at_work.iterdir()) == []
