"""Batches over real workers: what is done stays done, whoever dies, and what cannot be used says so in time."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from pipeline.compute.batches import CRASHES_WORKER, Batches, Task, run_batches
from pipeline.compute.engines import Engine, local_dask, map_pieces, open_engine, reach_problem
from pipeline.config import Project
from pipeline.dataset.crop import Crop
from pipeline.dataset.prepare import ShardFolder, prepare_images
from pipeline.dedupe.fingerprints import fingerprint_pictures
from pipeline.dedupe.store import FingerprintStore
from pipeline.errors import ComputeError, StorageError
from pipeline.masks.person_masks import segment_photos
from pipeline.operations import tasks
from pipeline.operations.curation import update_hints
from pipeline.operations.emulated_flickr import free_ports
from pipeline.operations.masks import mask_source
from pipeline.operations.tasks import Engaged, engine_of, fingerprints_over, masks_over, shards_over
from pipeline.operations.training_images import readers
from pipeline.tables import conform
from resources.segmenter import SegmenterResource
from storage import Home
from storage.tables import data_version
from tests import engine_work
from tests.picture_home import home_of_pictures

NAMES = [f"{number:03}" for number in range(40)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a Dask scheduler with two workers in processes of their own."""
    with local_dask(workers=2, retries=0) as address:
        yield address


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[str]:
    """The address of a Ray head that was started on its own, with a second node; one worker each."""
    pytest.importorskip("ray")
    address = f"127.0.0.1:{free_ports(1)[0]}"
    start = [sys.executable, "-m", "ray.scripts.scripts", "start", "--node-ip-address", "127.0.0.1", "--num-cpus", "1"]
    start += ["--object-store-memory", str(80 * 2**20), "--disable-usage-stats", "--block"]
    head = ["--head", "--port", address.split(":")[1], "--include-dashboard", "false"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment}
    nodes = []
    try:
        for more in (head, ["--address", address]):
            nodes.append(subprocess.Popen([*start, *more], **quiet))
            wait_for_nodes(address, len(nodes))
        yield address
    finally:
        for node in reversed(nodes):
            node.terminate()
            node.wait(60)


def wait_for_nodes(address: str, count: int) -> None:
    """Until so many nodes are there; a minute at most."""
    asked = [sys.executable, "-c", f"import ray; ray.init({address!r}, log_to_driver=False); print(len(ray.nodes()))"]
    deadline_s = time.monotonic() + 60
    while True:
        told = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=60)
        if told.stdout.split()[-1:] == [str(count)]:
            return
        assert time.monotonic() < deadline_s, f"Ray's head has no {count} nodes: {told.stderr}"
        time.sleep(0.5)


CLUSTERS = {"dask": "cluster", "ray": "ray_cluster"}


@pytest.fixture(params=["dask", "local", pytest.param("ray", marks=pytest.mark.slow)])
def engine(request: pytest.FixtureRequest) -> Callable[[], AbstractContextManager[Engine]]:
    """Opens an engine of two workers."""
    address = request.getfixturevalue(CLUSTERS[request.param]) if request.param in CLUSTERS else None
    return lambda: open_engine(request.param, address, retries=1, workers=2)


OpenEngine = Callable[[], AbstractContextManager[Engine]]


def batches_over(engine: OpenEngine, size: int = 5) -> Batches:
    return Batches(engine, engine_work.work, size)


@pytest.fixture
def task(tmp_path: Path) -> Task:
    (tmp_path / "done.txt").touch()
    return Task("lengths", engine_work.VERSION, str(tmp_path), str(tmp_path / "work" / "plan"), str(tmp_path))


def done(task: Task) -> list[str]:
    """Names that were worked on, each as often as it was."""
    return [line.split()[0] for line in (Path(task.settings) / "done.txt").read_text().splitlines()]


def test_every_name_gets_its_row_and_no_file_remains(engine: OpenEngine, task: Task) -> None:
    rows = list(run_batches(batches_over(engine), task, NAMES))
    assert sorted(row["name"] for row in rows) == NAMES
    assert {row["length"] for row in rows} == {3}
    assert sorted(done(task)) == NAMES
    assert list(Path(task.folder).iterdir()) == []


