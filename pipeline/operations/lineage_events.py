"""OpenLineage events: that an asset's partition is being made, from which data, and what came of it.

Off unless the environment names a transport, in the variables of OpenLineage's own client, which sends them. What goes
wrong with an event is said once and never stops what the event is about.

A run of Dagster may make several assets; each is a run of its own here, with Dagster's as its parent. Its id follows from
that run, the asset and the partition, so that whoever finds a killed run can say that it ended.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from pipeline.config import Project
from pipeline.errors import ConfigError
from pipeline.operations.lists import file_version
from pipeline.operations.stages import STAGES, provenance_of
from pipeline.operations.training import run_folder
from pipeline.plain_text import without_credentials
from pipeline.tables import TABLES
from pipeline.training.runs import model_version
from storage import Home

if TYPE_CHECKING:
    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import InputDataset, OutputDataset, RunEvent

log = logging.getLogger(__name__)

SWITCHES, TRANSPORT = ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG"), "OPENLINEAGE__TRANSPORT"
"""Variables of the client that name a transport, and the beginning of the others that do."""
NAMESPACE_VARIABLE, NAMESPACE = "OPENLINEAGE_NAMESPACE", "bokehflow"
SILENT_S = 600.0
"""So long nothing is sent after an event could not be: each try may take the client's time limits."""
KILLED = "the process of this run is gone"
DATA_OUTSIDE = ("reviewed decisions", "drawn masks")
"""What people put there, by its name in a provenance; the rest of what lies outside is no data."""

Say = Callable[[str], None]
Done = Callable[[str], None]
"""Takes the data version of what was made."""


@dataclass(frozen=True)
class Making:
    """One partition of an asset in one run of Dagster."""

    project: Project | None
    """None of a run that was killed, whose project nobody knows."""
    home: Home
    asset: str
    partition: str | None
    run_id: str
    """Dagster's, a UUID."""
    job: str
    """Dagster's job."""
    why: str = ""


@dataclass(frozen=True)
class Dataset:
    """A table's partition, a snapshot, a model, a report, or what lies outside; its version where it is known."""

    name: str
    version: str | None = None
    namespace: str | None = None
    """None: the home's."""


