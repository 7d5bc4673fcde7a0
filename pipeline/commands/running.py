"""Commands that drive the whole pipeline or look at it."""

import os
import sys
from pathlib import Path

import click

from pipeline.commands.options import (
    FiniteRange,
    home_option,
    load,
    no_recipe,
    open_home,
    say,
    tell,
    with_config,
    with_home,
)


@click.command(
    short_help="Run everything on rendered portraits, or on your photos.",
    epilog="Example: bokehflow demo --study collections",
)
@home_option("the study's own folder")
@click.option("--study", metavar="NAME", help="portraits (the default), collections, depth or focus.")
@click.option(
    "--photographs",
    nargs=2,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER_A FOLDER_B",
    help="Two folders of your own: portraits in focus throughout, and portraits with a soft background.",
)
@click.option(
    "--accept-from",
    type=FiniteRange(0.5, 1),
    metavar="CHANCE",
    help="With --photographs: drop a photo whose background looks wrong with at least this chance; else .5.",
)
def demo(home: Path | None, study: str | None, photographs: tuple[Path, Path] | None, accept_from: float | None) -> None:
    """Run everything on rendered portraits served by a local Flickr emulator: no key, no internet.

    Ends with a report with pictures. Data lives in ./demo-data unless told otherwise. --study collections translates photos
    to paintings instead, in ./demo-collections, and says whether a semantic loss keeps what they show; --study depth learns
    how far away everything is, and --study focus to blur by that around any plane. With --photographs the first study is
    done with your own, in ./photographs-data: import, suggestions accepted unseen, snapshot, training, and photos of
    FOLDER_A with the background blurred.
    """
    from pipeline.demo import STUDIES, STUDY, run_photographs
    from pipeline.errors import ConfigError

    if study is not None and study not in STUDIES:
        raise ConfigError(f"unknown study {study!r}; one of: {', '.join(STUDIES)}")
    if study is not None and photographs:
        raise ConfigError("--study is about rendered pictures and --photographs about your own: give one of them")
    if accept_from is not None and not photographs:
        raise ConfigError("--accept-from is about photos of your own: give --photographs as well")
    chosen_study = STUDIES[study or STUDY]
    usual = "photographs-data" if photographs else chosen_study.folder
    chosen = open_home(home or os.environ.get("BOKEHFLOW_HOME") or usual)
    with chosen.lock("run"):
        if photographs:
            given = {} if accept_from is None else {"accept_from": accept_from}
            run_photographs(chosen, dict(zip(("ordinary", "shallow"), photographs, strict=True)), say, **given)
        else:
            chosen_study.run(chosen, say)


@click.command(
    short_help="Make what is due; --plan says what and why.",
    epilog="Example: bokehflow run --from 2024-01 --to 2024-06 --until review_queue",
)
@with_home
@with_config
@click.option("--from", "from_month", metavar="MONTH", help="First upload month, like 2024-01.")
@click.option("--to", "to_month", metavar="MONTH", help="Last upload month.")
@click.option("--until", metavar="ASSET", help="Stop after this asset.")
@click.option(
    "--rescrape", is_flag=True, help="List again what the weekly schedule would: this month, the last, some older ones."
)
@click.option(
    "--recipe", "recipes", multiple=True, metavar="RECIPE@SEED", help="Train this recipe, besides the automatic ones."
)
@click.option("--plan", "only_plan", is_flag=True, help="Say what would be made and why, and do nothing.")
def run(
    home: Path | None,
    config: Path | None,
    from_month: str | None,
    to_month: str | None,
    until: str | None,
    rescrape: bool,
    recipes: tuple[str, ...],
    only_plan: bool,
) -> None:
    """Make what is due, headless: what is missing, was lost, or is made from what has changed. --plan says what and why.

    Where it goes on only when photos are decided, it says so and ends with exit code 0.
    """
    from pipeline.errors import ConfigError
    from pipeline.headless import run_plan, told_plan
    from pipeline.operations.due import NothingCollected, WaitingForDecisions
    from pipeline.operations.planning import ORDER, Plan, automatic_recipes

    if until is not None and until not in ORDER:
        raise ConfigError(f"unknown asset {until!r}; one of: {', '.join(ORDER)}")
    chosen = open_home(home)
    project, path = load(chosen, config)
    for recipe in recipes:
        if recipe not in project.recipe_keys():
            raise no_recipe(path, recipe, project.recipe_keys())
    automatic = automatic_recipes(project)
    keys = [*automatic, *(key for key in recipes if key not in automatic)]
    plan = Plan(from_month, to_month, until or ORDER[-1], rescrape, keys)
    if only_plan:
        tell(told_plan(plan, project, path, chosen))
        return
    with chosen.lock("run"):
        try:
            snapshot = run_plan(plan, project, path, chosen, say)
        except NothingCollected as nothing:
            say(str(nothing))
            return
        except WaitingForDecisions as waiting:
            say(f"The photos are ready for review:\n{waiting}")
            return
    say(f"up to date{f', snapshot {snapshot}' if snapshot else ''}")


