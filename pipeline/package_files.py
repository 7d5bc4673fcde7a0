"""Where the code lies, and the files that the package brings beside it.

Dagster's settings, the project files to start from and the page about their keys stand elsewhere in the checkout and are
linked into `pipeline/`: a checkout reads them in place, a wheel gets copies when it is built.
"""

import os
from pathlib import Path

PACKAGE = Path(__file__).parent
CODE = PACKAGE.parent
"""The folder that is imported from: a checkout's top, or `site-packages`."""
DAGSTER_SETTINGS = PACKAGE / "dagster.yaml"
DAGSTER_ON_POSTGRES = PACKAGE / "dagster.postgres.yaml"
POSTGRES_VARIABLE = "BOKEHFLOW_POSTGRES_HOST"
"""Where it is set, Dagster's records are in PostgreSQL."""
WORKSPACE = PACKAGE / "workspace.yaml"
PROJECT_FILE = "bokehflow.toml"
"""The name of every project file."""
STARTING_PROJECTS = {"flickr": PACKAGE / PROJECT_FILE, "commons": PACKAGE / "commons.toml"}
"""The study's project, commented, by the source that it asks."""
DEMO_PROJECT, PHOTOGRAPHS_PROJECT = PACKAGE / "demo.toml", PACKAGE / "photographs.toml"
"""Those of `bokehflow demo`: with `{port}` and `{image_port}` of its emulator to be filled in, and of `--photographs`."""
COLLECTIONS_PROJECT = PACKAGE / "collections.toml"
"""That of `bokehflow demo --study collections`."""
DEPTH_PROJECT, FOCUS_PROJECT = PACKAGE / "depth.toml", PACKAGE / "focus.toml"
"""Those of `bokehflow demo --study depth` and `--study focus`."""
SETTINGS_PAGE = PACKAGE / "configuration.md"
"""Every key of a project file, explained."""


def child_environment() -> dict[str, str]:
    """The environment of a process that runs a module of this very code, wherever it starts."""
    paths = os.pathsep.join(filter(None, [str(CODE), os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": paths}
