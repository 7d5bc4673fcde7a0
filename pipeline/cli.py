"""The `bokehflow` command. Everything heavy is imported by the command that needs it, so `--help` is quick."""

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pipeline.errors import BokehflowError

if TYPE_CHECKING:
    from pipeline.config import Project
    from storage import Home

Command = TypeVar("Command", bound=Callable[..., Any])


def with_home(command: Command) -> Command:
    """Give a command `--home`."""
    return click.option(
        "--home",
        type=click.Path(file_okay=False, path_type=Path),
        help="Where data lives; else BOKEHFLOW_HOME, else ./data.",
    )(command)


def with_config(command: Command) -> Command:
    """Give a command `--config`."""
    return click.option(
        "--config",
        type=click.Path(dir_okay=False, path_type=Path),
        help="The project file; else BOKEHFLOW_CONFIG, else bokehflow.toml in the home, else ./bokehflow.toml.",
    )(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bokehflow")
def cli() -> None:
    """From Flickr searches to curated portrait datasets, and the models trained and judged on them."""


@cli.command()
@with_home
def demo(home: Path | None) -> None:
    """Run everything on rendered portraits served by a local Flickr emulator: no key, no internet.

    Ends with a report with pictures. Data lives in ./demo-data unless told otherwise.
    """
    from pipeline.demo import run_demo

    chosen = _open_home(home or os.environ.get("BOKEHFLOW_HOME") or "demo-data")
    with chosen.lock("run"):
        run_demo(chosen, _say)


@cli.command()
@with_home
@with_config
@click.option("--from", "from_month", metavar="MONTH", help="First upload month, like 2024-01.")
@click.option("--to", "to_month", metavar="MONTH", help="Last upload month.")
@click.option("--until", metavar="ASSET", help="Stop after this asset.")
@click.option(
    "--recipe", "recipes", multiple=True, metavar="RECIPE@SEED", help="Train this recipe, besides the automatic ones."
)
def run(
    home: Path | None,
    config: Path | None,
    from_month: str | None,
    to_month: str | None,
    until: str | None,
    recipes: tuple[str, ...],
) -> None:
    """Bring the configured project up to date, headless: whatever is missing or has changed inputs."""
    from assets.headless import STAGES, Plan, WaitingForDecisions
    from pipeline.demo import emulated_flickr, run_plan
    from pipeline.errors import ConfigError
    from resources.flickr import key_missing

    if until is not None and until not in STAGES:
        raise ConfigError(f"unknown asset {until!r}; one of: {', '.join(STAGES)}")
    chosen = _open_home(home)
    project, path = _load(chosen, config)
    for recipe in recipes:
        if recipe not in project.recipe_keys():
            raise ConfigError(f"{path}: there is no recipe {recipe!r}; one of: {', '.join(project.recipe_keys())}")
    automatic = [key for key in project.recipe_keys() if key.split("@")[0] in project.training.automatic]
    plan = Plan(from_month, to_month, until or STAGES[-1], [*automatic, *(key for key in recipes if key not in automatic)])
    with ExitStack() as stack:
        stack.enter_context(chosen.lock("run"))
        stack.enter_context(emulated_flickr(chosen, project))
        if problem := key_missing():
            raise ConfigError(problem)
        try:
            snapshot = run_plan(plan, project, path, chosen, _say)
        except WaitingForDecisions as waiting:
            _say(f"The photos are ready for review:\n{waiting}")
            return
    _say(f"up to date{f', snapshot {snapshot}' if snapshot else ''}")


@cli.command()
@with_home
@with_config
@click.option("--port", default=3000, show_default=True, help="Port of the Dagster UI.")
def dev(home: Path | None, config: Path | None, port: int) -> None:
    """Open the Dagster UI on the project, with its schedules, sensors and automation running.

    With no home named it opens ./demo-data where there is one, else ./data.
    """
    from pipeline.demo import serve_ui

    chosen = _open_home(
        home or os.environ.get("BOKEHFLOW_HOME") or ("demo-data" if Path("demo-data/bokehflow.toml").exists() else None)
    )
    project, path = _load(chosen, config)
    sys.exit(serve_ui(chosen, project, path, port, _say))


@cli.command()
@with_home
@with_config
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(home: Path | None, config: Path | None, as_json: bool) -> None:
    """Show where every photo stands, and which snapshots, models and reports there are."""
    import json

    from assets.status import status as find_status
    from assets.status import summary

    chosen = _open_home(home)
    project, _ = _load(chosen, config)
    found = find_status(project, chosen)
    click.echo(json.dumps(found, indent=2, ensure_ascii=False) if as_json else summary(found))


@cli.command()
@with_home
@with_config
def doctor(home: Path | None, config: Path | None) -> None:
    """Check key, Flickr, weights, disk, GPU and versions; say what to do about each."""
    from assets.doctor import examine
    from pipeline.demo import emulated_flickr

    chosen = _open_home(home)
    project, path = _load(chosen, config)
    with emulated_flickr(chosen, project):
        findings = examine(project, chosen, path)
    for finding in findings:
        click.echo(
            f"{finding.mark} {finding.what}: {finding.found}" + (f"\n      {finding.remedy}" if finding.remedy else "")
        )
    sys.exit(1 if any(finding.is_fatal for finding in findings) else 0)


@cli.command()
@with_home
@with_config
def weights(home: Path | None, config: Path | None) -> None:
    """Fetch the segmenter's weights into the home, so that later runs need no internet."""
    from pipeline.masks.segmenters import make_segmenter

    chosen = _open_home(home)
    project, _ = _load(chosen, config)
    make_segmenter(project.masks.segmenter, chosen.weights)
    _say(f"the weights of {project.masks.segmenter} are in {chosen.weights}")


@cli.command()
@click.argument("collection", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--port", default=0, help="Port of the REST calls; 0 takes a free one.")
@click.option("--image-port", default=0, help="Port of the pictures.")
@click.option("--faults", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A fault plan in TOML.")
def emulator(collection: Path, port: int, image_port: int, faults: Path | None) -> None:
    """Serve a folder of photos with metadata through Flickr's REST calls, on loopback, until stopped."""
    from pipeline.flickr.emulator import Emulator, serve
    from pipeline.flickr.faults import load_faults

    def announce(running: Emulator) -> None:
        _say("put into bokehflow.toml, under [flickr] (any key does; Ctrl-C stops):")
        _say(f'endpoint = "{running.endpoint}"\nimage_hosts = ["{running.image_host}"]')

    serve(collection, load_faults(faults) if faults else None, port, image_port, announce)


@cli.command("render-studio")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def render_studio(folder: Path) -> None:
    """Render the studio's pictures anew into FOLDER, going on where it stopped (about 20 minutes on two cores)."""
    from pipeline.studio.pictures import render_pictures

    render_pictures(folder, lambda done, total: _say(f"{done} of {total} scenes"))


def main() -> None:
    """Entry point: errors made for people are printed without a traceback, with exit code 1."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit("stopped")
    except click.ClickException as error:
        error.show()
        sys.exit(1)
    except BokehflowError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; run the same command again to go on")


def _open_home(home: Path | str | None) -> "Home":
    """The home at hand, named in the environment as well for the processes that commands start."""
    from storage import Home

    chosen = Home.at(home)
    os.environ["BOKEHFLOW_HOME"] = str(chosen.root)
    return chosen


def _load(home: "Home", config: Path | None) -> tuple["Project", Path]:
    from pipeline.config import load_project
    from pipeline.definitions import project_file

    path = project_file(home, config)
    os.environ["BOKEHFLOW_CONFIG"] = str(path)
    return load_project(path), path


def _say(message: str) -> None:
    click.echo(message, err=True)


if __name__ == "__main__":
    main()
