"""The documentation says what the program does."""

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from pipeline.cli import cli

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_every_command_and_option_is_in_the_readme() -> None:
    for name, command in _commands(cli):
        assert f"`bokehflow {name}" in README, name
        options = [option for parameter in command.params for option in parameter.opts if option.startswith("--")]
        (line,) = [line for line in README.splitlines() if line.startswith(f"| `bokehflow {name}")]
        missing = [
            option for option in options if option not in line and option not in ("--home", "--config", "--image-port")
        ]
        assert not missing or name == "emulator", (name, missing)


def _commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command by its full name, such as `snapshot list`."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _commands(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


def test_the_configuration_page_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("generate", REPOSITORY / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    written = (REPOSITORY / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert written == generate.reference(), "run docs/generate.py"


def test_every_file_that_the_documentation_links_to_exists() -> None:
    for page in (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("path", ["pipeline/flickr", "pipeline/dedupe/groups.py", "assets/automation.py", "storage/home.py"])
def test_where_to_change_what_names_real_places(path: str) -> None:
    assert path in README
    assert (REPOSITORY / path).exists()


def test_help_loads_nothing_heavy() -> None:
    code = "import sys, pipeline.cli; print(sorted({'dagster', 'pandas', 'torch', 'numpy', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