def test_what_a_killed_driver_left_finished_is_not_done_again(engine: OpenEngine, task: Task) -> None:
    with closing(run_batches(batches_over(engine), task, NAMES)) as rows:
        taken = [next(rows)["name"] for _ in range(7)]  # one batch and two rows of another: the driver is gone then
    deadline_s = time.monotonic() + 5  # of this machine's processes none finishes what its driver does not wait for
    while len(list(Path(task.folder).glob("*.jsonl"))) < 2 and time.monotonic() < deadline_s:
        time.sleep(0.05)
    left = [name for name in NAMES if name not in taken[:5]]
    before = len(done(task))
    finished = 5 * len(list(Path(task.folder).glob("*.jsonl")))
    again = list(run_batches(batches_over(engine), task, left))
    assert sorted(row["name"] for row in again) == left
    assert len(done(task)) - before <= len(left) - finished


def test_a_picture_that_kills_its_worker_ends_as_a_row_with_its_reason(engine: OpenEngine, task: Task) -> None:
    names = [*NAMES[:9], "poison", *NAMES[9:16]]
    rows = {row["name"]: row for row in run_batches(batches_over(engine, size=2), task, names)}
    assert rows.keys() == set(names)
    (refused,) = [row for row in rows.values() if "reason" in row]
    assert (refused["name"], refused["reason"]) == ("poison", CRASHES_WORKER)
    assert "died" in refused["detail"]


def test_what_a_stage_raises_is_raised_here(engine: OpenEngine, task: Task) -> None:
    with pytest.raises(StorageError, match="this picture is missing"):
        list(run_batches(batches_over(engine), task, [*NAMES[:3], "missing"]))


def test_workers_of_another_version_or_without_the_home_are_refused(engine: OpenEngine, task: Task) -> None:
    with pytest.raises(ComputeError, match=r"runs bokehflow 1\.0 \(tests\), this is 2\.0"):
        list(run_batches(batches_over(engine), replace(task, version="2.0"), NAMES[:3]))
    elsewhere = Batches(engine, engine_work.without_the_home, 5)
    with pytest.raises(ComputeError, match=r"does not see .*one folder that all machines see"):
        list(run_batches(elsewhere, task, NAMES[:3]))


@pytest.mark.parametrize(
    ("name", "address", "told"),
    [
        ("dask", "tcp://127.0.0.1:9", "nobody answers there"),
        ("ray", "127.0.0.1:9", "nobody answers there|not installed"),
        ("dask", "nowhere", "that is no address; write it like tcp://head:8786"),
    ],
)
def test_an_engine_that_cannot_be_reached_says_so_at_once(name: str, address: str, told: str, task: Task) -> None:
    began_s = time.monotonic()
    batches = Batches(lambda: open_engine(name, address, retries=1), engine_work.work, 5)
    with pytest.raises(ComputeError, match=told):
        list(run_batches(batches, task, NAMES[:3]))
    assert reach_problem(name, address)
    assert time.monotonic() - began_s < 20


def test_ray_that_is_started_here_reports_its_use_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    told = list[str | None]()
    init = SimpleNamespace(init=lambda **_: told.append(os.environ.get("RAY_USAGE_STATS_ENABLED")), shutdown=lambda: None)
    monkeypatch.setitem(sys.modules, "ray", init)
    with open_engine("ray", None, retries=1):
        assert told == ["0"]


def test_an_engine_that_is_not_installed_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert "pip install 'bokehflow[dask]'" in str(reach_problem("dask", None))


def engaged_project(engine: str) -> Project:
    settings = {"domains": {"ordinary": {}, "shallow": {}}, "masks": {"segmenter": "none"}}
    return Project.model_validate({**settings, "compute": {"engine": engine, "batch_size": 3}})


def test_processes_end_with_what_opened_them_also_in_the_middle_of_a_piece(task: Task) -> None:
    batches = Batches(lambda: open_engine("local", None, retries=0, workers=2), engine_work.work, 1)
    rows = run_batches(batches, task, ["000", "slow", "001"])
    assert next(rows)["name"] in ("000", "001")
    began_s = time.monotonic()
    rows.close()  # pyright: ignore[reportAttributeAccessIssue] - it is a generator
    assert time.monotonic() - began_s < 20, "`slow` takes a minute"
    assert not [one for one in psutil.Process().children() if "pipeline.compute.processes" in " ".join(one.cmdline())]