@click.command(
    short_help="Open Dagster's UI, which makes what is due by itself.", epilog="Example: bokehflow dev --port 3001"
)
@home_option("./demo-data where there is one, else ./data")
@with_config
@click.option("--port", default=3000, show_default=True, help="Port of the Dagster UI on 127.0.0.1; 0 takes a free one.")
@click.option(
    "--part",
    type=click.Choice(["all", "code", "daemon", "web"]),
    default="all",
    show_default=True,
    help="Run one part alone, each in a container of its own; `code` executes the runs.",
)
@click.option(
    "--code-server",
    "code_server",
    metavar="HOST:PORT",
    default="127.0.0.1:4000",
    show_default=True,
    help="Where the part `code` listens, and the others find it. Whoever reaches it can run code as you.",
)
def dev(home: Path | None, config: Path | None, port: int, part: str, code_server: str) -> None:
    """Open the Dagster UI on the project, with its schedules, sensors and automation running.

    Open the address that it prints: without the token in it nobody on this machine, and no web site, gets in.
    With no home named it opens ./demo-data where there is one, else ./data.
    """
    from pipeline.ui import CodeServer, newest, serve_code, serve_daemon, serve_ui, serve_web

    chosen = open_home(
        home or os.environ.get("BOKEHFLOW_HOME") or ("demo-data" if Path("demo-data/bokehflow.toml").exists() else None)
    )
    project, path = load(chosen, config)
    server = CodeServer.of(code_server)
    serve = {
        "all": lambda: serve_ui(chosen, project, path, port, say),
        "code": lambda: serve_code(chosen, project, path, server, say),
        "daemon": lambda: serve_daemon(chosen, server, say),
        "web": lambda: serve_web(chosen, newest(project, path), server, port, say),
    }[part]
    with chosen.kept_alike():
        sys.exit(serve())


@click.command(short_help="Show where every photo stands.", epilog="Example: bokehflow status --json")
@with_home
@with_config
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(home: Path | None, config: Path | None, as_json: bool) -> None:
    """Show where every photo stands, how far curators agree, and which snapshots, models and reports there are."""
    import json

    from pipeline.operations.status import status as find_status
    from pipeline.operations.status import summary

    chosen = open_home(home)
    project, _ = load(chosen, config)
    found = find_status(project, chosen)
    tell(json.dumps(found, indent=2, ensure_ascii=False) if as_json else summary(found))


@click.command(short_help="Check key, weights, disk, GPU; say what to do.", epilog="Example: bokehflow doctor")
@with_home
@with_config
@click.option("--photos", is_flag=True, help="Also read every photo, and name those that the disk has damaged.")
def doctor(home: Path | None, config: Path | None, photos: bool) -> None:
    """Check key, Flickr, object storage, weights, disk, GPU and versions; say what to do about each."""
    from pipeline.errors import StorageError
    from pipeline.operations.doctor import corrupt_photos, examine
    from pipeline.operations.emulated_flickr import emulated_flickr
    from pipeline.package_files import STARTING_PROJECTS
    from storage import Home

    try:
        chosen = open_home(home)
    except StorageError:  # which is among the findings
        chosen = Home.left_at(home or os.environ["BOKEHFLOW_HOME"])
    is_named = config or os.environ.get("BOKEHFLOW_CONFIG")
    has_none = not is_named and not chosen.project_file().exists()
    project, path = load(chosen, STARTING_PROJECTS["flickr"] if has_none else config)
    with emulated_flickr(chosen, project):
        findings = examine(project, chosen, None if has_none else path)
    findings += corrupt_photos(chosen) if photos else []
    for finding in findings:
        tell(f"{finding.mark} {finding.what}: {finding.found}" + (f"\n      {finding.remedy}" if finding.remedy else ""))
    sys.exit(1 if any(finding.is_fatal for finding in findings) else 0)


@click.command(short_help="Fetch all weights now, for later without internet.", epilog="Example: bokehflow weights")
@with_home
@with_config
@click.option("--page", is_flag=True, help="Also what `export-model --page` puts into its page.")
def weights(home: Path | None, config: Path | None, page: bool) -> None:
    """Fetch the weights that the project needs into the home, so that later runs need no internet."""
    from pipeline.weights import OF_A_PAGE, WEIGHTS

    chosen = open_home(home)
    project, _ = load(chosen, config)
    needed = {*project.needed_weights(), *(OF_A_PAGE if page else ())}
    # Those out of packages first: they come where others of the internet cannot be reached.
    names = sorted(needed, key=lambda name: name not in WEIGHTS)
    for name in names:
        _fetch_weights(name, chosen.weights)
    say(f"the weights of {', '.join(names)} are in {chosen.weights}")


def _fetch_weights(name: str, folder: Path) -> None:
    from pipeline.masks.segmenters import SEGMENTERS, make_segmenter
    from pipeline.models.vgg import load_features
    from pipeline.operations.parsers import ensure_parser
    from pipeline.weights import WEIGHTS, ensure

    if name in WEIGHTS:
        ensure(name, folder)
    elif name in SEGMENTERS:
        make_segmenter(name, folder)
    elif name == "vgg19":
        load_features(name, folder)
    else:
        ensure_parser(name, folder)