def is_on(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether events are to be sent."""
    if environment.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true":
        return False
    return any(environment.get(name) for name in SWITCHES) or any(name.startswith(TRANSPORT) for name in environment)


@contextmanager
def events_of(making: Making, say: Say) -> Iterator[Done]:
    """Tells that it begins, and when it is over whether it succeeded; to be called with the data version before that.

    `say` is told, once for a process and ten minutes, what keeps events from being sent.
    """
    made: list[str] = []
    sender = _sender()
    sender.send("START", making, say)
    try:
        yield made.append
    except Exception as error:
        sender.send("FAIL", making, say, problem=str(error) or type(error).__name__)
        raise
    except BaseException:
        sender.send("ABORT", making, say)
        raise
    sender.send("COMPLETE", making, say, version=made[-1] if made else None)


def tell_killed(making: Making, say: Say) -> None:
    """Tell that what was being made when its process was killed has failed."""
    _sender().send("FAIL", making, say, problem=KILLED)


def _sender() -> "_Sender":
    return _sender_of(tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("OPENLINEAGE"))))


@cache
def _sender_of(settings: tuple[tuple[str, str], ...]) -> "_Sender":
    return _Sender()


@dataclass
class _Sender:
    client: "OpenLineageClient | None" = None
    silent_until: float = field(default=-1.0)

    def send(self, state: str, making: Making, say: Say, problem: str = "", version: str | None = None) -> None:
        """Send an event, or say why it cannot be."""
        if time.monotonic() < self.silent_until:
            return
        try:
            self.client = self.client or _client()
            self.client.emit(_event(state, making, problem, version))
        except Exception as error:
            # Whatever a client, its settings, a proxy or a server come up with: the run does not depend on it.
            self.silent_until = time.monotonic() + SILENT_S
            say(f"OpenLineage: events are not sent ({_short(error)}); the run goes on, the next try is in 10 minutes")


def _short(error: Exception) -> str:
    return without_credentials(str(error) or type(error).__name__)[:300]


def _client() -> "OpenLineageClient":
    try:
        from openlineage.client import OpenLineageClient
        from openlineage.client.event_v2 import set_producer
    except ImportError as error:
        raise ConfigError(f"{error.name or error}: pip install 'bokehflow[openlineage]'") from error
    set_producer(f"urn:bokehflow:{version('bokehflow')}")
    return OpenLineageClient()


def _namespace() -> str:
    return os.environ.get(NAMESPACE_VARIABLE) or NAMESPACE


def event_run_id(run: str, asset: str, partition: str | None) -> str:
    """The id under which events tell of this partition in this run of Dagster."""
    return str(uuid5(UUID(run), f"{asset}/{partition or ''}"))


def _event(state: str, making: Making, problem: str, data_version: str | None) -> "RunEvent":
    from openlineage.client import event_v2
    from openlineage.client.facet_v2 import error_message_run, job_type_job, parent_run, processing_engine_run, tags_run

    space = _namespace()
    facets: dict[str, Any] = {
        "parent": parent_run.ParentRunFacet(parent_run.Run(making.run_id), parent_run.Job(space, making.job)),
        "processing_engine": processing_engine_run.ProcessingEngineRunFacet(version("bokehflow"), "bokehflow"),
    }
    told = {"partition": making.partition, "why": making.why}
    tags = [tags_run.TagsRunFacetFields(key, value, "bokehflow") for key, value in told.items() if value]
    if tags:
        facets["tags"] = tags_run.TagsRunFacet(tags)
    if problem:
        facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(problem, "python")
    kind = job_type_job.JobTypeJobFacet("BATCH", "BOKEHFLOW", "ASSET")
    return event_v2.RunEvent(
        eventTime=datetime.now(UTC).isoformat(),
        eventType=event_v2.RunState(state),
        run=event_v2.Run(event_run_id(making.run_id, making.asset, making.partition), facets),
        job=event_v2.Job(space, making.asset, {"jobType": kind}),
        inputs=[_input(one, space) for one in inputs_of(making)],
        outputs=[_output(making, space, data_version)],
    )


def _input(dataset: Dataset, space: str) -> "InputDataset":
    from openlineage.client.event_v2 import InputDataset

    return InputDataset(dataset.namespace or space, dataset.name, facets=_facets(dataset.version))


def _output(making: Making, space: str, data_version: str | None) -> "OutputDataset":
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import output_statistics_output_dataset, schema_dataset

    facets, counts = _facets(data_version), {}
    if making.asset in TABLES:
        columns = TABLES[making.asset].schema.columns.items()
        fields = [schema_dataset.SchemaDatasetFacetFields(name, str(one.dtype), one.description) for name, one in columns]
        facets["schema"] = schema_dataset.SchemaDatasetFacet(fields=fields)
        info = making.home.tables.info(making.asset, making.partition) if data_version else None
        if info:
            statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet
            counts["outputStatistics"] = statistics(rowCount=info.row_count, size=info.path.stat().st_size)
    return OutputDataset(space, _name(making.asset, making.partition), facets=facets, outputFacets=counts)


def _facets(data_version: str | None) -> dict[str, Any]:
    from openlineage.client.facet_v2 import dataset_version_dataset

    return {"version": dataset_version_dataset.DatasetVersionDatasetFacet(data_version)} if data_version else {}


def _name(asset: str, partition: str | None) -> str:
    return f"{asset}/{partition}" if partition else asset


def inputs_of(making: Making) -> list[Dataset]:
    """What the asset's partition is made from, with the versions that hold now."""
    project, home, partition = making.project, making.home, making.partition
    if project is None:
        return []
    if making.asset in STAGES:
        return _inputs_of_table(project, home, making.asset, partition)
    if making.asset == "dataset_snapshot":
        info = home.tables.info("dataset_manifest")
        return [Dataset("dataset_manifest", info.data_version if info else None)]
    recipe, _, snapshot = str(partition).rpartition("|")
    frozen = Dataset(_name("dataset_snapshot", snapshot), snapshot)
    if making.asset == "trained_model":
        return [frozen]
    if making.asset == "evaluation":
        return [
            frozen,
            Dataset(_name("trained_model", partition), model_version(run_folder(home, snapshot, recipe)) or None),
        ]
    keys = [key for key in home.tables.partitions("evaluation") if key.rpartition("|")[2] == snapshot]
    infos = {key: home.tables.info("evaluation", key) for key in keys}
    return [frozen, *(Dataset(_name("evaluation", key), info.data_version) for key, info in infos.items() if info)]


def _inputs_of_table(project: Project, home: Home, asset: str, partition: str | None) -> list[Dataset]:
    provenance = provenance_of(project, home, asset, partition)
    found = [Dataset(_name(name, key), one) for name, keys in provenance.tables.items() for key, one in keys.items()]
    if asset == "photo_listing" and partition:
        domain = partition.split("|")[0]
        found.append(Dataset(domain, namespace=project.domains[domain].source))
    if asset == "imported_photos":
        lists = [Path(path) for domain in project.domains.values() for path in domain.lists]
        found += [Dataset(path.as_posix(), file_version(path) or None, namespace="file") for path in lists]
    told = [(name, one) for name, one in provenance.outside.items() if name in DATA_OUTSIDE and one]
    return [*found, *(Dataset(name.replace(" ", "_"), one) for name, one in told)]
