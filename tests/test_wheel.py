"""A wheel built from the checkout works in an environment of its own, in an empty folder."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
import requests

from tests.conftest import REPOSITORY, WEIGHTS

PACKAGES = ("pipeline", "assets", "resources", "storage")
LINKED = {
    "dagster.yaml": "", "dagster.postgres.yaml": "deploy", "workspace.yaml": "", "bokehflow.toml": "",
    "commons.toml": "docs", "configuration.md": "docs",
}  # fmt: skip
"""Files of `pipeline/` that stand elsewhere in the checkout."""
BUILT_FROM = (*PACKAGES, "pyproject.toml", "README.md", "LICENSE", *(str(Path(LINKED[name], name)) for name in LINKED))
PIP = [sys.executable, "-m", "pip"]
OFFLINE = ["--quiet", "--no-index", "--no-deps", "--disable-pip-version-check"]


@dataclass(frozen=True)
class Installed:
    """An environment that holds the wheel, and of the rest what the tests' own environment has."""

    source: Path
    wheel: Path
    environment: Path

    def run(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.command, *arguments], cwd=folder, env=outside(), capture_output=True, text=True, timeout=900, check=False
        )

    @property
    def command(self) -> str:
        return str(self.environment / "bin" / "bokehflow")


def outside() -> dict[str, str]:
    """The environment of somebody who has no checkout."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "BOKEHFLOW", "VIRTUAL_ENV"))}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Built by the setuptools at hand, of a copy, so that no build folder is left in the checkout."""
    root = tmp_path_factory.mktemp("wheel")
    for name in BUILT_FROM:
        source, target = REPOSITORY / name, root / "source" / name
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    build = ["wheel", "--no-build-isolation", "--wheel-dir", str(root), str(root / "source")]
    subprocess.run([*PIP, *build, *OFFLINE], check=True, timeout=120)
    (wheel,) = root.glob("*.whl")
    environment = root / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True, timeout=60)
    (packages,) = environment.glob("lib/python*/site-packages")
    # Paths only: an editable install is a finder, which is not looked for in folders that are named like this.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    subprocess.run([*PIP, "--python", environment, "install", *OFFLINE, wheel], check=True, timeout=120)
    return Installed(root / "source", wheel, environment)


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


@pytest.fixture
def crowded(empty: Path) -> Path:
    """A folder whose own packages are called like ours."""
    for name in PACKAGES:
        (empty / name).mkdir()
        (empty / name / "__init__.py").write_text("raise ImportError('this is somebody else')\n")
    return empty


def test_the_wheel_holds_every_file_of_the_packages_and_no_other(installed: Installed) -> None:
    files = [path for name in PACKAGES for path in (installed.source / name).rglob("*") if path.is_file()]
    wanted = {str(path.relative_to(installed.source)): path.read_bytes() for path in files}
    with zipfile.ZipFile(installed.wheel) as wheel:
        held = {name: wheel.read(name) for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == wanted


def test_settings_stand_once_in_the_checkout() -> None:
    for name, at in LINKED.items():
        link = REPOSITORY / "pipeline" / name
        assert link.is_symlink()
        assert link.resolve() == REPOSITORY / at / name


def test_from_an_empty_folder_to_a_project(installed: Installed, empty: Path) -> None:
    helped = installed.run(empty, "--help")
    assert (helped.returncode, helped.stderr) == (0, "")
    assert "init" in helped.stdout
    examined = installed.run(empty, "doctor")
    assert "`bokehflow init FOLDER` writes one" in examined.stdout, examined.stderr
    assert "Flickr key: not set" in examined.stdout
    begun = installed.run(empty, "init", ".")
    assert begun.returncode == 0, begun.stderr
    page = re.search(r"^ +(/.+/configuration\.md)$", begun.stderr, re.MULTILINE)
    assert page is not None
    assert Path(page[1]).is_relative_to(installed.environment)
    assert Path(page[1]).read_text() == (REPOSITORY / "docs" / "configuration.md").read_text()


def test_dagsters_settings_are_in_force(installed: Installed, crowded: Path) -> None:
    shutil.copy(REPOSITORY / "bokehflow.toml", crowded)
    (crowded / "data" / "dagster").mkdir(parents=True)
    (crowded / "data" / "dagster" / "dagster.yaml").symlink_to("/an/environment/that/is/gone/dagster.yaml")
    done = installed.run(crowded, "run")
    assert "no Flickr key" in done.stderr, done.stderr
    settings = crowded / "data" / "dagster" / "dagster.yaml"
    assert settings.resolve().is_relative_to(installed.environment)
    with dg.DagsterInstance.from_config(str(settings.parent)) as instance:
        assert not instance.telemetry_enabled
        assert instance.run_monitoring_enabled
        assert instance.get_concurrency_config().pool_config.default_pool_limit == 1


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_the_demo_and_its_ui(installed: Installed, crowded: Path) -> None:
    if not WEIGHTS.exists():
        pytest.skip("the segmenter's weights are not here: `bokehflow weights --home .venv/test-home` fetches them")
    shutil.copytree(WEIGHTS, crowded / "demo-data" / "weights")
    with (crowded / "demo.log").open("w") as log:
        subprocess.run([installed.command, "demo"], cwd=crowded, env=outside(), stderr=log, check=True, timeout=1800)
    told = (crowded / "demo.log").read_text()
    report = re.search(r"^report +(\S+)", told, re.MULTILINE)
    assert report is not None
    assert Path(report[1]).exists()
    (run, *_) = (crowded / "demo-data" / "runs").glob("*/model.json")
    assert re.fullmatch(r"wheel [0-9a-f]{12}", json.loads(run.read_text())["lineage"]["code_revision"])
    assert "up to date" in installed.run(crowded, "run", "--home", "demo-data").stderr
    with opened(installed, crowded) as address:
        page, _, token = address.partition("/?token=")
        query = "{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { __typename } } } } }"
        headers = {"Authorization": f"Bearer {token}"}
        answer = requests.post(f"{page}/graphql", json={"query": query}, headers=headers, timeout=60).json()
        (entry,) = answer["data"]["workspaceOrError"]["locationEntries"]
        assert entry["locationOrLoadError"]["__typename"] == "RepositoryLocation"


@contextmanager
def opened(installed: Installed, folder: Path) -> Iterator[str]:
    """`bokehflow dev` in the folder; its address."""
    command = [installed.command, "dev", "--port", "0"]
    with subprocess.Popen(command, cwd=folder, env=outside(), stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            yield next(found[1] for line in process.stderr if (found := re.match(r"open +(\S+)", line)))
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=90)
