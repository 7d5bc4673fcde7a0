"""The datasheet of a snapshot, after Gebru et al., "Datasheets for Datasets" (2021): what a reader must know to use it.

Its text stands in `templates/datasheet.md`.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from pipeline.counted import counted
from pipeline.dataset.manifest import counts
from pipeline.hint_table import SUGGESTED
from pipeline.licenses import license_name
from pipeline.picture_layers import METRIC, RELATIVE, Encoding, Layer, present
from pipeline.plain_text import plain_markdown

MANY = 10
_MEMBERS = (
    "Flickr's members are not the world: {} hobbyists and professionals with an account there. None of it was measured or "
    "balanced."
)


def datasheet(
    manifest: pd.DataFrame,
    facts: Mapping[str, Any],
    left_out: Mapping[str, int] | None = None,
    use: str | None = None,
) -> str:
    """Markdown about the pictures of `manifest`, a snapshot's rows or some of them; `facts` is its `snapshot.json`.

    `left_out` counts the snapshot's pictures that are not among them by reason; `use` is what they were chosen for.
    """
    made, photos = facts.get("made_from", {}), manifest.drop_duplicates(["domain", "photo_id"])
    of_flickr = photos["photo_id"].str.startswith("flickr:")
    told = {
        "facts": facts,
        "made": made,
        "of_subjects": is_of_subjects(made),
        "use": use,
        "left_out": left_out or {},
        "pictures": len(manifest),
        "photos": manifest["photo_id"].nunique(),
        "sides": [[domain, splits["train"], splits["test"]] for domain, splits in counts(manifest).items()],
        "layers": [(one, manifest[one.digest].notna().sum(), _units(manifest, one)) for one in present(manifest)],
        "sources": sources(manifest, made),
        "searches": list(_searches(made)),
        "funnels": [(domain, _funnel(found)) for domain, found in made.get("counts", {}).items()],
        "some_of_flickr": bool(of_flickr.any()),
        "some_imported": bool(not of_flickr.all()),
        "transforms": _transforms(manifest),
        "settings": list(_settings(made)),
        "licences": _licences(photos),
        "biases": known_biases(manifest, made),
    }
    return _template().render(told)


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.dataset"),
        autoescape=False,  # Markdown: what comes from outside passes `plain_markdown`
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"table": _table, "count": lambda number: f"{number:,}"}
    return environment.get_template("datasheet.md")


def _units(manifest: pd.DataFrame, layer: Layer) -> str:
    """In which units the numbers of a layer are, and how many pictures are in each."""
    if not layer.encoded:
        return ""
    units = manifest[layer.encoding].dropna().map(lambda text: Encoding.parse(str(text)).unit).value_counts()
    words = {METRIC: "in 1/m", RELATIVE: "relative, larger is nearer"}
    return "; " + ", ".join(f"{count:,} {words[str(unit)]}" for unit, count in units.items())


def _searches(made: Mapping[str, Any]) -> Iterator[tuple[str, str | None, list[str]]]:
    """Domain, title and queries, where there are any."""
    for domain, entry in made.get("domains", {}).items():
        if queries := [json.dumps(query, ensure_ascii=False) for query in entry.get("queries", [])]:
            yield domain, entry.get("title"), queries


def sources(manifest: pd.DataFrame, made: Mapping[str, Any]) -> Iterator[str]:
    """Where the photos come from, a sentence for each kind of source."""
    months, queries = made.get("months", {}), _queries(made)
    if queries:
        limited = any(query.get("limit_per_month") for query in queries)
        share = "where a query has a `limit_per_month`, each month's earliest uploads up to it were listed, else all"
        yield (
            f"Flickr's public search (`flickr.photos.search`), upload months {months.get('from', '?')} to "
            f"{months.get('to') or 'the time of the last listing'}; "
            f"{share if limited else 'every result was listed, none was sampled'}."
        )
    photos = manifest.drop_duplicates(["domain", "photo_id"])
    if imported := int((~photos["photo_id"].str.startswith("flickr:")).sum()):
        yield (
            f"{imported:,} of the {len(photos):,} photos were brought from folders of the keeper's own (`bokehflow import`)"
            "; whose they are and under which licence is what was told with them."
        )


def is_of_subjects(made: Mapping[str, Any]) -> bool:
    """Whether a snapshot made like this is about somebody: in collections of anything nobody is looked for."""
    return made.get("settings", {}).get("masks", {}).get("segmenter") != "none"


def _queries(made: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [query for entry in made.get("domains", {}).values() for query in entry.get("queries", [])]


def _funnel(found: Mapping[str, Any]) -> list[list[Any]]:
    """What became of the photos that were found for a domain."""
    rows = [["listed", found.get("listed", 0)]]
    for name in ("rejected", "duplicates", "dropped"):
        rows += [[f"{name}: {reason}", count] for reason, count in found.get(name, {}).items()]
    return rows + [[name, found[name]] for name in ("undecided", "moved", "kept") if name in found]


def _settings(made: Mapping[str, Any]) -> Iterator[str]:
    for name in ("photos", "dedupe", "masks", "dataset"):
        if values := made.get("settings", {}).get(name, {}):
            yield f"- {name}: `{json.dumps(values, ensure_ascii=False)}`"


def _transforms(manifest: pd.DataFrame) -> str:
    names = sorted(manifest["transform"].unique())
    return ", ".join(f"`{name}`" for name in names[:MANY]) + (f" and {len(names) - MANY:,} more" * (len(names) > MANY))


def _licences(photos: pd.DataFrame) -> list[list[Any]]:
    codes, values = pd.factorize(photos["license"], use_na_sentinel=False)
    counts = Counter[str]()
    for value, count in zip(values, np.bincount(codes).tolist(), strict=True):
        counts[license_name(value if isinstance(value, str) else None)] += count
    return [[name, count] for name, count in counts.most_common()]


def known_biases(manifest: pd.DataFrame, made: Mapping[str, Any]) -> list[str]:
    """What is known of the biases of these pictures, a sentence or two each."""
    lines = [_owners(manifest)]
    of_flickr = [
        _MEMBERS.format("age, region, skin tone and occasion of the sitters are those of people who are photographed by")
        if is_of_subjects(made)
        else _MEMBERS.format("what is shown, where and when, is what is photographed by"),
        "The search words are English, so photos tagged in other languages are missing.",
        "A search by camera finds only photos whose owners publish their EXIF data.",
    ]
    if manifest["photo_id"].str.startswith("flickr:").any():
        lines += of_flickr
    lines += _judgement(manifest.drop_duplicates("photo_id"), made)
    if is_of_subjects(made):
        lines.append("The segmenter finds some people better than others; a photo without a found subject is left out.")
    cameras = sorted({str(query["camera"]) for query in _queries(made) if query.get("camera")})
    if cameras:
        lines.append(f"One side comes from few cameras ({', '.join(cameras)}), so camera and domain are confounded.")
    return lines


def _judgement(photos: pd.DataFrame, made: Mapping[str, Any]) -> list[str]:
    """Whose judgement it is which photos are kept."""
    unseen = int((photos["curator"] == SUGGESTED).sum()) if "curator" in photos else 0
    told = "Keep or drop is one curator's judgement; the datasheet counts the reasons." + _agreement(made)
    if not unseen:
        return [told]
    lines = [f"Nobody looked at {unseen:,} of the {len(photos):,} photos: what measurements suggest was accepted."]
    return lines if unseen == len(photos) else [*lines, f"Of the others: {told[0].lower()}{told[1:]}"]


def _agreement(made: Mapping[str, Any]) -> str:
    found = made.get("double_review", {})
    if not {"photos", "agreeing"} <= found.keys() or not found["photos"]:
        return ""
    kappa = f" (Cohen's kappa {found['kappa']:.2f})" if "kappa" in found else ""
    return (
        f" Two curators decided {found['photos']:,} of the photos, neither seeing what the other said: "
        f"{found['agreeing']:,} alike{kappa}."
    )


def _owners(manifest: pd.DataFrame) -> str:
    """An empty owner, as imported photos may have, is nobody known."""
    known = manifest["owner"].fillna("").astype(str)
    owners = known[known != ""].value_counts()
    unknown = f"; of {len(manifest) - owners.sum():,} pictures the owner is not known" * bool(owners.sum() < len(manifest))
    if owners.empty:
        return "Of no picture the owner is known."
    share, top = owners.iloc[0] / len(manifest), owners.head(MANY).sum() / len(manifest)
    return (
        f"{counted(len(owners), 'owner')}; the most frequent has {share:.0%} of the pictures, "
        f"the {MANY} most frequent {top:.0%}{unknown}."
    )


def _table(rows: list[list[Any]], *header: str) -> str:
    shown = [[f"{cell:,}" if isinstance(cell, int) else plain_markdown(str(cell)) for cell in row] for row in rows]
    head = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in shown)])
