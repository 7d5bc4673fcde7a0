"""Croissant metadata (format 1.0) of an export: what its files and columns are, for tools that load datasets.

Written without mlcroissant, which would bring rdflib and more for a file of JSON; the tests read the result with it.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.dataset.datasheet import is_of_subjects
from pipeline.dataset.layout import ATTRIBUTION
from pipeline.dataset.responsible_ai import CONFORMS_TO, responsible
from pipeline.file_names import inside
from pipeline.licenses import license_name
from pipeline.photo_ids import FLICKR
from pipeline.picture_layers import Layer, present
from pipeline.plain_files import file_sha256

CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""As the format's definition gives it."""

COLUMNS = {
    "photo_id": "Source and id of the photo",
    "domain": "Side of the translation",
    "split": "train or test",
    "title": "The owner's title",
    "owner": "The owner's id at the photo's source",
    "owner_name": "The owner's name",
    "license_name": "The licence that the photo's source showed",
    "page_url": "The photo's page",
    "file": "The picture's file in this folder",
}


_MEANS = "What the numbers n of {} mean: unit, scale and shift; disparity = scale·n + shift where n > 0"


def describe(folder: Path, chosen: pd.DataFrame, facts: Mapping[str, Any], format: str) -> dict[str, Any]:
    """The metadata of the export that lies in `folder`, whose attribution is written already."""
    names = sorted({license_name(value) for value in chosen["license"].dropna().unique()} or {license_name(None)})
    made = facts.get("made_from", {})
    project = made.get("project", "portraits")
    what = "portraits with the alpha of their subject" if is_of_subjects(made) else "pictures, without subjects"
    layers = present(chosen)
    pictures, record_set = _DISTRIBUTIONS[format](folder, layers)
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.0", CONFORMS_TO],
        "name": f"{project}-{facts['id']}",
        "description": f"{len(chosen):,} {what}{_named(layers)}, snapshot {facts['id']} of {project}.",
        **({"url": "https://www.flickr.com/"} if chosen["photo_id"].str.startswith(FLICKR).any() else {}),
        "license": names,
        "creator": {"@type": "Organization", "name": "The photos' owners, see attribution.csv"},
        "citeAs": f"bokehflow snapshot {facts['id']}, manifest SHA-256 {facts['sha256']}",
        "version": "1.0.0",
        "datePublished": f"{datetime.now(UTC):%Y-%m-%d}",
        **responsible(chosen, facts),
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": "attribution",
                "name": "attribution",
                "description": "Title, owner, licence and link of each photo.",
                "contentUrl": ATTRIBUTION,
                "encodingFormat": "text/csv",
                "sha256": file_sha256(folder / ATTRIBUTION),
            },
            *pictures,
        ],
        "recordSet": [_photos(layers), record_set],
    }


def _named(layers: Sequence[Layer]) -> str:
    return "".join(f", {layer.name}" for layer in layers)


def _photos(layers: Sequence[Layer]) -> dict[str, Any]:
    encodings = {layer.encoding: _MEANS.format(layer.name) for layer in layers if layer.encoded}
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"photos/{name}",
            "name": name,
            "description": description,
            "dataType": "sc:URL" if name == "page_url" else "sc:Text",
            "source": {"fileObject": {"@id": "attribution"}, "extract": {"column": name}},
        }
        for name, description in {**COLUMNS, **encodings}.items()
    ]
    return {
        "@type": "cr:RecordSet",
        "@id": "photos",
        "name": "photos",
        "description": "Whose each picture is.",
        "key": [{"@id": "photos/photo_id"}, {"@id": "photos/file"}],
        "field": fields,
    }


