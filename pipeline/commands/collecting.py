"""Commands about photos themselves: bring those of one's own, and let go of any."""

import sys
from pathlib import Path

import click

from pipeline.commands.options import load, open_home, say, tell, with_config, with_home

DATA_SETS = ("pairs", "nyu", "diml", "diode", "realbokeh")
"""The keys of `pipeline.operations.layered_imports.LAYOUTS`, which takes longer to import than help may take."""


@click.command(
    "import",
    short_help="Bring in photos of your own, or those of a list.",
    epilog="Example: bokehflow import ~/portraits --domain ordinary",
)
@click.argument("folder", metavar="FOLDER_OR_LIST", type=click.Path(path_type=Path))
@with_home
@with_config
@click.option("--domain", metavar="DOMAIN", help="Domain of the photos; without it, the names of folders say it.")
@click.option("--joined", type=click.Choice(["AB", "BA"]), help="Each picture is a pair side by side: which is on the left.")
@click.option("--metadata", type=click.Path(dir_okay=False, path_type=Path), help="A CSV: owner, licence, link …")
@click.option(
    "--layout", type=click.Choice(DATA_SETS), help="Of a data set with depth, or with what pictures are to become."
)
@click.option(
    "--depth-unit", metavar="UNIT", help="Of the layout pairs: mm, m, dioptre, disparity; with steps as in m/5000."
)
def import_photos(
    folder: Path,
    home: Path | None,
    config: Path | None,
    domain: str | None,
    joined: str | None,
    metadata: Path | None,
    layout: str | None,
    depth_unit: str | None,
) -> None:
    """Bring the pictures in a folder, or at a list's addresses, into the home as photos like any others; again, only what
    is new.

    Without --domain a folder has folders trainA, trainB, testA and testB, which keep their sides, or A and B, whose files of
    one name become pairs. --joined cuts pictures that show a pair side by side. A list is a CSV, TSV, JSON Lines or Parquet
    file with a column `url`; the hosts that it may lead to stand under [lists] of the project file.

    With --layout FOLDER is a data set as its authors lay it out: nyu, diml, diode, realbokeh, or pairs: rgb/ beside depth/,
    target/ or both. Depth and targets stay with their photos, rooms and scenes on one side of the split.

    Nothing in FOLDER is changed. Exit code 1 where a picture or a row of the CSV could not be used.
    """
    from pipeline.depth.units import DepthUnit
    from pipeline.errors import ConfigError
    from pipeline.operations.imports import import_folder, summary
    from pipeline.operations.layered_imports import import_layout
    from pipeline.operations.list_imports import import_list

    chosen = open_home(home)
    project, _ = load(chosen, config)

    def report(done: int, total: int) -> None:
        if total > done:
            say(f"{done:,} rows read" if folder.is_file() else f"{done:,} of {total:,} pictures")

    if depth_unit is not None and layout is None:
        raise ConfigError("--depth-unit is for --layout pairs; pictures alone have no depth")
    if layout is not None:
        if joined is not None or metadata is not None:
            raise ConfigError("--layout says itself what belongs together: leave --joined and --metadata out")
        name, unit = domain or project.training.domain_a, DepthUnit.parse(depth_unit) if depth_unit else None
        imported = [import_layout(project, chosen, folder, layout, name, unit, report)]
    elif folder.is_file():
        if joined or metadata:
            raise ConfigError(
                f"{folder}: a list says of its photos itself what there is to say: leave --joined and --metadata out"
            )
        imported = import_list(project, chosen, folder, domain, report)
    else:
        imported = import_folder(project, chosen, folder, domain, metadata, report, joined)
    tell(summary(imported))
    sys.exit(1 if any(one.refused or one.problems for one in imported) else 0)


@click.command(
    short_help="Purge photos and everything made from them.",
    epilog="Example: bokehflow forget https://www.flickr.com/photos/ada/49512345678/",
)
@click.argument("photos", nargs=-1, metavar="PHOTO_ID…")
@with_home
@click.option("--gone", "all_gone", is_flag=True, help="All photos that were deleted or made private at their source.")
def forget(photos: tuple[str, ...], home: Path | None, all_gone: bool) -> None:
    """Purge photos and everything made from them, out of frozen snapshots too, and never fetch them again.

    PHOTO_ID is an id as in the tables, Flickr's number alone, or any address by which Flickr or Wikimedia Commons name
    the photo: its page, flic.kr/p/…, the file on an image server. Without any, an interrupted purge is completed. Unknown
    ids are named, the others are purged; exit code 1 then, and wherever something may still name or show the photos.
    """
    import time

    from pipeline.errors import ConfigError
    from pipeline.operations.forget import forget as purge
    from pipeline.operations.forget import gone, known_photos, meant_photos, quiet_home, summary
    from pipeline.operations.tombstones import unpurged

    chosen = open_home(home)
    if not chosen.root.is_dir():
        raise ConfigError(f"{chosen.root}: there is no home here; --home names another")
    wanted = [*meant_photos(chosen, photos), *(gone(chosen) if all_gone else ())]
    if not wanted and not unpurged(chosen):
        say("no photo is gone" if all_gone else "nothing to forget: name photo ids, or --gone")
        return
    known = known_photos(chosen, wanted)
    found = [photo_id for photo_id in wanted if photo_id in known]
    unknown = [photo_id for photo_id in wanted if photo_id not in known]
    with quiet_home(chosen) as is_quiet:
        done = purge(chosen, found or unknown, int(time.time()), is_quiet)
    tell(summary(done))
    if not is_quiet:
        say("a run is at work in this home; the next one makes sure that it has left nothing of them behind")
    if unknown:
        raise click.ClickException(f"never listed or imported, and so not purged: {', '.join(unknown)}")
    if done.problems or done.queue_left:
        sys.exit(1)
