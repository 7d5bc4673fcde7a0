"""What is installed is what the lock says, byte for byte."""

import re
import subprocess
import sys
import zipfile
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, distribution, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import REPOSITORY

LOCKS = ("requirements.lock", "requirements-build.lock")
EXTRAS = ("", "dev", "studio")


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
    lock, seen = locked("requirements.lock"), set()
    waiting = [Requirement(f"bokehflow[{extra}]") for extra in EXTRAS if extra]
    while waiting:
        needed = waiting.pop()
        for text in requires(needed.name) or ():
            requirement = Requirement(text)
            asked = [*needed.extras, ""]
            if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in asked):
                continue
            key = (canonicalize_name(requirement.name), *sorted(requirement.extras))
            if key in seen or key[0] == "bokehflow":
                continue
            seen.add(key)
            entries = [entry for entry, _ in lock.get(key[0], []) if not entry.marker or entry.marker.evaluate()]
            assert entries, f"{requirement.name}, needed by {needed.name}, is not in the lock; `make lock` writes it anew"
            try:
                assert entries[0].specifier.contains(distribution(key[0]).version, prereleases=True), key[0]
            except PackageNotFoundError:
                pytest.skip("this environment is without the extra studio")
            waiting.append(requirement)


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
