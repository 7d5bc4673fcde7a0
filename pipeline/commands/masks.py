"""Commands around the masks of a home or of a folder of pictures."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.commands.options import load, open_home, say, with_config, with_home
from pipeline.counted import counted
from pipeline.file_names import inside

if TYPE_CHECKING:
    import numpy as np

    from pipeline.config import Project
    from pipeline.masks.contact_sheet import SheetTile
    from pipeline.photos.inspectors import Inspectors
    from storage import Home


@click.command(
    "mask-sheet", short_help="Draw a contact sheet of masks.", epilog="Example: bokehflow mask-sheet --odd --out odd.jpg"
)
@click.argument("folder", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--out", default="mask-sheet.jpg", show_default=True, type=click.Path(dir_okay=False, path_type=Path), help="The sheet."
)
@click.option("--count", default=40, show_default=True, type=click.IntRange(1, 1000), help="Pictures on the sheet.")
@click.option("--odd", is_flag=True, help="Only those that ask for a look: left out, uncertain, unclear, filling the frame.")
@with_home
@with_config
def mask_sheet(folder: Path | None, out: Path, count: int, odd: bool, home: Path | None, config: Path | None) -> None:
    """Draw a contact sheet of masks, to be looked at.

    Shows the masks of the home; or, with FOLDER, those that the configured segmenter would give the pictures in it.
    """
    from PIL import Image

    from pipeline.atomic import atomic_path
    from pipeline.errors import DatasetError
    from pipeline.masks.contact_sheet import draw_sheet
    from pipeline.operations.masks import mask_tiles
    from pipeline.photos.folder import pictures_below, told
    from pipeline.pillow import as_file

    kind, remedy = Image.registered_extensions().get(out.suffix.lower(), ""), "name a .jpg or .png"
    try:
        as_file(Image.new("RGB", (8, 8)), kind)
    except (KeyError, ValueError, OSError):
        raise DatasetError(f"{out}: no kind of picture that can be written has this ending; {remedy}") from None
    chosen = open_home(home)
    project, _ = load(chosen, config)
    failed: list[str] = []
    of = (
        _of_folder(project, chosen, folder, count, odd, failed)
        if folder
        else mask_tiles(project, chosen, count, odd, failed)
    )
    tiles = list(of)
    if not tiles and not failed:
        where, others = folder or chosen.root, pictures_below(folder, chosen.root).others if folder else None
        there = f"; it has other files: {told(others)}" if others else ""
        raise DatasetError(f"{where}: there is nothing to show{'; no mask asks for a look' if odd else ''}{there}")
    if tiles:
        try:
            with atomic_path(out) as temporary:
                draw_sheet(tiles).save(temporary, kind, quality=88)
        except ValueError as error:
            raise DatasetError(f"{out}: {error}; {remedy}") from None
        say(f"{counted(len(tiles), 'picture')} on {out}")
    if failed:
        raise click.ClickException("\n".join([f"{counted(len(failed), 'picture')} could not be shown", *failed]))


def _of_folder(
    project: "Project", home: "Home", folder: Path, count: int, odd: bool, failed: list[str]
) -> Iterator["SheetTile"]:
    """Tiles of pictures that are in no home, segmented now and not stored; what could not be read is added to `failed`."""
    from contextlib import closing

    from pipeline.photos.inspectors import Inspectors

    with closing(Inspectors(1)) as inspectors:
        yield from _segmented(project, home, folder, inspectors, count, odd, failed)


def _segmented(
    project: "Project", home: "Home", folder: Path, inspectors: "Inspectors", count: int, odd: bool, failed: list[str]
) -> Iterator["SheetTile"]:
    from functools import lru_cache

    import pandas as pd

    from pipeline.errors import BokehflowError
    from pipeline.masks.contact_sheet import SheetTile, asks_for_a_look, choose, facts_of
    from pipeline.masks.person_masks import coverage
    from pipeline.masks.sources import PhotoToMask, RefusedMask
    from pipeline.operations.masks import mask_source
    from pipeline.photos.decode import decode_reduced
    from pipeline.photos.folder import pictures_below
    from pipeline.plain_text import plain
    from resources.segmenter import SegmenterResource

    files = pictures_below(folder, home.root).files
    table = pd.DataFrame({"photo_id": files, "coverage": 0.0, "runner_up": 0.0, "reason": None})
    names = [str(name) for name in choose(table, len(files), odd=False)["photo_id"]]
    settings, limits, shown = project.masks, project.photos, 0

    @lru_cache(maxsize=1)
    def read(name: str) -> "np.ndarray":
        data = inspectors.read_checked(inside(folder, name), limits.max_bytes, limits.max_pixels)
        return decode_reduced(data, 0, limits.max_pixels, min_long_edge_px=settings.long_side_px).rgb

    source = mask_source(project, home, SegmenterResource(settings), read)
    for name in names:
        if shown >= count:
            return
        try:
            rgb = read(name)
            (made,) = source.masks([PhotoToMask(name, (Path(name).stem,))])
        except (BokehflowError, OSError) as error:
            failed.append(f"{plain(f'{folder}/{name}')}: {error}")
            continue
        if isinstance(made, RefusedMask):
            tile, asks = SheetTile(rgb, None, name, made.detail), True
        else:
            share = coverage(made.alpha)
            reason = "no_subject" if share < settings.least_coverage else None
            asks = asks_for_a_look(share, made.runner_up or 0.0, bool(reason), made.uncertainty or 0.0)
            facts = facts_of(share, made.people, made.runner_up, reason, made.uncertainty)
            tile = SheetTile(rgb, made.alpha, name, facts)
        if asks or not odd:
            shown += 1
            yield tile
