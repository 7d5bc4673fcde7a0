"""The lineage of a model as SPDX 3.0.1, in JSON-LD: the model by the AI profile, what it learnt from by the Dataset profile.

Each photo is a file of the dataset with its owner, page and licence. Where the profiles demand what nobody has said, the
licence of the model or who supplies it, that stands there: no assertion, and the program that made it. Nothing is guessed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from pipeline.dataset.lineage import Row, RunFacts
from pipeline.licenses import spdx_id

CONTEXT, VERSION = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld", "3.0.1"
NO_LICENSE_TOLD = "https://spdx.org/rdf/3.0.1/terms/ExpandedLicensing/NoAssertionLicense"
NOT_RELEASED = (
    "Not known, and so not told: under which licence the model may be used, and who supplies it. Its release is the end of "
    "its training, its place the run; neither means that it was published."
)
PREFIX, CREATION = "urn:bokehflow:", "_:creation"
SOFTWARE = f"{PREFIX}software"
PROFILES = ["core", "software", "simpleLicensing", "ai", "dataset"]

Element = dict[str, Any]


@dataclass(frozen=True)
class Frozen:
    """What is told of the snapshot besides its photos."""

    sha256: str
    frozen_s: float
    """Unix seconds."""
    responsible: Mapping[str, Any]
    """The properties `rai:…` of `responsible_ai.responsible`."""


def model_spdx(run: RunFacts, photos: Sequence[Row], snapshot: Frozen, trained_s: float) -> dict[str, Any]:
    """A document about the run, whose training ended at `trained_s`, Unix seconds; `photos` as `model_photos` gives them."""
    by_id = {str(row["photo_id"]): row for row in photos}
    licenses = sorted({str(row["license"]) for row in by_id.values()} - {"unknown"})
    model, dataset = _id("model", run.run), _id("snapshot", run.snapshot)
    elements = [
        *_owners(by_id.values()),
        *_licenses(licenses),
        _dataset(run, by_id.values(), dataset, snapshot),
        _model(run, model, trained_s),
        *_photos(by_id),
        *_weights(run),
    ]
    elements += [
        _related("trainedOn", model, [dataset]),
        _related("contains", dataset, [_id("photo", name) for name in by_id]),
        _related("contains", model, [_id("file", f"{run.run}/{name}") for name in _files(run)]),
        *_licensed(model, NO_LICENSE_TOLD, NO_LICENSE_TOLD),
        *_licensed(dataset, _license_of_all(by_id.values()), NO_LICENSE_TOLD),
        *(_related("hasDeclaredLicense", _id("photo", name), [_license(row["license"])]) for name, row in by_id.items()),
    ]
    elements = [one for one in elements if one["type"] != "Relationship" or one["to"]]
    return {"@context": CONTEXT, "@graph": [*_document(run, model, elements, trained_s), *elements]}


def _document(run: RunFacts, model: str, elements: Sequence[Element], trained_s: float) -> list[Element]:
    """How it came about, and what holds all: the same for the same run."""
    document = _element("SpdxDocument", _id("document", run.run), name=f"lineage of {run.run}")
    document |= {"profileConformance": PROFILES, "rootElement": [model], "element": [one["spdxId"] for one in elements]}
    creation = {"type": "CreationInfo", "@id": CREATION, "specVersion": VERSION, "created": _time(trained_s)}
    software = _element("SoftwareAgent", SOFTWARE, name="bokehflow")
    return [{**creation, "createdBy": [SOFTWARE]}, software, document]


def _element(kind: str, identifier: str, **values: object) -> Element:
    """An element with those of the values that are known."""
    told = {name: value for name, value in values.items() if value not in (None, "", [], {})}
    return {"type": kind, "spdxId": identifier, "creationInfo": CREATION, **told}


def _id(kind: str, name: object) -> str:
    return f"{PREFIX}{kind}:{quote(str(name), safe='')}"


def _time(unix_s: float) -> str:
    return f"{datetime.fromtimestamp(int(unix_s), UTC):%Y-%m-%dT%H:%M:%SZ}"


def _related(kind: str, of: str, to: Sequence[str]) -> Element:
    relationship = _element("Relationship", f"{PREFIX}{kind}:{of.removeprefix(PREFIX)}", relationshipType=kind)
    return {**relationship, "from": of, "to": list(dict.fromkeys(to))}


def _licensed(of: str, declared: str, concluded: str) -> list[Element]:
    return [_related("hasDeclaredLicense", of, [declared]), _related("hasConcludedLicense", of, [concluded])]


def _owners(rows: Iterable[Row]) -> list[Element]:
    owners = {str(row["owner"]): row["owner_name"] or row["owner"] for row in rows if row["owner"]}
    return [_element("Agent", _id("owner", owner), name=str(name)) for owner, name in owners.items()]


def _license(name: object) -> str:
    """The element of a licence, by its name for people."""
    return NO_LICENSE_TOLD if name == "unknown" else _id("license", name)


def _licenses(names: Sequence[str]) -> list[Element]:
    """An expression for each, with the words of those that are on no list."""
    found = []
    for name in names:
        expression, words = spdx_id(name), _id("license-text", name)
        told = _element("simplelicensing_LicenseExpression", _license(name), simplelicensing_licenseExpression=expression)
        if expression.startswith("LicenseRef-"):
            told["simplelicensing_customIdToUri"] = [_entry(expression, words)]
            found.append(_element("simplelicensing_SimpleLicensingText", words, simplelicensing_licenseText=name))
        found.append(told)
    every = [name for name in names if not spdx_id(name).startswith("LicenseRef-")]
    if len(names) > 1:
        joined = " AND ".join(sorted({spdx_id(name) for name in names}))
        refs = [_entry(spdx_id(name), _id("license-text", name)) for name in names if name not in every]
        found.append(
            _element(
                "simplelicensing_LicenseExpression",
                _id("license", "all"),
                simplelicensing_licenseExpression=joined,
                simplelicensing_customIdToUri=refs,
            )
        )
    return found


def _license_of_all(rows: Iterable[Row]) -> str:
    """All licences together, or no assertion where that of one photo is not known."""
    names = {str(row["license"]) for row in rows}
    if not names or "unknown" in names:
        return NO_LICENSE_TOLD
    return _id("license", "all") if len(names) > 1 else _license(names.pop())


def _entry(key: str, value: object) -> Element:
    return {"type": "DictionaryEntry", "key": key, "value": str(value)}


def _hash(sha256: str) -> list[Element]:
    return [{"type": "Hash", "algorithm": "sha256", "hashValue": sha256}]


def _dataset(run: RunFacts, rows: Iterable[Row], identifier: str, snapshot: Frozen) -> Element:
    owners = list(dict.fromkeys(_id("owner", row["owner"]) for row in rows if row["owner"]))
    told = {name.removeprefix("rai:"): value for name, value in snapshot.responsible.items()}
    return _element(
        "dataset_DatasetPackage",
        identifier,
        name=f"training pictures of snapshot {run.snapshot}",
        software_packageVersion=run.snapshot,
        software_primaryPurpose="data",
        software_downloadLocation=identifier,
        dataset_datasetType=["image"],
        dataset_dataCollectionProcess=told.get("dataCollection"),
        dataset_dataPreprocessing=told.get("dataPreprocessingProtocol"),
        dataset_knownBias=told.get("dataBiases"),
        dataset_intendedUse=" ".join(told.get("dataUseCases", [])),
        dataset_hasSensitivePersonalInformation="noAssertion",
        builtTime=_time(snapshot.frozen_s),
        releaseTime=_time(snapshot.frozen_s),
        originatedBy=owners or [SOFTWARE],
        verifiedUsing=_hash(snapshot.sha256),
        comment=f"The SHA-256 is that of the snapshot's manifest. {' '.join(told.get('personalSensitiveInformation', []))}",
    )


def _model(run: RunFacts, identifier: str, trained_s: float) -> Element:
    card = run.card
    settings = card.get("settings", {})
    lineage = card.get("lineage", {})
    return _element(
        "ai_AIPackage",
        identifier,
        name=run.run,
        software_packageVersion=str(card.get("digest") or run.run),
        software_primaryPurpose="model",
        software_downloadLocation=identifier,
        software_sourceInfo=f"code revision {lineage['code_revision']}" if lineage.get("code_revision") else None,
        builtTime=_time(trained_s),
        releaseTime=_time(trained_s),
        suppliedBy=SOFTWARE,
        ai_typeOfModel=[run.model],
        ai_domain=["image-to-image translation"],
        ai_informationAboutTraining=f"{run.steps:,} steps of the recipe {run.key}, from {' to '.join(run.trained_domains)}",
        ai_hyperparameter=[_entry(name, value) for name, value in settings.items() if value is not None],
        ai_metric=[_entry(name, f"{value:.6g}") for name, value in run.scores.items()],
        ai_limitation=f"by its last check it {card['failing']}" if card.get("failing") else None,
        ai_autonomyType="noAssertion",
        ai_useSensitivePersonalInformation="noAssertion",
        comment=NOT_RELEASED,
    )


def _photos(rows: Mapping[str, Row]) -> list[Element]:
    return [
        _element(
            "software_File",
            _id("photo", name),
            name=row["title"] or name,
            software_primaryPurpose="data",
            software_copyrightText=row["owner_name"] or row["owner"],
            originatedBy=[_id("owner", row["owner"])] if row["owner"] else None,
            externalRef=_page(row["page_url"]),
        )
        for name, row in rows.items()
    ]


def _page(url: object) -> list[Element]:
    return [{"type": "ExternalRef", "externalRefType": "altWebPage", "locator": [str(url)]}] if url else []


def _files(run: RunFacts) -> dict[str, str]:
    return dict(run.card.get("files") or {})


def _weights(run: RunFacts) -> list[Element]:
    return [
        _element(
            "software_File",
            _id("file", f"{run.run}/{name}"),
            name=name,
            software_primaryPurpose="model",
            verifiedUsing=_hash(digest),
        )
        for name, digest in _files(run).items()
    ]
