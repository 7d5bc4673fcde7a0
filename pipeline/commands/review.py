"""`bokehflow review`: the page on which a person decides about the photos of the queue."""

import getpass
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.commands.options import STRENGTH_PERCENT, load, open_home, say, with_config, with_home
from pipeline.counted import counted
from pipeline.file_names import child, inside, sha256_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from starlette.types import ASGIApp, Receive, Scope, Send

    from pipeline.config import Project
    from pipeline.curation.review.app import Page
    from pipeline.curation.review.pictures import DepthView
    from pipeline.depth.units import DepthMap
    from storage import Home

log = logging.getLogger(__name__)


@click.command(
    short_help="Open the page to decide about photos by keyboard.", epilog="Example: bokehflow review --curator ada"
)
@with_home
@with_config
@click.option("--port", default=8765, show_default=True, help="Port of the page on 127.0.0.1; 0 takes a free one.")
@click.option("--curator", metavar="NAME", help="Written beside each decision; else your user name.")
def review(home: Path | None, config: Path | None, port: int, curator: str | None) -> None:
    """Open the review page: decide about the queue in a browser, by keyboard, into the same CSVs.

    Open the address that it prints: without the token in it nobody on this machine gets in. A home has one page, for any
    number of browsers.
    """
    from pipeline.curation.review.app import make_app
    from pipeline.curation.review.decision_log import plain_name
    from pipeline.loopback.guard import Door, kept_secret
    from pipeline.loopback.server import listen, serve

    chosen = open_home(home)
    project, _ = load(chosen, config)
    with only_page(chosen) as tell_others, chosen.kept_alike(), listen(port) as listening:
        door = Door(listening.getsockname()[1], kept_secret(chosen.page_secret))
        tell_others(door.place)
        page = review_page(project, chosen, plain_name(curator or "") or user_name(), door.port)
        found = page.review.progress(page.curator)
        if not found.total:
            say("the queue is empty; `bokehflow run --until review_queue` fills it, and this page notices")
        say(f"{found.total - found.decided:,} of {found.total:,} photos wait for a decision by {page.curator}")
        serve(make_app(page), door, listening, lambda: say(f"review page on {door.address} (Ctrl-C stops)"))


