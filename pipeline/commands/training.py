"""Commands around models: train one, apply it to one's own photos, hand it on as ONNX."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.commands.failures import Failures
from pipeline.commands.options import load, no_recipe, open_home, say, with_config, with_home
from pipeline.counted import counted
from pipeline.file_names import child

if TYPE_CHECKING:
    import numpy as np

    from pipeline.config import Project
    from pipeline.models.images import AlphaPhoto, RgbPhoto
    from pipeline.photos.inspectors import Inspectors
    from pipeline.training.inference import Checkpoint
    from pipeline.training.jobs import TrainingJob
    from storage import Home


@click.command(
    short_help="Train a recipe on a snapshot, or go on with it.",
    epilog="Example: bokehflow train cyclegan --snapshot d5b6 --seed 1",
)
@with_home
@with_config
@click.argument("recipe")
@click.option("--snapshot", metavar="ID", help="The snapshot to train on.")
@click.option(
    "--pairs",
    type=click.Path(file_okay=False, path_type=Path),
    help="Instead, for models of depth: a folder with rgb/ and depth/, as `render-studio` makes it.",
)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Else the recipe's first.")
@click.option("--steps", type=click.IntRange(1, 2**63 - 1), help="Train for so many steps, in a run folder of its own.")
@click.option("--anew", is_flag=True, help="Where the finished model has other settings, move it aside and train again.")
def train(
    home: Path | None,
    config: Path | None,
    recipe: str,
    snapshot: str | None,
    pairs: Path | None,
    seed: int | None,
    steps: int | None,
    anew: bool,
) -> None:
    """Train RECIPE on a frozen snapshot, or go on where it was interrupted.

    A recipe and seed of the project file run as in Dagster, where they show up, and are evaluated. Another seed or
    another number of steps is a trial of its own: a run folder, and nothing more. So is a model of depth that is trained on
    a folder of pictures with depth.
    """
    from pipeline.dataset.layout import find_snapshot
    from pipeline.errors import ConfigError
    from pipeline.headless import train_configured
    from pipeline.models import MODELS_OF_ONE_DOMAIN
    from pipeline.operations.training import prepare
    from pipeline.training.runs import holds_another_result

    chosen = open_home(home)
    project, path = load(chosen, config)
    if recipe not in project.recipes:
        raise no_recipe(path, recipe, sorted(project.recipes))
    if (snapshot is None) == (pairs is None):
        raise ConfigError("which pictures? Give one of --snapshot ID and --pairs FOLDER")
    snapshot = None if snapshot is None else find_snapshot(chosen.snapshots, snapshot)
    seed = project.recipes[recipe].seeds[0] if seed is None else seed
    key = f"{recipe}@{seed}"
    if snapshot is not None and steps is None and key in project.recipe_keys():
        train_configured(snapshot, key, project, path, chosen, say, anew)
        return
    if pairs is not None and project.recipes[recipe].model not in MODELS_OF_ONE_DOMAIN:
        raise ConfigError(f"--pairs is for what learns from depth, and {recipe!r} translates pictures: give a --snapshot")
    job = _pairs_trial(project, chosen, pairs, key) if pairs is not None else _trial(project, chosen, str(snapshot), key)
    job = job if steps is None else _shortened(job, steps)
    if not anew and holds_another_result(job):
        raise ConfigError(
            f"{job.run_dir}: holds a finished model of other settings or of an older version; --anew moves it to superseded/"
        )
    prepare(job)
    sys.exit(_run(job))


@click.command(
    short_help="Apply a model to your own photos.",
    epilog="Example: bokehflow translate me.jpg --model d5b6-cyclegan --out results",
)
@with_home
@with_config
@click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--model", "run", required=True, metavar="RUN", help="A finished run: RECIPE@SEED, or its name, which may be cut short."
)
@click.option(
    "--checkpoint", type=click.Choice(["last", "best"]), default="last", show_default=True, help="Which of the run's."
)
@click.option("--overlay", is_flag=True, help="Lay the real subject over the result.")
@click.option("--edge-px", type=click.IntRange(min=64), help="Scale photos down to this long edge first.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="Folder for the results; else this one."
)
def translate(
    home: Path | None,
    config: Path | None,
    photos: tuple[Path, ...],
    run: str,
    checkpoint: "Checkpoint",
    overlay: bool,
    edge_px: int | None,
    out: Path,
) -> None:
    """Apply a trained model to one's own photos, at their own resolution.

    Results are PNG files, upright and in sRGB, without what else a photo's file tells (EXIF).

    A model with a lens (profiles `corrected`, `small`, `smoke`) decides at the size it was trained on and blurs at the
    photo's own. Any other blurs by as few pixels as in training, whatever the photo's size: `--edge-px` of about the
    training size shows what it has learnt. Where the model holds the subject, `[masks]` of the project file say who that
    is; masks of a folder are of the home's photos alone, and here the embedded segmenter stands in for them.
    Photos that cannot be translated are named, the others are; exit code 1 then.
    """
    from contextlib import closing

    from pipeline.errors import ConfigError
    from pipeline.masks.person_masks import coverage
    from pipeline.operations.masks import segmented_masks
    from pipeline.photos.inspectors import Inspectors
    from pipeline.training.application import Application, result_stems
    from resources.segmenter import SegmenterResource

    chosen = open_home(home)
    project, _ = load(chosen, config)
    if overlay and project.masks.segmenter == "none":
        raise ConfigError(
            "--overlay lays the subject over the result, and by [masks] segmenter = 'none' nobody is looked for"
        )
    model = named_run(chosen, run)  # before weights are fetched for it
    people = segmented_masks(project, chosen, SegmenterResource(project.masks).load(chosen))

    def alpha_of(rgb: "RgbPhoto") -> "AlphaPhoto":
        alpha = people.full_size_alpha(rgb)
        if coverage(alpha) < project.masks.least_coverage:
            say(f"{photo}: nobody is found in it, so that all of it counts as background")
        return alpha

    application = Application(model, alpha_of, overlay, checkpoint)
    failures = Failures(len(photos), "translated")
    with closing(Inspectors(1)) as inspectors:
        for photo, stem in zip(photos, result_stems(photos), strict=True):
            with failures.of(photo, whatever=True):
                rgb = _rgb(inspectors, photo, project, edge_px)
                say(str(application.save(rgb, out, stem)))
    failures.check()


@click.command(
    "export-model",
    short_help="Write a model as ONNX, or as a page for browsers.",
    epilog="Example: bokehflow export-model d5b6-cyclegan --out cyclegan.onnx",
)
@with_home
@click.argument("run", metavar="RUN")
@click.option(
    "--checkpoint", type=click.Choice(["last", "best"]), default="last", show_default=True, help="Which of the run's."
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The file; else RUN.onnx.")
@click.option("--page", type=click.Path(file_okay=False, path_type=Path), help="Write index.html into this folder instead.")
def export_model(home: Path | None, run: str, checkpoint: "Checkpoint", out: Path | None, page: Path | None) -> None:
    """Write a finished run's generator as ONNX, checked against torch, or as a page that applies it.

    The page is one file that needs no server and no internet: it blurs a photo that is dropped on it, in the browser.
    """
    from pipeline.training.inference import load_generator, provenance_of
    from pipeline.training.onnx_export import export_onnx, input_words

    chosen = open_home(home)
    folder = named_run(chosen, run)
    if page is not None:
        say(_write_page(chosen, folder, checkpoint, page))
        return
    generator, _ = load_generator(folder, checkpoint)
    path = out or Path(f"{folder.name}.onnx")
    difference = export_onnx(generator, path, provenance_of(folder, checkpoint))
    say(f"{path}: {input_words(generator)}; differs from torch by at most {difference:.1e}")


@click.command(
    "publish-model",
    short_help="Write a model into a folder for others.",
    epilog="Example: bokehflow publish-model d5b6-one_sided blur-model --page",
)
@with_home
@click.argument("run", metavar="RUN")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--checkpoint", type=click.Choice(["last", "best"]), default="last", show_default=True, help="Which of the run's."
)
@click.option("--page", is_flag=True, help="With a page that applies it in a browser.")
def publish_model(home: Path | None, run: str, folder: Path, checkpoint: "Checkpoint", page: bool) -> None:
    """Write a finished run's model into FOLDER, for others: networks, card, its photos' licences, and how to run it.

    Its README runs it in ten lines of Python without bokehflow. The folder can go to a model hub as it is.
    """
    from pipeline.dataset.lineage import model_photos
    from pipeline.operations.lineage import find_run
    from pipeline.training.publishing import publish, restrictions, seal

    chosen = open_home(home)
    path = named_run(chosen, run)
    photos = model_photos(find_run(chosen, path.name), chosen.snapshots)
    publish(path, photos, folder, checkpoint, page)
    if page:
        say(_write_page(chosen, path, checkpoint, folder))
    seal(folder)
    say(f"{folder}: the model {path.name}; its README says how to run it. {restrictions(photos)}")


def _write_page(home: "Home", run: Path, checkpoint: "Checkpoint", folder: Path) -> str:
    from pipeline.masks import salient
    from pipeline.plain_files import read_plain
    from pipeline.training.inference import load_generator, provenance_of
    from pipeline.training.web_page import SalientNetwork, write_page
    from pipeline.weights import ensure

    generator, settings = load_generator(run, checkpoint)
    runtime = {"ort": "ort_web", "wasm": "ort_web_wasm"}
    finder = None
    if generator.holds_subject:
        network = salient.squared(read_plain(ensure(salient.WEIGHTS, home.weights)))
        finder = SalientNetwork(network, salient.SIDE_PX, salient.MEAN, salient.STD)
    files = {name: read_plain(ensure(file, home.weights)) for name, file in runtime.items()}
    path = child(folder, "index.html")
    size_bytes = write_page(generator, settings.size_px, provenance_of(run, checkpoint), files, finder, path)
    return f"{path}: {size_bytes / 1e6:.1f} MB; open it in a browser and drop a photo on it"


def _pairs_trial(project: "Project", home: "Home", folder: Path, key: str) -> "TrainingJob":
    """The job of a run on a folder of pictures with depth, which are packed on the way."""
    from contextlib import closing

    from pipeline.operations.depth_pairs import pack_pairs, pairs_id, write_list
    from pipeline.operations.training import training_job
    from pipeline.photos.decode import decode
    from pipeline.photos.inspectors import Inspectors

    limits, settings = project.photos, project.recipes[key.split("@")[0]].resolved()
    with closing(Inspectors(1)) as inspectors:
        pictures, problems = pack_pairs(
            folder,
            settings.held_size_px,
            project.training.domain_a,
            home.shards,
            lambda path: inspectors.read_checked(path, limits.max_bytes, limits.max_pixels),
            lambda data: decode(data, limits.max_pixels).rgb,
        )
    for problem in problems:
        say(f"left out: {problem}")
    identifier = pairs_id(pictures)
    say(f"{counted(len(pictures), 'picture')} with depth: {identifier}")
    path = child(home.runs, f"{identifier}.parquet")
    write_list(pictures, path)
    return training_job(project, home, identifier, key).model_copy(update={"manifest_path": path})


def _trial(project: "Project", home: "Home", snapshot: str, key: str) -> "TrainingJob":
    """The job of a run that the project file does not know."""
    from pipeline.dataset.snapshot import read_snapshot
    from pipeline.operations.training import ready_job

    return ready_job(project, home, snapshot, key, read_snapshot(home.snapshots, snapshot))


def _shortened(job: "TrainingJob", steps: int) -> "TrainingJob":
    """The job with so many steps, in a folder of its own."""
    run_id = f"{job.run_id}-{steps}steps"
    settings = job.settings.model_copy(update={"steps": steps, "epochs": None})
    return job.model_copy(update={"run_id": run_id, "run_dir": child(job.run_dir.parent, run_id), "settings": settings})


def _run(job: "TrainingJob") -> int:
    """Train in a process of its own, as a Dagster run would; returns its exit code, 128 and the signal for a killed one."""
    import subprocess

    from pipeline.atomic import write_text
    from pipeline.training.runs import why_ended

    path = job.run_dir.with_suffix(".json")
    write_text(path, job.model_dump_json(indent=2))
    try:
        with subprocess.Popen([sys.executable, "-m", "pipeline.training", "--job", str(path)]) as process:
            while True:
                try:
                    code = process.wait()
                    if code < 0:  # else it said itself what happened
                        say(f"error: {why_ended(job.run_id, code)}")
                    return code if code >= 0 else 128 - code
                except KeyboardInterrupt:  # the trainer got it too, and ends after the step at hand
                    continue
    finally:
        path.unlink(missing_ok=True)


def _rgb(inspectors: "Inspectors", photo: Path, project: "Project", edge_px: int | None) -> "np.ndarray":
    """A photo out of somebody's folder, checked, upright and scaled down. Raises `UndecodableImage` and `OSError`."""
    import numpy as np
    from PIL import Image

    from pipeline.models.images import LEAST_EDGE_PX
    from pipeline.photos.decode import decode
    from pipeline.photos.opening import UndecodableImage

    limits = project.photos
    picture = Image.fromarray(
        decode(inspectors.read_checked(photo, limits.max_bytes, limits.max_pixels), limits.max_pixels).rgb
    )
    if edge_px is not None:
        picture.thumbnail((edge_px, edge_px), Image.Resampling.LANCZOS)
    if min(picture.size) < LEAST_EDGE_PX:
        detail = f"{picture.width} × {picture.height} pixels, each side must have {LEAST_EDGE_PX}"
        raise UndecodableImage("too_small", detail, *picture.size)
    return np.asarray(picture)


def named_run(home: "Home", name: str) -> Path:
    """The only run of that name (`runs_called`), or the finished one of that `recipe@seed`."""
    from pipeline.errors import ConfigError
    from pipeline.operations.lineage import find_run, runs_called

    if "@" in name:
        return child(home.runs, find_run(home, name).run)
    runs = sorted(path.parent for path in home.runs.glob("*/job.json"))
    called = runs_called(name, [path.name for path in runs])
    found = [path for path in runs if path.name in called]
    if len(found) != 1:
        what = "is ambiguous" if found else "does not exist"
        names = ", ".join(path.name for path in found or runs) or "none"
        raise ConfigError(f"{home.runs}: the run {name!r} {what}; there are: {names}")
    return found[0]
