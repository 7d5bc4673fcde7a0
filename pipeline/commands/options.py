"""What the commands share: `--home`, `--config`, opening both, and speaking to the person at the terminal."""

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pipeline.plain_text import plain_lines

if TYPE_CHECKING:
    from pipeline.config import Project
    from pipeline.errors import ConfigError
    from storage import Home

STRENGTH_PERCENT = 3.0
"""Of a lens of which nothing is said: the radius of its largest disc in per cent of the shorter side."""


class FiniteRange(click.FloatRange):
    """A number within bounds; `nan`, which is within any, is refused."""

    def convert(self, value: float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no number.", param, ctx)
        return number


Command = TypeVar("Command", bound=Callable[..., Any])


def home_option(otherwise: str) -> Callable[[Command], Command]:
    """`--home` of a command whose home is `otherwise` where nothing names one."""
    return click.option(
        "--home",
        type=click.Path(file_okay=False, path_type=Path),
        help=f"Where data lives, a folder or s3://BUCKET/PREFIX; else BOKEHFLOW_HOME, else {otherwise}.",
    )


def with_home(command: Command) -> Command:
    """Give a command `--home`."""
    return home_option("./data")(command)


def with_config(command: Command) -> Command:
    """Give a command `--config`."""
    return click.option(
        "--config",
        type=click.Path(dir_okay=False, path_type=Path),
        help="The project file; else BOKEHFLOW_CONFIG, else bokehflow.toml in the home, else ./bokehflow.toml.",
    )(command)


def no_recipe(path: Path, wanted: str, known: Sequence[str]) -> "ConfigError":
    """What to raise where a project file has no recipe of that name."""
    from pipeline.errors import ConfigError
    from pipeline.models import MODELS

    name = wanted.partition("@")[0]
    model = name if name in MODELS else "cyclegan"
    first = f'it has none. Write [recipes.{model}] there, and model = "{model}" below'
    instead = f"one of: {', '.join(known)}" if known else first
    return ConfigError(f"{path}: there is no recipe {wanted!r}; {instead}")


def open_home(home: Path | str | None) -> "Home":
    """The home at hand, named in the environment as well for the processes that commands start.

    One at an address of object storage is made alike there when the command ends, however it does.
    """
    from storage import Home

    chosen = Home.at(home, say)
    if working := chosen.working:

        def ended() -> None:
            working.cache.release()
            working.settle(say)

        click.get_current_context().call_on_close(ended)
    os.environ["BOKEHFLOW_HOME"] = str(chosen.root)
    os.environ["PYTHONSAFEPATH"] = "1"  # a folder where somebody works may be called like one of our packages
    return chosen


def load(home: "Home", config: Path | None) -> tuple["Project", Path]:
    """The project of that home, and the file it stands in."""
    from pipeline.config import load_project

    path = home.project_file(config)
    os.environ["BOKEHFLOW_CONFIG"] = str(path)
    return load_project(path), path


def say(message: str) -> None:
    """Tell the person something, beside the output that a program may read."""
    click.echo(plain_lines(message), err=True)


def tell(answer: object) -> None:
    """Write what was asked for to the standard output. Nothing but this and `say` writes to a terminal."""
    click.echo(plain_lines(str(answer)))
