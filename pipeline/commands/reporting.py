"""`bokehflow report`, `compare` and `benchmark`: what has been judged, by people too, and on benchmarks of the field."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.commands.options import load, open_home, say, tell, with_config, with_home
from pipeline.counted import counted
from pipeline.file_names import child

if TYPE_CHECKING:
    from pipeline.config import Project
    from pipeline.evaluation.measure.perceptual import PerceptualNetwork
    from pipeline.operations.benchmarking import Contender
    from pipeline.training.inference import Checkpoint
    from storage import Home

LEADERBOARD = "all"
"""Its folder among the reports."""


@click.command(
    short_help="Write the report of a snapshot's models.", epilog="Example: bokehflow report --output report.html"
)
@with_home
@with_config
@click.argument("snapshot_id", metavar="[SNAPSHOT]", required=False)
@click.option(
    "--compare", "others", multiple=True, metavar="SNAPSHOT", help="Show this snapshot's models beside; repeatable."
)
@click.option("--all", "everything", is_flag=True, help="The leaderboard: every model of the home that was ever judged.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="The file; else in the home's reports.")
def report(
    home: Path | None,
    config: Path | None,
    snapshot_id: str | None,
    others: tuple[str, ...],
    everything: bool,
    output: Path | None,
) -> None:
    """Write the report of a snapshot's evaluated models as one HTML file, and print its path; models of depth beside
    others have a file of their own.

    Without SNAPSHOT that of the newest one with an evaluated model. Nothing is trained or judged: `bokehflow run` does
    that. The beginning of an id will do. With --all it is the leaderboard: all snapshots, seeds and profiles on one page.
    """
    from pipeline.dataset.layout import find_snapshot
    from pipeline.operations.reports import report_inputs, unevaluated, write_reports

    chosen = open_home(home)
    project, _ = load(chosen, config)
    if everything:
        if snapshot_id or others:
            raise click.UsageError("--all is about every snapshot; leave SNAPSHOT and --compare out")
        from pipeline.evaluation.report.leaderboard import write_leaderboard
        from pipeline.operations.leaderboard import leaderboard_inputs

        page = output or child(chosen.reports, LEADERBOARD) / "index.html"
        tell(write_leaderboard(page, leaderboard_inputs(project, chosen)))
        return
    snapshot = find_snapshot(chosen.snapshots, snapshot_id) if snapshot_id else _newest_judged(chosen)
    beside = [find_snapshot(chosen.snapshots, other) for other in others]
    folder = "+".join(dict.fromkeys([snapshot, *beside]))
    path = output or child(chosen.reports, folder) / "index.html"
    for problems in unevaluated(chosen, *dict.fromkeys([snapshot, *beside])).values():
        for problem in problems:
            say(f"not in the report: {problem}")
    for written in write_reports(path, report_inputs(project, chosen, snapshot, beside)):
        tell(written)


def _newest_judged(home: "Home") -> str:
    from pipeline.dataset.layout import list_snapshots
    from pipeline.errors import DatasetError
    from pipeline.operations.reports import evaluated_recipes

    found = next((name for name in list_snapshots(home.snapshots) if evaluated_recipes(home, name)[name]), None)
    if found is None:
        raise DatasetError(f"{home.root}: no snapshot has an evaluated model; `bokehflow run` trains and judges one")
    return found


@click.command(
    short_help="Score models on a benchmark of the field.",
    epilog="Example: bokehflow benchmark val294 EBB/Training --model d5b6-cyclegan",
)
@with_home
@with_config
@click.argument("name", type=click.Choice(["val294", "ebb400", "realbokeh"]))
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", "runs", multiple=True, required=True, metavar="RUN", help="A finished run; repeatable.")
@click.option(
    "--checkpoint", type=click.Choice(["last", "best"]), default="last", show_default=True, help="Which of each run's."
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder; else in the home's benchmarks.")
def benchmark(
    home: Path | None,
    config: Path | None,
    name: str,
    folder: Path,
    runs: tuple[str, ...],
    checkpoint: "Checkpoint",
    out: Path | None,
) -> None:
    """Score models on a benchmark of the field, whose pairs of photos lie in FOLDER as their authors publish them.

    PSNR, SSIM and LPIPS of every picture go to scores.csv, means with intervals to table.md, beside the untouched picture
    and what others have published: once as it is, once with each pair aligned. Interrupted, the same command goes on.
    """
    from pipeline.evaluation.benchmark.protocols import BENCHMARKS
    from pipeline.operations.benchmarking import read_benchmark, score, write_table

    chosen = open_home(home)
    project, _ = load(chosen, config)
    pairs, problems = read_benchmark(name, folder)
    for problem in problems:
        say(problem)
    methods = _contenders(project, chosen, runs, checkpoint)
    target = out or child(chosen.benchmarks, name)
    with chosen.lock("benchmark"):
        found = score(BENCHMARKS[name], pairs, methods, _perceptual(chosen), child(target, "scores.csv"), say)
        found.problems[:0] = problems
        tell(write_table(child(target, "table.md"), BENCHMARKS[name], found, len(pairs)).rstrip())
    say(f"{target}: scores.csv has every picture's")


def _contenders(project: "Project", home: "Home", runs: tuple[str, ...], checkpoint: "Checkpoint") -> "list[Contender]":
    """The untouched picture, and the models of these runs. Raises `ConfigError` for one that predicts depth."""
    from pipeline.commands.training import named_run
    from pipeline.errors import ConfigError
    from pipeline.models import MODELS_OF_DEPTH
    from pipeline.operations.benchmarking import INPUT, Contender
    from pipeline.operations.masks import segmented_masks
    from pipeline.training.application import Application
    from pipeline.training.inference import provenance_of
    from resources.segmenter import SegmenterResource

    people = segmented_masks(project, home, SegmenterResource(project.masks).load(home))
    found = [Contender(INPUT, INPUT, lambda rgb: rgb)]
    for run in dict.fromkeys(named_run(home, name) for name in runs):
        told = provenance_of(run, checkpoint)
        if told["model"] in MODELS_OF_DEPTH:
            raise ConfigError(f"{run.name} predicts depth; benchmarks are for models that change photos")
        version = f"{told['generator_sha256']} {project.masks.version()}"
        label = run.name if checkpoint == "last" else f"{run.name}, {checkpoint}"
        found.append(Contender(label, version, Application(run, people.full_size_alpha, checkpoint=checkpoint).translate))
    return found


def _perceptual(home: "Home") -> "PerceptualNetwork | None":
    from pipeline.errors import WeightsError
    from pipeline.evaluation.measure.perceptual import PerceptualNetwork

    try:
        return PerceptualNetwork(home.weights)
    except WeightsError as error:
        say(f"without LPIPS: {error}")
        return None


@click.command(
    short_help="Open a page on which people compare methods blind.",
    epilog="Example: bokehflow compare --method cyclegan@0 --method disc_matched",
)
@with_home
@with_config
@click.argument("snapshot_id", metavar="[SNAPSHOT]", required=False)
@click.option(
    "--method", "methods", multiple=True, metavar="NAME", help="Show this one; repeatable. Else all but smoothing."
)
@click.option("--seed", default=0, show_default=True, help="Shuffles pairs and sides; another asks others first.")
@click.option("--port", default=8766, show_default=True, help="Port of the page on 127.0.0.1; 0 takes a free one.")
def compare(
    home: Path | None, config: Path | None, snapshot_id: str | None, methods: tuple[str, ...], seed: int, port: int
) -> None:
    """Open a page on which people compare methods, two at a time on the same photo, without knowing which is which.

    Any number of judges may answer at once, each under a name; answers are CSVs in `review/comparisons` of the home, and
    what follows from them stands in the report.
    """
    from pipeline.dataset.layout import find_snapshot
    from pipeline.evaluation.compare import summary
    from pipeline.evaluation.people.choices import OF_COLLECTIONS, OF_PORTRAITS
    from pipeline.loopback.guard import Door, Guard, kept_secret
    from pipeline.loopback.server import listen, serve
    from pipeline.operations.comparing import MAX_BODY_BYTES, Compare, make_compare_app, pictures_of
    from pipeline.operations.reports import report_inputs

    chosen = open_home(home)
    project, _ = load(chosen, config)
    snapshot = find_snapshot(chosen.snapshots, snapshot_id) if snapshot_id else _newest_judged(chosen)
    inputs = report_inputs(project, chosen, snapshot)
    is_of_content = all(summary.is_of_content(model.evaluation) for model in inputs.models)
    questions = OF_COLLECTIONS if is_of_content else OF_PORTRAITS
    shown = Compare(snapshot, pictures_of(inputs, methods), chosen.comparisons, seed, questions)
    with chosen.lock("compare") as tell_others, chosen.kept_alike(), listen(port) as listening:
        door = Door(listening.getsockname()[1], kept_secret(chosen.page_secret))
        tell_others(door.place)
        say(f"{counted(shown.asked, 'pair')} to judge, of which {len(shown.pairs)} differ; snapshot {snapshot}")
        guard = Guard(make_compare_app(shown, project.project.name), door.port, MAX_BODY_BYTES)
        serve(guard, door, listening, lambda: say(f"compare page on {door.address} (Ctrl-C stops)"))
