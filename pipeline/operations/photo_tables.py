"""What the photo tables of a home hold in all: the months that the project file still asks for, and photos of one's own.

`imported_photos` has one row for what is three for a photo that was collected; here they come together.
"""

import hashlib
from collections.abc import Collection, Set
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

import pandas as pd

from pipeline.config import Project
from pipeline.links import is_web
from pipeline.operations.months import IMPORTED, listed_keys
from pipeline.photos.history import Relisted
from pipeline.tables import among, columns_of, conform, empty
from storage import Home, TableInfo


def listing_configuration(project: Project, key: str) -> str:
    """Digest of all that decides what a listing of `domain|month` has; months themselves do not count."""
    name, month = key.split("|")
    domain = project.domains[name]
    queries = [
        (index, query.model_dump_json(exclude_defaults=True, exclude={"from_month", "to_month"}))
        for index, query in enumerate(domain.queries)
        if query.covers(month)
    ]
    source = "" if domain.source == "flickr" else f" {domain.source}"
    decides = f"{queries} {project.photos.max_edge_px} {project.photos.exclude_no_cv}{source}"
    return hashlib.sha256(decides.encode()).hexdigest()[:16]


def newest_listings(project: Project, home: Home) -> dict[str, Relisted]:
    """By which configuration, and when, each configured month was listed last, the empty ones too."""
    infos = {key: home.tables.info("photo_listing", key) for key in configured_partitions(project, home, "photo_listing")}
    return {key: Relisted(_configuration_of(info), int(info.made_s)) for key, info in infos.items() if info}


def _configuration_of(info: TableInfo) -> str:
    """By which configuration a month was listed; version 0.1 wrote it before the digest of everything."""
    return info.provenance.notes.get("configuration", "") if info.provenance else info.former_version.split("-")[0]


def configured_partitions(project: Project, home: Home, name: str) -> list[str]:
    """The partitions of a table by domain × month that exist and that the project file still asks for."""
    wanted = set(listed_keys(project))
    return [key for key in home.tables.partitions(name) if key in wanted]


def all_rows(
    project: Project, home: Home, name: str, columns: list[str] | None = None, domain: str | None = None
) -> pd.DataFrame:
    """`photo_listing`, `photo_files` or `fingerprints` of all configured months with the rows of imported photos.

    All columns, or those named; of all domains, or of one.
    """
    wanted, domains = columns or columns_of(name), [domain] if domain else list(project.domains)
    keys = [key for key in configured_partitions(project, home, name) if key.split("|")[0] in domains]
    months = home.tables.read_all(name, keys, columns).reindex(columns=wanted)
    imported = _imported_rows(home, name, domains).reindex(columns=wanted)
    filled = [frame for frame in (months, imported) if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else months


def rows_of_photos(project: Project, home: Home, name: str, photo_ids: Set[str], columns: list[str]) -> pd.DataFrame:
    """These columns of the rows of `all_rows` that have one of these photos; of other months only the ids are read."""
    keys = configured_partitions(project, home, name)
    tables = [home.tables.rows_with(name, "photo_id", photo_ids, columns, key) for key in keys]
    frames = [table.to_pandas() for table in tables if table.num_rows]
    frames.append(_imported_rows(home, name, project.domains, photo_ids).reindex(columns=columns))
    return pd.concat(frames, ignore_index=True)


def newest_rows(project: Project, home: Home, name: str, columns: list[str] | None = None) -> pd.DataFrame:
    """`all_rows`, each photo of a domain once; of columns that are named these two must be among them.

    An owner may change a photo's upload date, and then two months list it; the later month counts.
    """
    return all_rows(project, home, name, columns).drop_duplicates(["domain", "photo_id"], keep="last", ignore_index=True)


def shown_titles(home: Home, photos: pd.DataFrame) -> pd.Series:
    """What people are shown as the titles of these photos, which have `photo_id` and `title`.

    Where an imported one has none it is the name of the file that it came as. No table holds these names: whoever publishes
    a photo does not publish its file's.
    """
    titles = photos["title"].astype("str").fillna("")
    bare = titles.str.strip() == ""
    if not bare.any() or home.tables.info("imports") is None:
        return titles
    found = home.tables.rows_with("imports", "photo_id", set(photos.loc[bare, "photo_id"]), ["photo_id", "file"])
    names = {row["photo_id"]: file_name(row["file"]) for row in found.to_pylist()}
    return titles.where(~bare, photos["photo_id"].map(lambda photo_id: names.get(photo_id, "")))


def file_name(file: str) -> str:
    """The name alone of an imported file, given as its path or its address; empty where an address has none.

    >>> file_name("holidays/IMG_0007.HEIC"), file_name("https://example.org/a/b%20c.jpg?size=large")
    ('IMG_0007.HEIC', 'b c.jpg')
    >>> file_name("HTTPS://example.org/d.jpg?key=secret"), file_name("https://ann:secret@example.org/?id=1")
    ('d.jpg', '')
    """
    return PurePosixPath(unquote(urlsplit(file).path) if is_web(file) else file).name


def _imported_rows(home: Home, name: str, domains: Collection[str], photo_ids: Set[str] | None = None) -> pd.DataFrame:
    """What the table would hold of imported photos; in a home of version 0.1 it does hold that, under a month of its own.

    Of these domains; of all photos, or of those named.
    """
    if former := former_imports(home, name):
        wanted = {f"{domain}|{IMPORTED}" for domain in domains}
        rows = home.tables.read_all(name, [key for key in former if key in wanted])
        return rows if photo_ids is None else rows[among(rows["photo_id"], photo_ids)]
    rows = home.tables.read_or_empty("imported_photos")
    if "refused_by" not in rows:
        return empty(name)  # version 0.1 wrote it, and nothing was imported
    rows = rows if photo_ids is None else rows[among(rows["photo_id"], photo_ids)]
    return conform(name, _AS_ROWS_OF[name](rows[among(rows["domain"], domains)]))


def former_imports(home: Home, name: str) -> list[str]:
    """Partitions in which version 0.1 kept imported photos; they count until `imported_photos` is made anew."""
    if "phash" in home.tables.columns("imported_photos"):
        return []
    return [key for key in home.tables.partitions(name) if key.endswith(f"|{IMPORTED}")]


def _as_listed(rows: pd.DataFrame) -> pd.DataFrame:
    refused = rows["refused_by"] == "photo_listing"
    facts = {"month": IMPORTED, "query": 0, "media": "photo", "truncated": False}
    sizes = {"image_width_px": rows["width_px"], "image_height_px": rows["height_px"]}
    return rows.assign(**facts, **sizes, reason=rows["reason"].where(refused, None))


def _as_files(rows: pd.DataFrame) -> pd.DataFrame:
    listed = rows[rows["refused_by"] != "photo_listing"]
    sha256 = listed["sha256"].astype(object).where(listed["reason"].isna(), None)
    return listed.assign(month=IMPORTED, pending=False, sha256=sha256)


def _as_fingerprints(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["reason"].isna()]


_AS_ROWS_OF = {"photo_listing": _as_listed, "photo_files": _as_files, "fingerprints": _as_fingerprints}
