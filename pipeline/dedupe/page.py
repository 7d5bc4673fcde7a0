"""Pages that show duplicates side by side: what was kept, what went, by which rule and by how much.

Static pages that need nothing else: pictures are embedded, there is no script, and a content security policy forbids
every request. The least sure groups come first, on pages of at most 30 photos, as Flickr's terms ask, each with its
owner and a link to its photo page.
"""

import base64
import io
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd
from PIL import Image

from pipeline import atomic
from pipeline.dedupe.distances import LOOK_WITHIN_BITS
from pipeline.file_names import child
from pipeline.links import is_web
from pipeline.tables import among

PHOTOS_PER_PAGE = 30
GROUP_SHOWN = 12
"""Photos of one group that are shown; the others are counted."""
EDGE_PX = 240
RULES: dict[str, tuple[str, str]] = {
    "perceptual": ("Perceptual", "the same picture saved, scaled or retouched differently"),
    "cropped": ("Cropped", "one shows a part of the other, or has a border"),
    "mirrored": ("Mirrored", "one is the other's mirror image"),
    "same_resolution_and_size": ("Same resolution and size", "the study's rule, confirmed on the pixels"),
    "same_bytes": ("Same bytes", "the same file"),
    "same_photo": ("Same photo", "one photo, found several times"),
    "both_domains": ("Both domains", "one picture in several domains"),
}
"""Rule → what it is called, and what it means; in the order of the page."""
FLICKR_NOTICE = "This product uses the Flickr API but is not endorsed or certified by SmugMug, Inc."

Thumbnail = Callable[[str], np.ndarray]
"""From a blob's SHA-256 to RGB uint8 [height, width, 3], at least `EDGE_PX` on its short side where it can be."""


@dataclass(frozen=True)
class PageInputs:
    """All that the pages show.

    `unique` is the table `unique_photos`; `credits` gives, for ids of photos, rows with photo_id, title, owner, owner_name
    and page_url. `duplicates` and `strangers` count photos by distance in bits, as `pipeline.dedupe.distances` does;
    `max_pages` for each rule.
    """

    project: str
    unique: pd.DataFrame
    credits: Callable[[Set[str]], pd.DataFrame]
    duplicates: Mapping[int, int]
    strangers: Mapping[int, int]
    radius_bits: int
    max_pages: int


@dataclass(frozen=True)
class ShownPhoto:
    """One photo of a group; unknown is None."""

    photo_id: str
    domain: str
    size: str
    rule: str | None
    measure: float | None
    distance_bits: int | None
    title: str | None
    owner: str | None
    link: str | None
    picture: str


@dataclass(frozen=True)
class DuplicateGroup:
    """The photo kept first, then those that went for it; `more` are not shown."""

    photos: list[ShownPhoto]
    more: int


@dataclass(frozen=True)
class Bar:
    """One distance of the histogram: counts, and heights as shares of the highest bar (of the square roots)."""

    bits: int
    duplicates: int
    strangers: int
    duplicates_height: float
    strangers_height: float


@dataclass(frozen=True)
class Tab:
    """One filter: all groups, or those of a rule."""

    rule: str
    label: str
    meaning: str
    photos: int
    groups: int
    href: str


@dataclass(frozen=True, eq=False)
class _Groups:
    """Photos of groups of more than one, in any order: `rows` with a column `kept`, the group of each, 0 the least sure."""

    rows: pd.DataFrame
    number: np.ndarray
    count: int

    def chosen(self, rule: str, max_pages: int) -> "_Chosen":
        """The groups of a rule: of each the photo kept and those that went by it; groups without such are left out."""
        belongs, order = np.ones(len(self.rows), bool), np.arange(self.count)
        if rule != "all":
            by_rule = (self.rows["rule"] == rule).to_numpy(bool)
            belongs, sureness = by_rule | self.rows["kept"].to_numpy(bool), np.full(self.count, np.inf)
            np.minimum.at(sureness, self.number[by_rule], self.rows["measure"].fillna(2.0).to_numpy(float)[by_rule])
            order = np.unique(self.number[by_rule])
            order = order[np.argsort(sureness[order], kind="stable")]
        sizes = np.bincount(self.number[belongs], minlength=self.count)
        pages = _paged(order, sizes, max_pages)
        here = belongs & np.isin(self.number, [number for page in pages for number in page])
        rows = self.rows[here].assign(number=self.number[here])
        # Only what is shown is brought into order.
        rows = rows.sort_values(
            ["number", "kept", "measure", "photo_id", "domain"], ascending=[True, False, True, True, True]
        )
        of_group = dict(iter(rows.groupby("number")))
        return _Chosen(len(order), [[of_group[number] for number in page] for page in pages])


@dataclass(frozen=True, eq=False)
class _Chosen:
    """How many groups a rule has, and those of the pages that are written."""

    groups: int
    pages: list[list[pd.DataFrame]]


