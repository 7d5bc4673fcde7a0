"""The Dagster code location: everything put together from the project file, when it is loaded and not before."""

import warnings
from pathlib import Path

import dagster as dg

from assets.collect import collect_assets
from assets.curation import curation_assets
from assets.dataset import dataset_assets
from assets.dedupe import dedupe_assets
from assets.evaluation import evaluation_assets
from assets.imports import import_assets
from assets.jobs import jobs
from assets.schedules import schedules
from assets.sensors import sensors
from assets.terminal import terminal_logger
from assets.training import training_assets
from pipeline.config import Project, load_project
from pipeline.memory import keep_freed_memory
from pipeline.training.lifeline import end_with_starter
from resources.dagster_internals import keep_log_copies_from_the_terminal, look_once_for_database_scripts
from resources.home import HomeResource
from resources.segmenter import SegmenterResource
from resources.sources import SourcesResource
from resources.trainer import trainer_of
from storage import Home

# Observable sources and freshness policies are beta in the pinned Dagster; tests guard what is used of them.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)


def build_definitions(project: Project, home: Home, file: Path) -> dg.Definitions:
    """The code location of `project` on `home`; `file` is the project file, at whose folder its relative paths start."""
    assets = [
        *collect_assets(project),
        *import_assets(project),
        *dedupe_assets(project),
        *curation_assets(project),
        *dataset_assets(project),
        *training_assets(project),
        *evaluation_assets(project, file.parent),
    ]
    all_jobs = jobs(project)
    return dg.Definitions(
        assets=assets,
        jobs=all_jobs,
        schedules=schedules(project, home),
        sensors=sensors(project, home, file, all_jobs),
        resources={
            "home": fixed(HomeResource(root=str(home.root))),
            "sources": fixed(SourcesResource(project)),
            "segmenter": fixed(SegmenterResource(project.masks)),
            "trainer": fixed(trainer_of(project, home)),
        },
        # A run is a process already. One more for each step would import everything again, and would outlive a
        # killed run, trainer included.
        executor=dg.in_process_executor,
        loggers={"console": terminal_logger},
    )


def fixed(resource: object) -> dg.ResourceDefinition:
    """The object as a resource for which a run can configure nothing."""
    return dg.ResourceDefinition(resource_fn=lambda _: resource, config_schema={})


@dg.definitions
def definitions() -> dg.Definitions:
    """What `workspace.yaml` loads, in a code server and in each run."""
    end_with_starter()
    keep_freed_memory()
    keep_log_copies_from_the_terminal()
    look_once_for_database_scripts()
    home = Home.at()
    path = home.project_file()
    return build_definitions(load_project(path), home, path)
