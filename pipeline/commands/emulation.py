"""Commands around the emulator and the studio: a Flickr and photos of one's own."""

from pathlib import Path

import click

from pipeline.commands.options import say


@click.command(epilog="Example: bokehflow emulator practice --rendered --port 8300")
@click.argument("collection", type=click.Path(file_okay=False, path_type=Path))
@click.option("--rendered", is_flag=True, help="Where there is no such folder yet, make it of rendered portraits.")
@click.option("--port", default=0, help="Port of the REST calls; 0 takes a free one.")
@click.option("--image-port", default=0, help="Port of the pictures.")
@click.option("--faults", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A fault plan in TOML.")
def emulator(collection: Path, rendered: bool, port: int, image_port: int, faults: Path | None) -> None:
    """Serve the folder COLLECTION, photos with metadata, through Flickr's REST calls, on loopback, until stopped."""
    from pipeline.atomic import atomic_folder
    from pipeline.emulators.faults import load_faults
    from pipeline.emulators.flickr import Emulator, serve
    from pipeline.errors import ConfigError
    from pipeline.studio.collection import build_collection

    def announce(running: Emulator) -> None:
        say("put into bokehflow.toml, under [flickr] (any key does; Ctrl-C stops):")
        say(f'endpoint = "{running.endpoint}"\nimage_hosts = ["{running.image_host}"]')

    if not collection.exists():
        if not rendered:
            raise ConfigError(f"{collection}: there is no such folder; --rendered makes one of rendered portraits")
        with atomic_folder(collection) as temporary:
            build_collection(temporary)
    serve(collection, load_faults(faults) if faults else None, port, image_port, announce)


@click.command("render-studio", epilog="Example: bokehflow render-studio pictures")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def render_studio(folder: Path) -> None:
    """Render the studio's pictures anew into FOLDER, going on where it stopped (about 20 minutes on two cores)."""
    from pipeline.studio.pictures import render_pictures

    render_pictures(folder, lambda done, total: say(f"{done} of {total} scenes"))
