"""The lineage of a model in the terms of W3C PROV, as PROV-JSON: what it was made of, by what, and whose that is.

The photos that it was trained on, a snapshot's members, are entities attributed to their owners; training is an activity
that used the snapshot and generated the model; what it scored is an entity derived from it. What is not recorded, such as
when training began, is left out.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from pipeline.dataset.lineage import Row, RunFacts

PREFIXES = {
    "dct": "http://purl.org/dc/terms/",
    "bokehflow": "urn:bokehflow:",
    "photo": "urn:bokehflow:photo:",
    "owner": "urn:bokehflow:owner:",
}
SOFTWARE = "bokehflow:software"

Record = dict[str, Any]


def model_provenance(run: RunFacts, photos: Sequence[Row], snapshot_sha256: str) -> dict[str, Any]:
    """A PROV-JSON document of the run; `photos` as `model_photos` gives them, a row for each photo and domain."""
    snapshot, training, model = (f"bokehflow:{kind}-{_local(name)}" for kind, name in _named(run))
    members = {f"photo:{_local(row['photo_id'])}": row for row in photos}
    owners = {f"owner:{_local(row['owner'])}": row for row in photos if row["owner"]}
    scores = f"{model}-evaluation"
    document = {
        "prefix": PREFIXES,
        "entity": {
            snapshot: {
                "prov:type": _type("prov:Collection"),
                "prov:label": run.snapshot,
                "bokehflow:sha256": snapshot_sha256,
            },
            **{name: _photo(row) for name, row in members.items()},
            model: _model(run),
            **({scores: _told("bokehflow", dict(run.scores))} if run.scores else {}),
        },
        "activity": {training: _training(run)},
        "agent": {
            SOFTWARE: {"prov:type": _type("prov:SoftwareAgent"), "prov:label": "bokehflow"},
            **{name: _told("prov", {"label": row["owner_name"] or row["owner"]}) for name, row in owners.items()},
        },
        "hadMember": _numbered([{"prov:collection": snapshot, "prov:entity": name} for name in members]),
        "wasAttributedTo": _numbered(
            [
                {"prov:entity": name, "prov:agent": f"owner:{_local(row['owner'])}"}
                for name, row in members.items()
                if row["owner"]
            ]
        ),
        "used": _numbered([{"prov:activity": training, "prov:entity": snapshot}]),
        "wasGeneratedBy": _numbered([{"prov:entity": model, "prov:activity": training}]),
        "wasAssociatedWith": _numbered([{"prov:activity": training, "prov:agent": SOFTWARE}]),
        "wasDerivedFrom": _numbered(
            [
                {"prov:generatedEntity": model, "prov:usedEntity": snapshot},
                *([{"prov:generatedEntity": scores, "prov:usedEntity": model}] if run.scores else []),
            ]
        ),
    }
    return {kind: records for kind, records in document.items() if records}


def _named(run: RunFacts) -> Sequence[tuple[str, str]]:
    return ("snapshot", run.snapshot), ("training", run.run), ("model", run.run)


def _local(name: object) -> str:
    """A part of a qualified name: no sign in it means anything there."""
    return quote(str(name), safe="")


def _type(name: str) -> Record:
    return {"$": name, "type": "prov:QUALIFIED_NAME"}


def _told(prefix: str, values: Mapping[str, Any]) -> Record:
    """Attributes, those that are known; what has parts is told as JSON."""
    plain = {name: value for name, value in values.items() if value not in (None, "", {}, [])}
    return {
        f"{prefix}:{_local(name)}": value if isinstance(value, str | int | float) else json.dumps(value, sort_keys=True)
        for name, value in plain.items()
    }


def _photo(row: Row) -> Record:
    rights = {"title": row["title"], "license": row["license"], "source": row["page_url"]}
    return _told("dct", rights) | _told("bokehflow", {"domain": row["domain"]})


def _model(run: RunFacts) -> Record:
    return _told("prov", {"label": run.run}) | _told("bokehflow", {"model": run.model, "files": run.card.get("files")})


def _training(run: RunFacts) -> Record:
    card = run.card
    told = {
        "recipe": run.recipe,
        "seed": run.seed,
        "steps": run.steps,
        "code_revision": card.get("lineage", {}).get("code_revision"),
        "versions": card.get("versions"),
        "settings": card.get("settings"),
    }
    return _told("prov", {"label": f"training of {run.key}"}) | _told("bokehflow", told)


def _numbered(relations: Sequence[Record]) -> dict[str, Record]:
    """Relations need names of their own, which no one refers to."""
    kinds = {"-".join(sorted(name.partition(":")[2] for name in one)) for one in relations}
    kind = next(iter(sorted(kinds)), "")
    return {f"_:{kind}{number}": one for number, one in enumerate(relations)}