def _shown(folder: Path, layers: Sequence[Layer]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    (files, *_), record_set = _folders(folder, ())
    return [files | {"description": "Pictures, for a tool in which people look at them and decide."}], record_set


def _folders(folder: Path, layers: Sequence[Layer]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    files = {
        "@type": "cr:FileSet",
        "@id": "pictures",
        "name": "pictures",
        "description": "trainA, trainB, testA, testB."
        + "".join(f" Those in folders that end in _{layer.name}: {layer.what}." for layer in layers),
        "encodingFormat": "image/png",
        "includes": "*/*.png",
    }
    fields = [
        _field("images/image", "The picture", "sc:ImageObject", {"fileProperty": "content"}),
        _field("images/path", "Its file", "sc:Text", {"fileProperty": "filename"}),
    ]
    for field in fields:
        field["source"]["fileSet"] = {"@id": "pictures"}
    return [files], _images(fields)


def _parquet(folder: Path, layers: Sequence[Layer]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    files = {
        "@type": "cr:FileSet",
        "@id": "pictures",
        "name": "pictures",
        "description": "Pictures with alpha and origin; the name begins with the split.",
        "encodingFormat": "application/x-parquet",
        "includes": "data/*.parquet",
    }
    fields = [
        _field("images/photo_id", "Source and id of the photo", "sc:Text", {"column": "photo_id"}),
        _field("images/domain", "Side of the translation", "sc:Text", {"column": "domain"}),
        _field("images/image", "The picture", "sc:ImageObject", {"column": "image"}),
        _field("images/alpha", "Opacity of the subject", "sc:ImageObject", {"column": "alpha"}),
    ]
    for layer in layers:
        what = f"{layer.what[0].upper()}{layer.what[1:]}"
        fields.append(_field(f"images/{layer.name}", what, "sc:ImageObject", {"column": layer.name}))
        if layer.encoded:
            means = _MEANS.format(layer.name)
            fields.append(_field(f"images/{layer.encoding}", means, "sc:Text", {"column": layer.encoding}))
    for field in fields:
        field["source"]["fileSet"] = {"@id": "pictures"}
        if field["dataType"] == "sc:ImageObject":
            field["source"]["transform"] = {"jsonPath": "bytes"}
    return [files], _images(fields)


def _tars(folder: Path, layers: Sequence[Layer]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Shards with their digests, the pictures in them, and the tables beside them, which say whose each is."""
    shards = [path.relative_to(folder).as_posix() for path in sorted(folder.glob("*/*.tar"))]
    tars = [
        {
            "@type": "cr:FileObject",
            "@id": name,
            "name": name,
            "contentUrl": name,
            "encodingFormat": "application/x-tar",
            "sha256": file_sha256(inside(folder, name)),
        }
        for name in shards
    ]
    members = "".join(f", KEY.{layer.name}.png: {layer.what}" for layer in layers)
    pictures = {
        "@type": "cr:FileSet",
        "@id": "pictures",
        "name": "pictures",
        "description": f"In each shard KEY.png: the picture, KEY.mask.png: opacity of the subject{members}, KEY.txt: its "
        "title, KEY.json: whose it is.",
        "containedIn": [{"@id": name} for name in shards],
        "encodingFormat": "image/png",
        "includes": "*.png",
    }
    tables = {
        "@type": "cr:FileSet",
        "@id": "tables",
        "name": "tables",
        "description": "What the KEY.json of each shard say, in one table.",
        "encodingFormat": "application/x-parquet",
        "includes": "*/*.parquet",
    }
    images = [
        _field(
            "images/image", "The picture, its alpha or a layer, by its name", "sc:ImageObject", {"fileProperty": "content"}
        ),
        _field("images/path", "Its name in the shard", "sc:Text", {"fileProperty": "filename"}),
    ]
    for field in images:
        field["source"]["fileSet"] = {"@id": "pictures"}
    return [*tars, pictures, tables], _images(images)


def _field(identifier: str, description: str, kind: str, extract: dict[str, Any]) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": identifier,
        "name": identifier.split("/")[1],
        "description": description,
        "dataType": kind,
        "source": {"extract": extract},
    }


def _images(fields: list[dict[str, Any]]) -> dict[str, Any]:
    return {"@type": "cr:RecordSet", "@id": "images", "name": "images", "description": "The pictures.", "field": fields}


_DISTRIBUTIONS: Mapping[str, Callable[[Path, Sequence[Layer]], tuple[list[dict[str, Any]], dict[str, Any]]]] = {
    "folders": _folders,
    "hf": _parquet,
    "webdataset": _tars,
    "labelstudio": _shown,
    "fiftyone": _shown,
}
