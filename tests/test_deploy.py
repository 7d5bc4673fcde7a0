"""What `deploy/` holds: as far as it can be tried without a container engine or a cluster."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal

import dagster as dg
import kubernetes_validate
import pytest
import requests
import yaml
from pydantic import BaseModel, ConfigDict, Field

from assets.headless import bury_dead_runs, instance_to_look, open_instance, prepare_instance, process_tags, tags_of_process
from pipeline.cli import cli
from pipeline.errors import ConfigError, StorageError
from pipeline.operations.emulated_flickr import free_ports
from pipeline.package_files import DAGSTER_ON_POSTGRES, DAGSTER_SETTINGS
from pipeline.postgres import connected
from pipeline.training.jobs import ProcessIdentity
from resources.dagster_internals import ERASED, erase_pictures
from storage import Home

REPOSITORY = Path(__file__).parents[1]
DEPLOY = REPOSITORY / "deploy"
KUBERNETES_VERSION = "1.31"
SERVERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def read(path: Path) -> dict[str, object]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_instance_on_postgres_has_the_settings_of_every_home() -> None:
    deployed, own = read(DEPLOY / "dagster.postgres.yaml"), read(REPOSITORY / "dagster.yaml")
    assert {name: value for name, value in deployed.items() if name != "storage"} == own


POSTGRES = sorted(re.findall(r"env: (\w+)", DAGSTER_ON_POSTGRES.read_text()))


def set_postgres(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    values = {"HOST": "127.0.0.1", "PORT": str(port), "USER": "lab", "PASSWORD": "unused", "DB": "postgres"}
    for name, value in values.items():
        monkeypatch.setenv(f"BOKEHFLOW_POSTGRES_{name}", value)


def test_the_environment_says_where_the_records_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", "")  # set by what follows, and to be forgotten afterwards
    monkeypatch.setattr("assets.headless.find_spec", lambda _: object())
    prepare_instance(home)
    link = home.dagster / "dagster.yaml"
    assert link.readlink() == DAGSTER_SETTINGS
    set_postgres(monkeypatch, 5432)
    prepare_instance(home)
    assert link.readlink() == DAGSTER_ON_POSTGRES
    monkeypatch.delenv("BOKEHFLOW_POSTGRES_PORT")
    with pytest.raises(ConfigError, match="set BOKEHFLOW_POSTGRES_PORT as well"):
        prepare_instance(home)
    monkeypatch.delenv("BOKEHFLOW_POSTGRES_HOST")
    with pytest.raises(ConfigError, match="records are in PostgreSQL; set BOKEHFLOW_POSTGRES_HOST"):
        prepare_instance(home)
    link.unlink()
    link.write_text("# my own")
    prepare_instance(home)
    set_postgres(monkeypatch, 5432)
    prepare_instance(home)
    assert link.read_text() == "# my own"


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    set_postgres(monkeypatch, 5432)
    monkeypatch.setenv("DAGSTER_HOME", "")  # set by what follows, and to be forgotten afterwards
    monkeypatch.setattr("assets.headless.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install 'bokehflow\[postgres\]'"):
        prepare_instance(home)
    monkeypatch.delenv("BOKEHFLOW_POSTGRES_HOST")
    prepare_instance(home)
    assert (home.dagster / "dagster.yaml").readlink() == DAGSTER_SETTINGS, "nothing was ever recorded in PostgreSQL"


# --- compose ------------------------------------------------------------------------------------------------------------

Words = list[str]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Build(Strict):
    context: Literal[".."] = ".."
    args: dict[str, str]


class HealthCheck(Strict):
    test: Words
    interval: str
    timeout: str
    retries: int = 3
    start_period: str = "0s"


class Needed(Strict):
    condition: Literal["service_healthy"]


class Service(Strict):
    """The keys that our compose files use, of those that the specification has."""

    image: str
    build: Build | None = None
    user: str = ""
    command: Words = []
    entrypoint: Words = []
    environment: dict[str, str] = {}
    volumes: Words = []
    ports: list[Annotated[str, Field(pattern=r"^127\.0\.0\.1:")]] = []
    depends_on: dict[str, Needed] | Words = {}
    healthcheck: HealthCheck | None = None
    profiles: Words = []
    restart: Literal["unless-stopped"] = "unless-stopped"
    init: bool = False
    shm_size: str = ""
    stop_grace_period: str = ""
    cap_drop: Words = []
    security_opt: Words = []
    deploy: dict[str, Any] = {}


def services_of(name: str) -> dict[str, Service]:
    written = yaml.safe_load((DEPLOY / name).read_text())
    assert {key for key in written if not key.startswith("x-")} <= {"name", "services", "volumes"}
    return {service: Service(**keys) for service, keys in written["services"].items()}


def test_compose_uses_keys_as_they_are_specified_and_publishes_on_loopback_alone() -> None:
    services, on_gpu = services_of("compose.yaml"), services_of("compose.gpu.yaml")
    assert set(on_gpu) <= set(services)
    assert {name for name, service in services.items() if service.ports} == {"web"}
    for name, service in services.items():
        assert set(service.depends_on) <= set(services)
        for needed in service.depends_on if isinstance(service.depends_on, dict) else []:
            assert services[needed].healthcheck, f"{name} waits until {needed} is healthy, which says nothing of its health"
    ours = {name: service for name, service in services.items() if name != "postgres"}
    for service in ours.values():
        assert service.build
        assert set(POSTGRES) <= set(service.environment)
        assert set(service.build.args["EXTRAS"].split()) <= set(extras())
    (port, *_) = re.findall(r"BOKEHFLOW_PORT:-(\d+)", services["web"].ports[0])
    assert services["web"].command[-1] == f"--port=${{BOKEHFLOW_PORT:-{port}}}"


def extras() -> dict[str, list[str]]:
    import tomllib

    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def parsed(arguments: list[str]) -> dict[str, Any]:
    """What our command line understands of a container's arguments."""
    plain = [re.sub(r"\$\{\w+:-(\w+)\}", r"\1", word) for word in arguments]
    return cli.commands[plain[0]].make_context(plain[0], plain[1:]).params


