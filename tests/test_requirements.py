"""What pyproject.toml declares is what the code imports, no more and no less. The code is read, not run."""

import ast
import sys
import tomllib
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[1]
PACKAGES = ("pipeline", "assets", "resources", "storage")
DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "google": "protobuf",
    "mlflow": "mlflow-skinny",
    "openlineage": "openlineage-python",
    "psycopg2": "psycopg2-binary",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
"""Modules whose distributions have other names."""
PARTS = {
    "alembic": "dagster",
    "dagster-pipes": "dagster",
    "dask": "distributed",
    "markupsafe": "jinja2",
    "protobuf": "onnx",
    "psycopg2-binary": "dagster-postgres",
    "pydantic-core": "pydantic",
    "sqlalchemy": "dagster",
}
"""What is imported for the sake of a declared package that needs it itself, and chooses its version."""
NOT_IMPORTED = {"dagster-postgres", "onnxscript", "pip", "tensorboard"}
"""What settings of Dagster name, what torch exports models and writes events with, and the program that fetches weights."""


def declared() -> set[str]:
    """What is installed with the package and its extras, that of development aside."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *chain.from_iterable(extras[name] for name in extras if name != "dev")]
    return {canonicalize_name(Requirement(one).name) for one in asked}


def imported() -> set[str]:
    """The distributions of others of which the code imports something, be it by a name in quotes."""
    modules = set[str]()
    for path in chain.from_iterable((REPOSITORY / package).rglob("*.py") for package in PACKAGES):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Import():
                    modules |= {one.name for one in node.names}
                case ast.ImportFrom(module=str(module)):
                    modules.add(module)
                case ast.Call(func=ast.Name(id="import_module") | ast.Attribute(attr="import_module")):
                    inside = chain.from_iterable(map(ast.walk, node.args))
                    modules |= {one.value for one in inside if isinstance(one, ast.Constant) and isinstance(one.value, str)}
    tops = {name.partition(".")[0] for name in modules} - {*sys.stdlib_module_names, *PACKAGES}
    return {canonicalize_name(DISTRIBUTIONS.get(top, top)) for top in tops}


def test_what_is_imported_is_declared() -> None:
    assert imported() - declared() == {*PARTS}


def test_what_is_declared_is_imported() -> None:
    assert declared() - imported() == NOT_IMPORTED


@pytest.mark.parametrize(("part", "whole"), PARTS.items())
def test_what_is_not_declared_comes_with_what_is(part: str, whole: str) -> None:
    assert whole in declared()
    with suppress(PackageNotFoundError):  # an extra may be left out
        assert part in {canonicalize_name(Requirement(one).name) for one in requires(whole) or ()}
