"""What is installed is what the lock says, byte for byte."""

import re
import subprocess
import sys
import tomllib
import zipfile
from contextlib import suppress
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, distribution, requires
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import REPOSITORY

LOCKS = ("requirements.lock", "requirements-build.lock")


def locked(name: str) -> dict[str, list[tuple[Requirement, int]]]:
    """By package its entries (one for each platform that needs another), each with the number of its hashes."""
    entries = re.split(r"\n(?=[a-z0-9])", "\n" + re.sub(r"(?m)^ *#.*\n", "", (REPOSITORY / name).read_text()))
    found: dict[str, list[tuple[Requirement, int]]] = {}
    for entry in filter(str.strip, entries):
        requirement = Requirement(entry.split("\\")[0])
        found.setdefault(canonicalize_name(requirement.name), []).append((requirement, entry.count("--hash=sha256:")))
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_every_entry_is_a_version_with_its_hashes(name: str) -> None:
    entries = [entry for each in locked(name).values() for entry in each]
    assert entries
    for requirement, hashes in entries:
        assert [specifier.operator for specifier in requirement.specifier] == ["=="], requirement
        assert hashes, requirement


def test_what_bokehflow_needs_is_locked_and_of_that_version() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())]
    lock, seen, waiting = locked("requirements.lock"), set(), [Requirement(text) for text in asked]
    while waiting:
        needed = waiting.pop()
        name = canonicalize_name(needed.name)
        if (name, *sorted(needed.extras)) in seen:
            continue
        seen.add((name, *sorted(needed.extras)))
        entries = [entry for entry, _ in lock.get(name, []) if not entry.marker or entry.marker.evaluate()]
        assert entries, f"{name} is not in the lock; `make lock` writes it anew"
        with suppress(PackageNotFoundError):  # an extra may be left out
            assert entries[0].specifier.contains(distribution(name).version, prereleases=True), name
            waiting += [each for text in requires(name) or () if is_needed(each := Requirement(text), needed)]


def is_needed(requirement: Requirement, by: Requirement) -> bool:
    """Whether it is needed on this machine by a package that is asked for with these extras."""
    return not requirement.marker or any(requirement.marker.evaluate({"extra": extra}) for extra in [*by.extras, ""])


@pytest.mark.parametrize("target", ["install", "dev-install"])
def test_make_installs_under_the_lock(target: str) -> None:
    shown = subprocess.run(["make", "--dry-run", "--always-make", target], cwd=REPOSITORY, capture_output=True, text=True)
    (install,) = [line for line in shown.stdout.splitlines() if "uv pip install" in line]
    assert "--verify-hashes --constraint requirements.lock --build-constraint requirements-build.lock" in install
    assert "--require-hashes --requirement requirements-build.lock" in shown.stdout


@pytest.mark.parametrize("is_right", [True, False])
def test_uv_refuses_other_bytes_than_a_constraint_names(tmp_path: Path, is_right: bool) -> None:
    wheel = tmp_path / "tiny-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("tiny-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n")
        file.writestr("tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("tiny-1.dist-info/RECORD", "")
    digest = sha256(wheel.read_bytes() if is_right else b"other bytes").hexdigest()
    (tmp_path / "lock").write_text(f"tiny==1 --hash=sha256:{digest}\n")
    uv = [sys.executable, "-m", "uv", "pip", "install", "--verify-hashes", "--constraint", "lock", "--offline", "--no-index"]
    done = subprocess.run(
        [*uv, "--cache-dir", "cache", "--find-links", ".", "--target", "installed", "tiny"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode == 0) == is_right, done.stderr
    assert is_right or "Hash mismatch" in done.stderr
