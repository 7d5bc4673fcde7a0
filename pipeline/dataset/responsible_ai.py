"""What Croissant's extension for responsible AI asks (RAI 1.0), answered from what a snapshot knows of itself.

A property without an answer is left out, and the limitations say so: nothing is guessed. The datasheet says it at length.
"""

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from pipeline.dataset.datasheet import is_of_subjects, known_biases, sources
from pipeline.photo_ids import COMMONS, FLICKR

CONFORMS_TO = "http://mlcommons.org/croissant/RAI/1.0"
UNKNOWN = (
    "ages, regions, skin tones and consent of the people shown",
    "who the curators are (annotator demographics)",
    "on which days the photos were collected",
    "the social impact of the dataset",
)
"""What nobody has recorded."""


def responsible(rows: pd.DataFrame, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The `rai:` properties of the pictures `rows`, a snapshot's or some of them; `facts` is its `snapshot.json`."""
    made = facts.get("made_from", {})
    of_subjects = is_of_subjects(made)
    found = {
        "dataCollection": " ".join(sources(rows, made)),
        "dataCollectionType": _kinds(rows),
        "dataCollectionMissingData": _missing(made),
        "dataPreprocessingProtocol": _preparation(made),
        "dataAnnotationProtocol": [
            "Each photo was kept by a person; those that were not were dropped for a stated reason (wrong tag, unfit blur, "
            "nobody in it, edited, inappropriate, other) or moved to the other domain.",
        ],
        "dataAnnotationPlatform": ["bokehflow: its review page, or tables that curators filled in"],
        "dataAnnotationAnalysis": _agreement(made),
        "machineAnnotationTools": _tools(made),
        "dataBiases": known_biases(rows, made),
        "dataUseCases": [
            "Learning to render a shallow depth of field, and measuring it."
            if of_subjects
            else "Learning from these collections, and measuring what was learnt."
        ],
        "dataLimitations": [
            "Not for recognising people, nor for judging their traits.",
            "The alphas are a network's, not a person's, unless one was drawn by hand."
            if of_subjects
            else "Nobody was looked for: every alpha is 0.",
            f"Not known, and so left open: {'; '.join(UNKNOWN)}.",
        ],
        "personalSensitiveInformation": [
            f"The pictures {'' if of_subjects else 'may '}show people who can be recognised; names of owners and titles may "
            "be those of persons.",
        ],
        "dataReleaseMaintenancePlan": "Whoever wants a photo removed asks the keeper of this copy, who erases it from all "
        "snapshots (`bokehflow forget`) and exports or publishes anew.",
    }
    return {f"rai:{name}": value for name, value in found.items() if value}


def _kinds(rows: pd.DataFrame) -> list[str]:
    """As the extension's definition calls ways of collecting."""
    came = rows["photo_id"].astype(str)
    by_query = came.str.startswith((FLICKR, COMMONS)).any()
    return ["Web API", "User-generated content data"] * bool(by_query) + ["Manual Human Curator"]


def _missing(made: Mapping[str, Any]) -> str | None:
    told = [
        f"Of the photos found for {domain}, {', '.join(f'{count:,} {reason}' for reason, count in rejected.items())} "
        "are missing."
        for domain, counts in made.get("counts", {}).items()
        if (rejected := {reason: count for reason, count in counts.get("rejected", {}).items() if count})
    ]
    return " ".join(told) or None


def _preparation(made: Mapping[str, Any]) -> list[str]:
    settings = made.get("settings", {})
    segmented = "the subject segmented, " if is_of_subjects(made) else ""
    told = [f"{name}: {json.dumps(settings[name])}" for name in ("photos", "dedupe", "dataset") if settings.get(name)]
    return [
        f"Decoded upright to sRGB, near-duplicates removed, {segmented}cropped and scaled.",
        *(f"Settings of {line}" for line in told),
    ]


def _tools(made: Mapping[str, Any]) -> list[str] | None:
    settings = made.get("settings", {}).get("masks")
    if not settings or not is_of_subjects(made):
        return None
    return [f"Alphas by bokehflow's segmenter, with the settings {json.dumps(settings)}"]


def _agreement(made: Mapping[str, Any]) -> list[str] | None:
    found = made.get("double_review", {})
    if not {"photos", "agreeing"} <= found.keys() or not found["photos"]:
        return None
    kappa = f", Cohen's kappa {found['kappa']:.2f}" if "kappa" in found else ""
    return [f"Two curators decided {found['photos']:,} photos blind: {found['agreeing']:,} alike{kappa}."]