def write_pages(folder: Path, inputs: PageInputs, thumbnail: Thumbnail) -> Path:
    """Write `index.html` and the pages behind it into `folder`, in place of older ones; returns the index."""
    groups = _members(inputs.unique)
    chosen = {rule: groups.chosen(rule, inputs.max_pages) for rule in ("all", *RULES)}
    tabs = [_tab(rule, chosen[rule].groups, inputs.unique) for rule in chosen if rule == "all" or chosen[rule].groups]
    shown = [rows.head(GROUP_SHOWN)["photo_id"] for one in chosen.values() for page in one.pages for rows in page]
    known = inputs.credits({photo_id for ids in shown for photo_id in ids})
    known = known.drop_duplicates("photo_id").set_index("photo_id")
    template = _template()
    written = set()
    for tab in tabs:
        pages = chosen[tab.rule].pages
        for number, groups_here in enumerate(pages, 1):
            name = _name(tab.rule, number)
            text = template.render(
                inputs=inputs, tabs=tabs, tab=tab, page=number, rules=RULES, bars=_bars(inputs), notice=FLICKR_NOTICE,
                links=[(other, _name(tab.rule, other)) for other in range(1, len(pages) + 1)],
                groups=[_group(rows, known, thumbnail) for rows in groups_here],
                left_out=tab.groups - sum(map(len, pages)),
            )  # fmt: skip
            atomic.write_text(child(folder, name), text)
            written.add(name)
    for stale in folder.glob("*.html"):
        if stale.name not in written:
            stale.unlink()
    return folder / "index.html"


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.dedupe"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("duplicates.html")


def _name(rule: str, page: int) -> str:
    return "index.html" if (rule, page) == ("all", 1) else f"{rule}-{page}.html"


def _members(unique: pd.DataFrame) -> _Groups:
    """Groups of more than one photo, the least sure first, and by the id of the photo kept where they are as sure."""
    grouped = unique[unique["duplicate_of"].notna() | among(unique["photo_id"], unique["duplicate_of"].dropna())]
    kept = grouped["duplicate_of"].isna()
    group, keys = pd.factorize(grouped["duplicate_of"].where(~kept, grouped["photo_id"]), sort=True)
    least = np.full(len(keys), np.nan)
    np.fmin.at(least, group, grouped["measure"].to_numpy(float))
    several = np.flatnonzero(np.bincount(group, minlength=len(keys)) > 1)
    order = several[np.argsort(least[several], kind="stable")]
    number = np.full(len(keys), -1)
    number[order] = np.arange(len(order))
    is_member = number[group] >= 0
    return _Groups(grouped.assign(kept=kept)[is_member], number[group][is_member], len(order))


def _paged(order: np.ndarray, sizes: np.ndarray, max_pages: int) -> list[list[int]]:
    """The groups on each of the first pages, of so many photos each; one page at least, and be it empty."""
    pages: list[list[int]] = [[]]
    room = PHOTOS_PER_PAGE
    for number in order:
        needed = min(int(sizes[number]), GROUP_SHOWN)
        if needed > room:
            if len(pages) == max_pages:
                break
            pages.append([])
            room = PHOTOS_PER_PAGE
        pages[-1].append(int(number))
        room -= needed
    return pages


def _tab(rule: str, groups: int, unique: pd.DataFrame) -> Tab:
    label, meaning = RULES.get(rule, ("All", "every rule, the least sure groups first"))
    dropped = unique["duplicate_of"].notna() if rule == "all" else unique["rule"] == rule
    return Tab(rule, label, meaning, int(dropped.sum()), groups, _name(rule, 1))


def _group(rows: pd.DataFrame, known: pd.DataFrame, thumbnail: Thumbnail) -> DuplicateGroup:
    shown = [_shown(row, known, thumbnail) for _, row in rows.head(GROUP_SHOWN).iterrows()]
    return DuplicateGroup(shown, len(rows) - len(shown))


def _shown(row: pd.Series, known: pd.DataFrame, thumbnail: Thumbnail) -> ShownPhoto:
    photo_id = str(row["photo_id"])
    credit = known.loc[photo_id] if photo_id in known.index else pd.Series(dtype=object)
    link = _text(credit.get("page_url"))
    return ShownPhoto(
        photo_id=photo_id,
        domain=str(row["domain"]),
        size=f"{row['width_px']} × {row['height_px']}",
        rule=_text(row["rule"]),
        measure=None if pd.isna(row["measure"]) else float(row["measure"]),
        distance_bits=None if pd.isna(row["distance_bits"]) else int(row["distance_bits"]),
        title=_text(credit.get("title")),
        owner=_text(credit.get("owner_name")) or _text(credit.get("owner")),
        link=link if link and is_web(link) else None,
        picture=_data_uri(thumbnail(str(row["sha256"]))),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _data_uri(rgb: np.ndarray) -> str:
    image, buffer = Image.fromarray(rgb), io.BytesIO()
    image.thumbnail((EDGE_PX, EDGE_PX), Image.Resampling.LANCZOS)
    image.save(buffer, "WEBP", quality=75)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _bars(inputs: PageInputs) -> list[Bar]:
    """Square roots, so that a few photos are still seen beside thousands."""
    highest = max([1, *inputs.duplicates.values(), *inputs.strangers.values()]) ** 0.5
    counts = [(bits, inputs.duplicates.get(bits, 0), inputs.strangers.get(bits, 0)) for bits in range(LOOK_WITHIN_BITS + 1)]
    return [Bar(bits, own, other, own**0.5 / highest, other**0.5 / highest) for bits, own, other in counts]