@click.command(
    "import-decisions",
    short_help="Take over decisions from Label Studio or FiftyOne.",
    epilog="Example: bokehflow import-decisions x.json --from fiftyone --reviewer ada",
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--from", "tool", type=click.Choice(["labelstudio", "fiftyone"]), required=True, help="What FILE comes from.")
@click.option("--reviewer", metavar="NAME", required=True, help="Who decided; written beside each decision.")
@with_home
@with_config
def import_decisions(file: Path, tool: str, reviewer: str, home: Path | None, config: Path | None) -> None:
    """Take over decisions from Label Studio (its JSON export) or FiftyOne (labels.json), as a reviewed CSV.

    A file with a decision that cannot be is refused as a whole; the same file again changes nothing.
    """
    from pipeline.curation.annotated import take_decisions
    from pipeline.curation.review.decision_log import plain_name
    from pipeline.errors import ConfigError
    from pipeline.operations.curation import known_photos

    chosen = open_home(home)
    project, _ = load(chosen, config)
    name = plain_name(reviewer)
    if not name:
        raise ConfigError("--reviewer needs a name that can be seen")
    done = take_decisions(file, tool, name, chosen.reviewed, known_photos(chosen), set(project.domains))
    told = "was there already, with" if done.was_there else "holds"
    say(f"{done.path} {told} {counted(done.decisions, 'decision')}; `bokehflow run` goes by them")


def only_page(home: "Home") -> AbstractContextManager[Callable[[str], None]]:
    """The lock of the one process that hands out the home's photos; a home that cannot be written is only looked at."""
    return nullcontext(lambda address: None) if home.is_read_only else home.lock("review")


def review_page(project: "Project", home: "Home", curator: str, port: int) -> "Page":
    """The page of a home, nothing read yet."""
    from pipeline.curation.double_review import DoubleReview
    from pipeline.curation.kept_decisions import KeptDecisions
    from pipeline.curation.review.app import Page
    from pipeline.curation.review.catalog import Catalog, Tables
    from pipeline.curation.review.decision_log import DecisionLog
    from pipeline.curation.review.pictures import Pictures
    from pipeline.curation.review.state import ReviewState
    from pipeline.masks.uncertainty import uncertainties
    from pipeline.photos.decode import decode

    tables = home.tables
    read_depth = lazy_depth_reader(project, home)
    has_depth = project.depth.estimator != "none" or tables.info("imported_layers") is not None
    catalog = Catalog(
        Tables(
            queue_path=tables.path("review_queue"),
            unique_path=tables.path("unique_photos"),
            masks_path=tables.path("person_masks"),
            read_queue=partial(queue_as_shown, home),
            read_unique=lambda columns: tables.read_or_empty("unique_photos", columns=columns),
            uncertainties=lambda pictures: uncertainties(
                tables.read_or_empty("person_masks", columns=["sha256", "uncertainty"]), pictures
            ),
        )
    )
    return Page(
        review=ReviewState(
            catalog,
            DecisionLog(home.reviewed, set(project.domains), lambda: catalog.known_ids, KeptDecisions(home.kept_decisions)),
            DoubleReview.of(project.curation),
        ),
        pictures=Pictures(
            read_blob=home.blobs.read,
            decode=lambda data: decode(data, project.photos.max_pixels).rgb,
            read_mask=mask_reader(project, home),
            thumbnails=home.thumbnails,
            view_depth=depth_viewer(read_depth),
        ),
        project=project.project.name,
        curator=curator,
        port=port,
        draw=mask_drawer(project, home),
        people=project.curation.people,
        depth=has_depth,
        refocus=refocus_view(project, home, port, read_depth) if has_depth else None,
    )


def queue_as_shown(home: "Home", columns: list[str]) -> "pd.DataFrame":
    """These columns of the table `review_queue`, its titles as people are to see them."""
    from pipeline.operations.photo_tables import shown_titles

    queue = home.tables.read_or_empty("review_queue", columns=columns)
    return queue.assign(title=shown_titles(home, queue))


def mask_drawer(project: "Project", home: "Home") -> "Callable[[str, str, str], None]":
    """A function that lays strokes, written as text, over a picture's mask and keeps the result with its author."""
    import threading
    import time

    import numpy as np

    from pipeline.masks.drawn import DrawnMasks, painted, parse_strokes
    from pipeline.masks.sources import shrunk
    from pipeline.photos.decode import decode

    one_at_a_time = threading.Lock()
    read, drawn = mask_reader(project, home), DrawnMasks(home.drawn_masks)

    def draw(sha256: str, text: str, author: str) -> None:
        strokes = parse_strokes(text)
        with one_at_a_time:
            alpha = read(sha256)
            if alpha is None:
                rgb = decode(home.blobs.read(sha256), project.photos.max_pixels).rgb
                alpha = np.zeros(shrunk(rgb, project.masks.long_side_px).shape[:2], np.uint8)
            drawn.save(sha256, painted(alpha, strokes), author, time.time())

    return draw


def mask_reader(project: "Project", home: "Home") -> "Callable[[str], np.ndarray | None]":
    """A function from a picture's SHA-256 to its alpha: one that was drawn, the one that is kept, else one made now.

    None where there is none and the segmenter's weights have not been fetched: looking at a photo fetches nothing.
    """
    import threading
    from functools import cache

    import pandas as pd

    from pipeline.masks.drawn import DrawnMasks
    from pipeline.masks.person_masks import read_mask, segment_photos
    from pipeline.operations.masks import mask_source
    from pipeline.weights import WEIGHTS
    from resources.segmenter import SegmenterResource

    one_at_a_time, drawn = threading.Lock(), DrawnMasks(home.drawn_masks)
    needed = [child(home.weights, WEIGHTS[name].file_name) for name in project.masks.needed_weights() if name in WEIGHTS]
    source = cache(lambda: mask_source(project, home, SegmenterResource(project.masks)))

    def read(sha256: str) -> "np.ndarray | None":
        if path := drawn.newest().get(sha256):
            return drawn.read(path).alpha
        files = home.masks.glob(f"*/{sha256_of(sha256)[:2]}/{sha256_of(sha256)}*.png")
        kept = sorted(files, key=lambda path: path.stat().st_mtime_ns)
        if kept:
            return read_mask(kept[-1])
        if project.masks.folder is None and not all(map(Path.exists, needed)):
            return None
        photo = pd.DataFrame({"photo_id": [""], "target_domain": [""], "sha256": [sha256], "split_key": [""]})
        with one_at_a_time:
            mask = segment_photos(photo, source(), home.masks, min_coverage=0.0)["mask"].iloc[0]
        return read_mask(inside(home.masks, mask)) if isinstance(mask, str) else None

    return read


DepthOf = Callable[[str], "DepthMap | None"]
"""From a picture's SHA-256 to its map of depth; None where there is none."""


def lazy_depth_reader(project: "Project", home: "Home") -> DepthOf:
    """`depth_reader`, which imports torch, from the first picture on."""
    from functools import cache

    @cache
    def reader() -> DepthOf:
        from pipeline.operations.photos_with_depth import depth_reader

        return depth_reader(project, home)

    return lambda sha256: reader()(sha256)


def depth_viewer(read: DepthOf) -> "Callable[[str], DepthView | None]":
    """A function from a picture's SHA-256 to its map of depth in colour; None where `read` has none."""
    from pipeline.curation.review.pictures import DepthView
    from pipeline.depth.colours import coloured, range_of

    def view(sha256: str) -> "DepthView | None":
        if (found := read(sha256)) is None:
            return None
        far, near = range_of(found.disparity)
        ends = (f"{1 / far:.3g} m", f"{1 / near:.3g} m") if found.is_metric else ("far", "near")
        return DepthView(coloured(found.disparity, far, near), *ends)

    return view


def refocus_view(project: "Project", home: "Home", port: int, read: DepthOf) -> "ASGIApp":
    """The page that refocuses the photos of the queue, as a part of the review page on that port; made when it is opened."""
    from functools import cache

    @cache
    def made() -> "ASGIApp":
        from pipeline.depth.page.app import RefocusPage, make_refocus_app
        from pipeline.depth.page.photos import PagePhotos
        from pipeline.operations.photos_with_depth import HomePhotos

        photos, is_estimated = project.photos, project.depth.estimator != "none"
        queued = HomePhotos(home, "unique_photos", photos.max_pixels, lambda sha256, rgb: read(sha256), is_estimated)
        return make_refocus_app(
            RefocusPage(PagePhotos(collection=queued), port, STRENGTH_PERCENT, photos.max_bytes, back="/")
        )

    async def view(scope: "Scope", receive: "Receive", send: "Send") -> None:
        await made()(scope, receive, send)

    return view


def user_name() -> str:
    """Who is at this machine, as far as it knows."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "curator"
