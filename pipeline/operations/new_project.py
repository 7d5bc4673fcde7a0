"""A new project file, made from the study's."""

import json
import os
import re
from pathlib import Path

from pipeline.atomic import write_text
from pipeline.config import load_project, parse_project
from pipeline.errors import ConfigError
from pipeline.package_files import PROJECT_FILE, STARTING_PROJECTS
from pipeline.plain_files import read_plain_text


def write_project(folder: Path, name: str | None = None, source: str = "flickr") -> Path:
    """Write the study's project on `source` into `folder`, called `name` or else as the folder is; returns the file.

    Raises `ConfigError` where a project file is there already, the name cannot be used, or the folder cannot be written.
    """
    path = folder / PROJECT_FILE
    text = project_text(name or name_from(folder.resolve().name), source)
    parse_project(text, path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(path):
            raise ConfigError(f"{path}: there is a project file already; it stays as it is")
        write_text(path, text)
    except OSError as error:
        raise ConfigError(f"{folder}: a project cannot be written there: {error.strerror or error}") from error
    return path


def project_text(name: str, source: str = "flickr") -> str:
    """The study's project file with another name; `source` is a key of `STARTING_PROJECTS`."""
    study = STARTING_PROJECTS[source]
    named = f'name = "{load_project(study).project.name}"'
    return read_plain_text(study).replace(named, f"name = {json.dumps(name)}", 1)


def name_from(folder: str) -> str:
    """What a folder's name gives as a project's: small letters, digits and `_`, a letter first."""
    letters = re.sub(r"[^a-z0-9]+", "_", folder.lower()).strip("_")
    return (letters if letters[:1].isalpha() else f"project_{letters}")[:40].rstrip("_")