def test_the_parts_find_each_other_by_name() -> None:
    by_compose = {name: service.command for name, service in services_of("compose.yaml").items()}
    in_kubernetes = {
        one["metadata"]["name"]: one["spec"]["template"]["spec"]["containers"][0]["args"]
        for one in manifests(DEPLOY / "kubernetes" / "base")
        if one["kind"] == "Deployment"
    }
    for told in (by_compose, in_kubernetes):
        parts = {name: parsed(told[name]) for name in ("code", "daemon", "web")}
        assert {name: each["part"] for name, each in parts.items()} == {name: name for name in parts}
        assert {name: each["code_server"] for name, each in parts.items()} == {
            "code": "0.0.0.0:4000", "daemon": "code:4000", "web": "code:4000",
        }  # fmt: skip


# --- Kubernetes ---------------------------------------------------------------------------------------------------------


def manifests(folder: Path) -> list[dict[str, Any]]:
    """The objects that a folder's kustomization lists."""
    listed = [folder / name for name in yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]]
    return [one for file in listed if file.is_file() for one in yaml.safe_load_all(file.read_text())]


def check(objects: list[dict[str, Any]]) -> None:
    for one in objects:
        kubernetes_validate.validate(one, KUBERNETES_VERSION, strict=True)


def test_manifests_are_valid_and_name_what_is_there() -> None:
    base = manifests(DEPLOY / "kubernetes" / "base")
    (run,) = yaml.safe_load_all((DEPLOY / "kubernetes" / "run.yaml").read_text())
    check([*base, run])
    assert len(base) == len({(one["kind"], one["metadata"]["name"]) for one in base})
    pods = {one["metadata"]["name"]: one["spec"]["template"] for one in base if "template" in one.get("spec", {})}
    labels = [pod["metadata"]["labels"] for pod in pods.values()]
    for one in base:
        if one["kind"] == "Service":
            assert one["spec"]["selector"] in labels
        if "template" in one.get("spec", {}):
            assert one["spec"]["selector"]["matchLabels"] == one["spec"]["template"]["metadata"]["labels"]
    claims = {one["metadata"]["name"] for one in base if one["kind"] == "PersistentVolumeClaim"}
    generated = yaml.safe_load((DEPLOY / "kubernetes" / "base" / "kustomization.yaml").read_text())["configMapGenerator"]
    environment = {literal.partition("=")[0] for literal in generated[0]["literals"]}
    assert set(POSTGRES) - environment == {"BOKEHFLOW_POSTGRES_PASSWORD"}
    for pod in [pods["code"], pods["daemon"], pods["web"], run["spec"]["template"]]:
        (container,) = pod["spec"]["containers"]
        assert parsed(container["args"])
        assert container["resources"]["limits"]["memory"]
        sources = [next(iter(one.values()))["name"] for one in container["envFrom"]]
        assert sources == ["environment", "postgres", "bucket", "keys"]
        volumes = {one["name"]: one for one in pod["spec"]["volumes"]}
        assert {one["name"] for one in container["volumeMounts"]} == set(volumes)
        assert volumes["home"]["persistentVolumeClaim"]["claimName"] in claims


