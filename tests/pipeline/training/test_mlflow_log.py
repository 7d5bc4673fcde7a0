"""Trainings as runs of MLflow: in a folder that its own client reads, and at a server on loopback that speaks its API."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from pipeline.training import mlflow_log, process
from pipeline.training.__main__ import load_data
from pipeline.training.jobs import TrainingJob
from pipeline.training.process import run_training
from pipeline.training.runs import Completion, RunFolder
from tests.loopback_server import serving

MakeJob = Callable[..., TrainingJob]
Answer = dict[str, Any]


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**mlflow_log.DEFAULTS, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}.items():
        monkeypatch.setenv(name, value)


def train(job: TrainingJob, steps: int = 10**6) -> Completion | None:
    """Until it has made so many steps in this process."""
    asked = iter(range(1, 10**6))
    stop = (lambda: next(asked) >= steps) if steps < 10**6 else (lambda: False)
    return run_training(job, lambda: load_data(job), stop)


class Tracking:
    """What a tracking server knows, and its answers."""

    def __init__(self) -> None:
        self.runs: dict[str, Answer] = {}
        self.artifacts: dict[str, bytes] = {}
        self.metrics: dict[str, list[Answer]] = {}
        self.statuses: list[str] = []
        self.experiments: dict[str, str] = {}

    def answer(self, path: str, told: Answer) -> Answer | None:
        """None for what is not there."""
        method = getattr(self, path.rpartition("/mlflow/")[2].replace("/", "_").replace("-", "_"), None)
        assert method is not None, path
        return method(told)

    def experiments_get_by_name(self, told: Answer) -> Answer | None:
        name = told["experiment_name"]
        if name not in self.experiments:
            return None
        return {"experiment": {"experiment_id": self.experiments[name], "name": name, "lifecycle_stage": "active"}}

    def experiments_create(self, told: Answer) -> Answer:
        self.experiments[told["name"]] = str(len(self.experiments) + 1)
        return {"experiment_id": self.experiments[told["name"]]}

    def runs_search(self, told: Answer) -> Answer:
        wanted = told["filter"].split("'")[1]
        return {
            "runs": [run for run in self.runs.values() if {"key": mlflow_log.MARK, "value": wanted} in run["data"]["tags"]]
        }

    def runs_create(self, told: Answer) -> Answer:
        number = f"{len(self.runs) + 1:032x}"
        place = f"mlflow-artifacts:/{told['experiment_id']}/{number}/artifacts"
        info = {"run_id": number, "run_uuid": number, "experiment_id": told["experiment_id"], "status": "RUNNING"}
        info |= {"run_name": told["run_name"], "artifact_uri": place, "lifecycle_stage": "active", "start_time": 1}
        self.runs[number] = {"info": info, "data": {"tags": told["tags"], "params": [], "metrics": []}, "inputs": {}}
        return {"run": self.runs[number]}

    def runs_get(self, told: Answer) -> Answer:
        return {"run": self.runs[told["run_id"]]}

    def runs_update(self, told: Answer) -> Answer:
        self.statuses.append(told["status"])
        self.runs[told["run_id"]]["info"]["status"] = told["status"]
        return {"run_info": self.runs[told["run_id"]]["info"]}

    def runs_log_batch(self, told: Answer) -> Answer:
        data = self.runs[told["run_id"]]["data"]
        data["params"] += told.get("params", [])
        for metric in told.get("metrics", []):
            self.metrics.setdefault(metric["key"], []).append(metric)
            data["metrics"] = [one for one in data["metrics"] if one["key"] != metric["key"]] + [metric]
        return {}

    def metrics_get_history(self, told: Answer) -> Answer:
        return {"metrics": self.metrics.get(told["metric_key"], [])}

    def runs_log_inputs(self, told: Answer) -> Answer:
        self.runs[told["run_id"]]["inputs"] = {"dataset_inputs": told["datasets"]}
        return {}

    def runs_set_tag(self, told: Answer) -> Answer:
        self.runs[told["run_id"]]["data"]["tags"].append({"key": told["key"], "value": told["value"]})
        return {}


@contextmanager
def tracking_server() -> Iterator[tuple[str, Tracking]]:
    """Its address, and what it knows."""
    known = Tracking()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            self.reply(known.answer(asked.path, {name: values[0] for name, values in parse_qs(asked.query).items()}))

        def do_POST(self) -> None:
            self.reply(known.answer(self.path, json.loads(self.body())))

        def do_PUT(self) -> None:
            known.artifacts[self.path.rpartition("/artifacts/")[2]] = self.body()
            self.reply({})

        def body(self) -> bytes:
            return self.rfile.read(int(self.headers["Content-Length"]))

        def reply(self, answer: Answer | None) -> None:
            missing = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "there is none"}
            content = json.dumps(missing if answer is None else answer).encode()
            self.send_response(404 if answer is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None: ...

    with serving(Handler) as address:
        yield address, known


def test_a_folder_that_mlflows_own_client_reads(tmp_path: Path, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "portraits")
    job = make_job()
    completion = train(job)
    assert completion is not None
    client = MlflowClient((tmp_path / "mlruns").as_uri())
    experiment = client.get_experiment_by_name("portraits")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.status, run.info.run_name) == ("FINISHED", job.run_id)
    assert run.data.tags["bokehflow.snapshot"] == job.snapshot_id
    assert run.data.tags["bokehflow.code_revision"] == "abc"
    assert run.data.params["steps"] == "12"
    assert run.data.metrics["final/cycle_a"] == completion.final_losses["cycle_a"]
    history = client.get_metric_history(run.info.run_id, "loss/cycle_a")
    assert [one.step for one in history] == list(range(1, 13))
    assert run.inputs is not None
    (snapshot,) = run.inputs.dataset_inputs
    assert snapshot.dataset.digest == job.snapshot_id
    assert {one.path for one in client.list_artifacts(run.info.run_id)} == {"model.json", "model_card.md"}


def test_an_interrupted_training_goes_on_in_its_own_run(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    with tracking_server() as (url, known):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        job = make_job()
        assert train(job, steps=5) is None
        (run,) = known.runs.values()
        assert run["info"]["status"] == "KILLED"
        # A process that was killed after it had sent more than its checkpoint holds.
        extra = {"key": "loss/cycle_a", "value": 0.5, "timestamp": 1, "step": 6}
        known.runs_log_batch({"run_id": run["info"]["run_id"], "metrics": [extra]})
        assert train(job)
        (run,) = known.runs.values()
    assert known.statuses == ["KILLED", "RUNNING", "FINISHED"]
    assert [one["step"] for one in known.metrics["loss/cycle_a"]] == list(range(1, 13))
    parameters = [one["key"] for one in run["data"]["params"]]
    assert len(parameters) == len(set(parameters)) > 20
    assert known.artifacts["model.json"] == RunFolder(job.run_dir).card.read_bytes()
    assert b"cyclegan" in known.artifacts["model_card.md"]
    assert run["inputs"]["dataset_inputs"][0]["dataset"]["digest"] == job.snapshot_id


def test_a_training_that_fails_says_so(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    with tracking_server() as (url, known):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        monkeypatch.setattr(process, "model_card", fail)
        with pytest.raises(RuntimeError):
            train(make_job())
    assert known.statuses == ["FAILED"]


def fail(*_: object) -> None:
    raise RuntimeError("no card")


def test_a_server_that_is_not_there_is_said_once_and_stops_nothing(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ann:marked-secret@127.0.0.1:9")
    job = make_job()
    assert train(job)
    said = [record.message for record in caplog.records if "MLflow" in record.message]
    assert len(said) == 1
    assert "the training goes on" in said[0]
    assert "127.0.0.1" in said[0]
    assert "marked-secret" not in caplog.text


def test_a_server_that_never_answers_is_waited_for_at_the_end_alone(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    release = threading.Event()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setattr(mlflow_log, "PATIENCE_S", 0.1)
    monkeypatch.setattr(mlflow_log, "_client", lambda: release.wait(60) and None)
    try:
        assert train(make_job())
    finally:
        release.set()
    assert [record.message for record in caplog.records if "no answer in" in record.message]


def test_without_an_address_there_is_nothing(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    job = make_job()
    assert train(job, steps=1) is None
    assert not RunFolder(job.run_dir).mlflow.exists()


def test_a_mark_that_cannot_be_read_is_made_anew(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.mlflow.write_text("' OR 1 = 1")
    mark = mlflow_log.mark_of(folder)
    assert len(mark) == 32
    assert mlflow_log.mark_of(folder) == mark
