"""The datasheet of a snapshot, after Gebru et al., "Datasheets for Datasets" (2021): what a reader must know to use it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from pipeline.dataset.manifest import counts
from pipeline.licenses import license_name
from pipeline.picture_layers import METRIC, RELATIVE, Encoding, Layer, present
from pipeline.plain_text import plain_markdown

MANY = 10


def datasheet(
    manifest: pd.DataFrame,
    facts: Mapping[str, Any],
    left_out: Mapping[str, int] | None = None,
    use: str | None = None,
) -> str:
    """Markdown about the pictures of `manifest`, a snapshot's rows or some of them; `facts` is its `snapshot.json`.

    `left_out` counts the snapshot's pictures that are not among them by reason; `use` is what they were chosen for.
    """
    made = facts.get("made_from", {})
    sections = [
        f"# Datasheet of snapshot {facts['id']}",
        f"Made by bokehflow (code revision {made.get('code_revision', 'unknown')}) for the project "
        f"{made.get('project', 'unknown')}. SHA-256 of the manifest: `{facts['sha256']}`.",
        "## Motivation\n\nUnpaired translation from ordinary portraits to portraits with a shallow depth of field, after "
        "the 2018 study *Simulating Shallow Depth of Field in Portraits Using Generative Models*.",
        _composition(manifest, left_out or {}, use),
        _collection(manifest, made),
        _preparation(made, manifest),
        _licences(manifest),
        _biases(manifest, made),
        _uses(),
        _maintenance(manifest),
    ]
    return "\n\n".join(sections) + "\n"


def _composition(manifest: pd.DataFrame, left_out: Mapping[str, int], use: str | None) -> str:
    rows = [[domain, splits["train"], splits["test"]] for domain, splits in counts(manifest).items()]
    lines = [
        "## Composition",
        f"{len(manifest):,} pictures, {_each(manifest)} that one person kept, with an 8-bit alpha of its subject.",
        _table(["domain", "train", "test"], rows),
        "Test and training never share a near-duplicate: the side follows from the smallest photo id among all that are "
        "joined by verified duplicate pairs.",
    ]
    lines += [
        f"{manifest[layer.digest].notna().sum():,} of them have the layer `{layer.name}`: {layer.what}"
        f"{_meaning(manifest, layer)}."
        for layer in present(manifest)
    ]
    if use:
        lines.append(f"Only photos whose licence allows the use `{use}` are in it.")
    lines += [f"{count:,} pictures of the snapshot are left out: {reason}." for reason, count in left_out.items()]
    return "\n\n".join(lines)


def _meaning(manifest: pd.DataFrame, layer: Layer) -> str:
    """In which units the numbers of a layer are, and how many pictures are in each."""
    if not layer.encoded:
        return ""
    units = manifest[layer.encoding].dropna().map(lambda text: Encoding.parse(str(text)).unit).value_counts()
    words = {METRIC: "in 1/m", RELATIVE: "relative, larger is nearer"}
    return "; " + ", ".join(f"{count:,} {words[str(unit)]}" for unit, count in units.items())


def _each(manifest: pd.DataFrame) -> str:
    photos = manifest["photo_id"].nunique()
    return "each a photo" if photos == len(manifest) else f"tiles of {photos:,} photos"


def _collection(manifest: pd.DataFrame, made: Mapping[str, Any]) -> str:
    lines = ["## Collection process", *sources(manifest, made)]
    for domain, entry in made.get("domains", {}).items():
        queries = "\n".join(f"- `{json.dumps(query, ensure_ascii=False)}`" for query in entry.get("queries", []))
        if queries:
            lines.append(f"### {domain}: {entry.get('title') or 'no title'}\n\n{queries}")
    for domain, found in made.get("counts", {}).items():
        lines.append(_funnel(domain, found))
    tagged = "left out" if made.get("settings", {}).get("photos", {}).get("exclude_no_cv") else "not left out"
    if any(map(_is_of_flickr, manifest["photo_id"])):
        lines.append("Flickr's members were not asked; what they published under which licence is what counts.")
    lines.append(f"Photos tagged `no_cv` (not for computer vision) were {tagged}.")
    return "\n\n".join(lines)


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
    if imported := int((~photos["photo_id"].map(_is_of_flickr)).sum()):
        yield (
            f"{imported:,} of the {len(photos):,} photos were brought from folders of the keeper's own (`bokehflow import`)"
            "; whose they are and under which licence is what was told with them."
        )


def _queries(made: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [query for entry in made.get("domains", {}).values() for query in entry.get("queries", [])]


def _is_of_flickr(photo_id: str) -> bool:
    return photo_id.startswith("flickr:")


def _funnel(domain: str, found: Mapping[str, Any]) -> str:
    rows = [["listed", found.get("listed", 0)]]
    for name in ("rejected", "duplicates", "dropped"):
        rows += [[f"{name}: {reason}", count] for reason, count in found.get(name, {}).items()]
    rows += [[name, found[name]] for name in ("undecided", "moved", "kept") if name in found]
    return f"What became of the photos found for `{domain}`:\n\n" + _table(["photos of " + domain, "count"], rows)


def _preparation(made: Mapping[str, Any], manifest: pd.DataFrame) -> str:
    settings = {name: made.get("settings", {}).get(name, {}) for name in ("photos", "dedupe", "masks", "dataset")}
    shown = "\n".join(f"- {name}: `{json.dumps(values, ensure_ascii=False)}`" for name, values in settings.items() if values)
    names = sorted(manifest["transform"].unique())
    transforms = ", ".join(f"`{name}`" for name in names[:MANY]) + (f" and {len(names) - MANY:,} more" * (len(names) > MANY))
    return (
        "## Preprocessing\n\nDecoded upright to sRGB, duplicates removed by bytes and by perceptual hash confirmed on the "
        f"pixels, reviewed by a person, the subject segmented, cropped and scaled ({transforms}). Settings:\n\n{shown}"
    )


def _licences(manifest: pd.DataFrame) -> str:
    photos = manifest.drop_duplicates(["domain", "photo_id"])
    names = photos["license"].map(lambda value: license_name(value if isinstance(value, str) else None))
    rows = [[name, count] for name, count in names.value_counts().items()]
    of_flickr = photos["photo_id"].map(_is_of_flickr)
    shown = ["that Flickr showed when it was listed"] * bool(of_flickr.any())
    told = ["that was told when it was imported"] * bool(not of_flickr.all())
    return (
        f"## Distribution and licences\n\nEvery photo stays its owner's, under the licence {', or '.join(shown + told)}. "
        "The attribution file names title, owner, licence and page of each; whoever passes pictures on must pass that on "
        "too. The alphas are under the licence of the photo they were made from.\n\n" + _table(["licence", "photos"], rows)
    )


def _biases(manifest: pd.DataFrame, made: Mapping[str, Any]) -> str:
    return "## Known biases\n\n" + "\n".join(f"- {line}" for line in known_biases(manifest, made))


def known_biases(manifest: pd.DataFrame, made: Mapping[str, Any]) -> list[str]:
    """What is known of the biases of these pictures, a sentence or two each."""
    lines = [_owners(manifest)]
    of_flickr = [
        "Flickr's members are not the world: age, region, skin tone and occasion of the sitters are those of people who "
        "are photographed by hobbyists and professionals with an account there. None of it was measured or balanced.",
        "The search words are English, so photos tagged in other languages are missing.",
        "A search by camera finds only photos whose owners publish their EXIF data.",
    ]
    if manifest["photo_id"].map(_is_of_flickr).any():
        lines += of_flickr
    lines += [
        "Keep or drop is one curator's judgement; the datasheet counts the reasons." + _agreement(made),
        "The segmenter finds some people better than others; a photo without a found subject is left out.",
    ]
    cameras = sorted({str(query["camera"]) for query in _queries(made) if query.get("camera")})
    if cameras:
        lines.append(f"One side comes from few cameras ({', '.join(cameras)}), so camera and domain are confounded.")
    return lines


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
        f"{len(owners):,} owners; the most frequent has {share:.0%} of the pictures, the {MANY} most frequent {top:.0%}"
        f"{unknown}."
    )


def _uses() -> str:
    return (
        "## Uses\n\nMade for learning to render a shallow depth of field and for measuring it. Not for recognising people, "
        "nor for judging their traits: the sitters have agreed to neither. Licences that forbid derivatives or commercial "
        "use bind what is made of those photos too; whether a model is such a thing is for you to judge."
    )


def _maintenance(manifest: pd.DataFrame) -> str:
    term = "; Flickr's terms give 24 hours" * any(map(_is_of_flickr, manifest["photo_id"]))
    return (
        f"## Maintenance and removal\n\nWhoever wants a photo removed asks the keeper of this copy{term}. "
        "`bokehflow forget` erases its pixels and its owner's name from all snapshots of the home and keeps a "
        "tombstone (id and digests), so that the snapshot's id still holds, and marks the models trained on it. A copy that "
        "was exported must be exported anew: please compare yours with the keeper's list of forgotten photos."
    )


def _table(header: list[str], rows: list[list[Any]]) -> str:
    shown = [[f"{cell:,}" if isinstance(cell, int) else plain_markdown(str(cell)) for cell in row] for row in rows]
    head = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in shown)])