def test_a_misspelt_key_is_found() -> None:
    (code, *_) = [one for one in manifests(DEPLOY / "kubernetes" / "base") if one["metadata"]["name"] == "code"]
    code["spec"]["podSelectors"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        check([code])


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed here")
@pytest.mark.parametrize("overlay", ["base", "gpu", "external-postgres"])
def test_kustomize_builds_what_is_valid(overlay: str) -> None:
    run = ["kubectl", "kustomize", str(DEPLOY / "kubernetes" / overlay)]
    done = subprocess.run(run, capture_output=True, text=True, check=True, timeout=60)
    built = {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(done.stdout)}
    check(list(built.values()))
    assert {one["metadata"].get("namespace", "bokehflow") for one in built.values()} == {"bokehflow"}
    assert any(name == "postgres" for _, name in built) == (overlay != "external-postgres")
    code = built["Deployment", "code"]["spec"]["template"]["spec"]
    limits = code["containers"][0]["resources"]["limits"]
    assert limits["memory"] == "24Gi"
    assert ("nvidia.com/gpu" in limits, "nodeSelector" in code) == (overlay == "gpu", overlay == "gpu")


# --- PostgreSQL ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def postgres() -> Iterator[int]:
    """The port of a PostgreSQL on loopback."""
    pytest.importorskip("dagster_postgres")
    if not SERVERS or not shutil.which("runuser"):
        pytest.skip("PostgreSQL is not installed here")
    folder = Path(tempfile.mkdtemp(prefix="bokehflow-pg"))
    as_owner = []
    if os.geteuid() == 0:  # the server refuses to be root
        shutil.chown(folder, "postgres", "postgres")
        as_owner = ["runuser", "-u", "postgres", "--"]
    run = [*as_owner, str(SERVERS[-1] / "initdb"), "-D", str(folder / "data"), "-U", "lab", "--auth=trust"]
    subprocess.run(run, check=True, capture_output=True, cwd=folder)
    (port,) = free_ports(1)
    options = f"-k {folder} -p {port} -c listen_addresses=127.0.0.1"
    control = [*as_owner, str(SERVERS[-1] / "pg_ctl"), "-D", str(folder / "data"), "-l", str(folder / "log")]
    subprocess.run([*control, "-o", options, "-w", "start"], check=True, capture_output=True, cwd=folder)
    try:
        yield port
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=True, capture_output=True, cwd=folder)
        shutil.rmtree(folder)


