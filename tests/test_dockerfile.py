"""The Dockerfile, as far as it can be checked where no daemon builds it."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from pipeline.cli import cli
from pipeline.commands.running import dev
from pipeline.loopback.server import LISTEN_VARIABLE
from tests.conftest import REPOSITORY
from tests.test_wheel import BUILT_FROM

DOCKERFILE = REPOSITORY / "Dockerfile"
INSTRUCTIONS = [
    (line.split()[0], line.partition(" ")[2])
    for line in re.sub(r"\\\n\s*", "", re.sub(r"(?m)^#.*\n", "", DOCKERFILE.read_text())).splitlines()
    if line
]
COPIED = [name for word, rest in INSTRUCTIONS if word == "COPY" and "--from" not in rest for name in rest.split()[:-1]]


def only(word: str) -> str:
    (rest,) = [rest for each, rest in INSTRUCTIONS if each == word]
    return rest


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_is_copied_is_what_the_wheel_is_built_from_and_may_be_sent() -> None:
    assert {*COPIED} == {*BUILT_FROM, "requirements.lock", "requirements-build.lock"}
    sent = [line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert sorted(COPIED) == sorted(sent)
    assert all((REPOSITORY / name).exists() for name in COPIED)


def test_every_argument_is_used_in_its_stage() -> None:
    stage: set[str] = set()
    for word, rest in INSTRUCTIONS:
        stage = {one for one in stage if not re.search(rf"\${{?{one}\b", rest)}
        if word == "FROM":
            assert not stage
        elif word == "ARG":
            stage.add(rest.partition("=")[0])
    assert not stage


def test_it_starts_the_ui_for_nobody_special() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert only("ENTRYPOINT") == '["bokehflow"]'
    assert "bokehflow" in project["scripts"]
    assert only("CMD") == '["dev"]'
    assert cli.commands["dev"] is dev
    (port,) = [option.default for option in dev.params if option.name == "port"]
    assert only("EXPOSE") == str(port)
    assert f"-p 127.0.0.1:{port}:{port} bokehflow" in DOCKERFILE.read_text()
    assert only("USER") not in ("0", "root")
    (settings,) = [rest for word, rest in INSTRUCTIONS if word == "ENV" and "BOKEHFLOW" in rest]
    assert f"{LISTEN_VARIABLE}=0.0.0.0" in settings.split()


@pytest.mark.parametrize(("device", "code"), [("cpu", 0), ("cuda", 0), ("tpu", 1)])
def test_one_argument_chooses_the_device(tmp_path: Path, device: str, code: int) -> None:
    (script,) = [rest for word, rest in INSTRUCTIONS if word == "RUN" and rest.startswith("case")]
    shutil.copy(REPOSITORY / "requirements.lock", tmp_path)
    uv = tmp_path / "uv"
    uv.write_text('#!/bin/sh\necho "$@"; cat torch.txt\n')
    uv.chmod(0o700)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "DEVICE": device}
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    told = done.stdout.splitlines()
    if device == "cpu":
        assert told[0] == "pip install --no-deps --torch-backend cpu --requirement torch.txt"
        assert [line.partition("==")[0] for line in told[1:]] == ["torch", "torchvision"]
        assert all(f"\n{line} \\" in (REPOSITORY / "requirements.lock").read_text() for line in told[1:])
    else:
        assert not told


def test_the_commands_that_it_tells_exist() -> None:
    for name in re.findall(r"(?m)^#.*docker run .* bokehflow (\w+)", DOCKERFILE.read_text()):
        assert isinstance(cli.commands[name], click.Command)
