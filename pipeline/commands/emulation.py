"""Commands around the emulators and the studio: a Flickr, a Commons and photos of one's own."""

from pathlib import Path

import click

from pipeline.commands.options import say


@click.command(
    short_help="Serve a folder of photos as Flickr or Commons would.",
    epilog="Example: bokehflow emulator practice --rendered --port 8300",
)
@click.argument("collection", type=click.Path(file_okay=False, path_type=Path))
@click.option("--source", type=click.Choice(["flickr", "commons"]), default="flickr", show_default=True, help="As whom.")
@click.option("--rendered", is_flag=True, help="Where there is no such folder yet, make it of rendered portraits.")
@click.option("--port", default=0, help="Port of the REST calls; 0, the default, takes a free one.")
@click.option("--image-port", default=0, help="Port of the pictures; likewise.")
@click.option(
    "--faults",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="How it misbehaves, in TOML (docs/sources.md).",
)
def emulator(collection: Path, source: str, rendered: bool, port: int, image_port: int, faults: Path | None) -> None:
    """Serve the folder COLLECTION, photos with metadata, as Flickr or Wikimedia Commons would, on loopback, until stopped.

    As Commons it says at the end what was against the etiquette of its API.
    """
    from pipeline.atomic import atomic_folder
    from pipeline.emulators.commons import CommonsEmulator
    from pipeline.emulators.faults import load_faults
    from pipeline.emulators.flickr import Emulator
    from pipeline.emulators.server import SourceEmulator, serve
    from pipeline.errors import ConfigError
    from pipeline.studio.collection import build_collection

    def announce(running: SourceEmulator) -> None:
        note = "any key does; " if source == "flickr" else ""
        say(f"put into bokehflow.toml, under [{source}] ({note}Ctrl-C stops):")
        say(f'endpoint = "{running.endpoint}"\nimage_hosts = ["{running.image_host}"]')

    if not collection.exists():
        if not rendered:
            raise ConfigError(f"{collection}: there is no such folder; --rendered makes one of rendered portraits")
        with atomic_folder(collection) as temporary:
            build_collection(temporary)
    kind = {"flickr": Emulator, "commons": CommonsEmulator}[source]
    serve(kind(collection, load_faults(faults) if faults else None, api_port=port, image_port=image_port), announce)


@click.command(
    "render-studio",
    short_help="Render portraits, or scenes with known depth.",
    epilog="Example: bokehflow render-studio scenes --scenes 20 --planes 5",
)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--scenes", type=click.IntRange(min=1), help="So many scenes with things at many distances, and their depth.")
@click.option("--planes", type=click.IntRange(0, 32), default=3, show_default=True, help="Pictures through a lens of each.")
@click.option("--side-px", type=click.IntRange(16, 2048), default=256, show_default=True, help="Side of their pictures.")
@click.option("--first-seed", type=click.IntRange(min=0), help="Seed of the first of them; others are other scenes.")
@click.option("--without-clean", is_flag=True, help="Leave out the pictures without noise, which take longest.")
def render_studio(
    folder: Path, scenes: int | None, planes: int, side_px: int, first_seed: int | None, without_clean: bool
) -> None:
    """Render portraits with known depth into FOLDER, going on where it stopped (needs the extra `studio`).

    Without `--scenes` the demo's pictures anew, about 20 minutes on two cores. With it a set for learning depth and focus:
    pictures in focus, true disparity, masks, and the same scenes through a lens at several planes, listed in `views.csv`.
    """
    from pipeline.studio.depth_set import FIRST_SEED, DepthSet, render_depth_set
    from pipeline.studio.pictures import render_pictures

    def told(done: int, total: int) -> None:
        say(f"{done} of {total} scenes")

    if scenes is None:
        render_pictures(folder, told)
        return
    start = FIRST_SEED if first_seed is None else first_seed
    render_depth_set(folder, DepthSet(scenes, side_px, planes, start, clean=not without_clean), told)