@pytest.mark.slow
def test_runs_are_recorded_and_buried_on_postgres(postgres: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_postgres(monkeypatch, postgres)
    home = Home(tmp_path)
    gone = tags_of_process(ProcessIdentity.current().model_copy(update={"pid": 999_999_999}))
    for tags, run_id in ((gone, "dead"), (process_tags(), "living")):
        with open_instance(home) as instance:  # anew: what one process wrote another reads
            assert "Postgres" in type(instance.run_storage).__name__ + type(instance.event_log_storage).__name__
            run = dg.DagsterRun(job_name="dataset", run_id=run_id, status=dg.DagsterRunStatus.STARTED, tags=tags)
            instance.add_run(run)
    with open_instance(home) as instance:
        assert bury_dead_runs(instance, home) == ["dead"]
    assert not list(home.dagster.glob("**/*.db"))


@pytest.mark.slow
def test_a_database_has_the_records_of_one_home(postgres: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of two would mix: what a check found in the one would count in the other."""
    set_postgres(monkeypatch, postgres)
    one, other = Home(tmp_path / "one"), Home(tmp_path / "other")
    for _ in range(2):
        with open_instance(one):
            pass
    told = rf"database postgres has the records of another home, {one.root}.*createdb"
    with pytest.raises(ConfigError, match=told), open_instance(other):
        pass
    one.root.rename(tmp_path / "mounted elsewhere")
    with open_instance(Home(tmp_path / "mounted elsewhere")):
        pass
    # Nor does who only looks, on a machine where nothing ran, take another home's records for those of one in a bucket.
    monkeypatch.setattr(Home, "working", SimpleNamespace(address="s3://lab/portraits"))
    with pytest.raises(ConfigError, match="the records of another home"), instance_to_look(Home(tmp_path / "new here")):
        pass


@pytest.mark.slow
def test_one_process_at_a_time_opens_the_records_on_postgres(
    postgres: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Containers start together, and whoever came second to make a table ended by it."""
    set_postgres(monkeypatch, postgres)
    opens, others = dg.DagsterInstance.from_config, list[int]()

    def while_open(folder: str) -> dg.DagsterInstance:
        with connected("locks are kept") as connection, connection.cursor() as cursor:
            cursor.execute("select count(*) from pg_locks where locktype = 'advisory' and granted")
            others.extend(cursor.fetchone())
        return opens(folder)

    monkeypatch.setattr(dg.DagsterInstance, "from_config", while_open)
    with open_instance(Home(tmp_path)), connected("locks are kept") as connection, connection.cursor() as cursor:
        cursor.execute("select count(*) from pg_locks where locktype = 'advisory'")
        assert (others, cursor.fetchone()) == ([1], (0,))


@pytest.mark.slow
def test_a_forgotten_photo_is_in_no_record_on_postgres(
    postgres: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_postgres(monkeypatch, postgres)
    home, asset = Home(tmp_path), dg.AssetKey("person_masks")
    sheet = "![photos {}](data:image/jpeg;base64,{})"
    with open_instance(home) as instance:
        for photo, data in (("flickr:1", "AAAA"), ("flickr:2", "BBBB")):
            shown = {"sheet": dg.MetadataValue.md(sheet.format(photo, data))}
            instance.report_runless_asset_event(dg.AssetMaterialization(asset, metadata=shown))
    assert erase_pictures(home.dagster, {"flickr:1"}, set()) >= 1
    assert erase_pictures(home.dagster, {"flickr:1"}, set()) == 0
    with open_instance(home) as instance:
        records = instance.fetch_materializations(asset, limit=5).records
        told = [str(one.asset_materialization.metadata["sheet"].value) for one in records if one.asset_materialization]
    assert sorted(told) == sorted([ERASED, sheet.format("flickr:2", "BBBB")])
    monkeypatch.setenv("BOKEHFLOW_POSTGRES_PORT", "9")
    with pytest.raises(StorageError, match="records are in PostgreSQL, whose pictures could not be erased"):
        erase_pictures(home.dagster, {"flickr:1"}, set())


@pytest.mark.slow
def test_three_parts_on_postgres_execute_a_run(postgres: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What compose starts, each a process here; a run asked for at the web server is executed by the code server's."""
    set_postgres(monkeypatch, postgres)
    monkeypatch.setenv("BOKEHFLOW_HOME", str(tmp_path / "home"))
    bokehflow = [sys.executable, "-m", "pipeline.cli"]
    subprocess.run([*bokehflow, "init", str(tmp_path / "study"), "--source", "commons"], check=True, timeout=60)
    monkeypatch.setenv("BOKEHFLOW_CONFIG", str(tmp_path / "study" / "bokehflow.toml"))
    port, web_port = free_ports(2)
    logs = {part: tmp_path / f"{part}.log" for part in ("code", "daemon", "web")}
    processes = {}
    try:
        for part, log in logs.items():
            options = ["dev", "--part", part, "--code-server", f"127.0.0.1:{port}", "--port", str(web_port)]
            with log.open("w") as file:
                processes[part] = subprocess.Popen([*bokehflow, *options], stdout=file, stderr=file, start_new_session=True)
        wait_until(lambda: "open " in logs["web"].read_text(), processes)
        address, token = re.findall(r"open +(http\S+)/\?token=(\S+)", logs["web"].read_text())[0]

        def ask(query: str, **variables: object) -> dict[str, Any]:
            headers, asked = {"Authorization": f"Bearer {token}"}, {"query": query, "variables": variables}
            return requests.post(f"{address}/graphql", json=asked, headers=headers, timeout=60).json()["data"]

        daemons = "{ instance { daemonHealth { allDaemonStatuses { daemonType healthy required } } } }"

        def is_healthy() -> bool:
            statuses = ask(daemons)["instance"]["daemonHealth"]["allDaemonStatuses"]
            return all(one["healthy"] for one in statuses if one["required"])

        wait_until(is_healthy, processes)
        launched = ask(
            "mutation($p: ExecutionParams!) { launchRun(executionParams: $p) {"
            " __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }",
            p={
                "selector": {
                    "repositoryLocationName": "bokehflow", "repositoryName": "__repository__",
                    "pipelineName": "__ASSET_JOB", "assetSelection": [{"path": ["photo_history"]}],
                },
                "mode": "default",
            },
        )["launchRun"]  # fmt: skip
        assert launched["__typename"] == "LaunchRunSuccess", launched
        run_id = launched["run"]["runId"]
        status = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
        wait_until(lambda: ask(status, id=run_id)["runOrError"]["status"] in ("SUCCESS", "FAILURE"), processes)
        assert ask(status, id=run_id)["runOrError"]["status"] == "SUCCESS"
        refused = subprocess.run([*bokehflow, "run"], capture_output=True, text=True, timeout=120, check=False)
        assert refused.returncode == 1
        assert f"at work in this home, at 127.0.0.1:{port}" in refused.stderr
    finally:
        for process in processes.values():
            process.send_signal(signal.SIGTERM)
        ended = {part: process.wait(90) for part, process in processes.items()}
    assert ended == dict.fromkeys(processes, 0), {part: log.read_text()[-2000:] for part, log in logs.items()}
    assert not list(Home(tmp_path / "home").dagster.glob("**/*.db"))


def wait_until(reached: Callable[[], bool], processes: dict[str, subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + 240
    while not reached():
        assert {part: process.poll() for part, process in processes.items()} == dict.fromkeys(processes)
        assert time.monotonic() < deadline, "it never got there"
        time.sleep(0.5)