def test_processes_end_when_whoever_started_them_is_killed(task: Task) -> None:
    code = (
        "import sys; from tests.pipeline.compute.test_engines import *\n"
        "batches = Batches(lambda: open_engine('local', None, retries=0, workers=2), engine_work.work, 1)\n"
        "for row in run_batches(batches, Task(*sys.argv[1:]), NAMES): print(row, flush=True)\n"
        "time.sleep(60)"
    )
    told = [task.name, task.version, task.home, task.folder, task.settings]
    with subprocess.Popen([sys.executable, "-c", code, *told], stdout=subprocess.PIPE) as driver:
        assert driver.stdout is not None
        driver.stdout.readline()
        workers = psutil.Process(driver.pid).children()
        driver.kill()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert workers
    assert not alive


def test_where_memory_is_short_there_are_fewer_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    for available, slots in ((100e9, 8), (3.5e9, 3), (1e8, 1)):
        monkeypatch.setattr(psutil, "virtual_memory", lambda free=available: SimpleNamespace(available=int(free)))
        with open_engine("local", None, retries=0, workers=8) as engine:
            assert engine.slots() == slots


def test_an_error_of_the_work_itself_is_told_with_where_it_was(task: Task) -> None:
    with (
        pytest.raises(ComputeError, match=r"(?s)a worker of this machine failed: Traceback.*KeyError"),
        open_engine("local", None, retries=0, workers=1) as engine,
    ):
        list(map_pieces(engine, engine_work.work, iter(["{}", None]).__next__))


def made_by(over: Engaged | None, project: Project, home: Home) -> list[object]:
    """What hints, masks, training pictures and fingerprints become, made here or over an engine."""
    segmenter, photos = SegmenterResource(project.masks), home.tables.read("unique_photos")
    hints, unmeasured = update_hints(project, home, segmenter, photos, engine=lambda pictures: over)
    wanted = photos.assign(target_domain=photos["domain"])
    source, elsewhere = mask_source(project, home, segmenter), {"each": masks_over(over, {})} if over else {}
    masks = segment_photos(wanted, source, home.masks, 0.0, **elsewhere)
    images = prepare_images(
        masks,
        readers(project, home),
        ShardFolder(home.shards, 3),
        Crop("centre", 32),
        each=shards_over(over) if over else None,
    )
    store, digests = FingerprintStore(home.fingerprints), photos["sha256"].tolist()
    if over:
        assert fingerprints_over(over, home, digests, lambda done, total: None) == {}
        assert store.missing(digests) == []
    fingerprint_pictures(digests, home.blobs.read, store)
    shelf = store.read(digests)
    assert not list(home.root.glob("work/*"))
    return [
        data_version("photo_hints", conform("photo_hints", hints)),
        data_version("person_masks", masks),
        data_version("training_images", conform("training_images", images)),
        sorted(path.name for path in home.shards.iterdir()),
        shelf.records.tobytes(),
        shelf.small.tobytes(),
        sorted(path.name for path in home.thumbnails.rglob("*.jpg")),
        len(unmeasured),
    ]


@pytest.mark.parametrize("name", ["local", "dask", pytest.param("ray", marks=pytest.mark.slow)])
def test_a_home_made_by_workers_is_the_home_made_here(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    address = request.getfixturevalue(CLUSTERS[name]) if name in CLUSTERS else None
    versions = []
    for place, project in (("here", engaged_project("local")), ("there", engaged_project(name))):
        home = home_of_pictures(tmp_path / place, 8)
        versions.append(made_by(Engaged(project, home, address) if place == "there" else None, project, home))
    assert versions[0] == versions[1]
    assert all(versions[0][:-1])


def test_many_pictures_are_worth_processes(tmp_path: Path) -> None:
    home, project = home_of_pictures(tmp_path, 4), engaged_project("local")
    assert engine_of(project, home, tasks.WORTH_PROCESSES - 1) is None
    assert engine_of(project, home, tasks.WORTH_PROCESSES) == Engaged(project, home)
