"""A model's lineage as SPDX 3 is read by that standard's own bindings, which check types, values and cardinalities."""

import json
from pathlib import Path
from typing import Any

import pytest
from spdx_python_model import v3_0_1 as spdx

from pipeline.dataset.lineage import RunFacts, model_photos
from pipeline.dataset.spdx import NO_LICENSE_TOLD, Frozen, model_spdx
from tests.pipeline.dataset.frozen_world import World
from tests.pipeline.dataset.test_provenance import run_on

FROZEN = Frozen("a" * 64, 1.7e9, {"rai:dataCollection": "by hand", "rai:dataBiases": ["few"], "rai:dataUseCases": ["blur"]})
PACKAGE = ("releaseTime", "software_downloadLocation", "software_primaryPurpose")
DEMANDED = {
    "ai_AIPackage": (*PACKAGE, "suppliedBy", "software_packageVersion"),
    "dataset_DatasetPackage": (*PACKAGE, "builtTime", "originatedBy", "dataset_datasetType"),
}
"""What the two profiles demand beyond the classes' own rules."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def read(document: dict[str, Any]) -> Any:  # noqa: ANN401 - the bindings' classes are made when they are imported
    """The objects of a document. Raises where one breaks a rule, is linked to nothing, or is of no known class."""
    objects = spdx.SHACLObjectSet()
    spdx.JSONLDDeserializer().deserialize_data(json.loads(json.dumps(document)), objects)
    assert not objects.missing_ids - {NO_LICENSE_TOLD}
    spdx.JSONLDSerializer().serialize_data(objects)
    return objects


def test_the_standards_own_bindings_read_it(world: World) -> None:
    identifier = world.freeze(range(1, 13))
    run = run_on(identifier)
    photos = model_photos(run, world.snapshots)
    document = model_spdx(run, photos, FROZEN, 1.7e9)
    objects = read(document)
    (model,) = objects.foreach_type("ai_AIPackage")
    (dataset,) = objects.foreach_type("dataset_DatasetPackage")
    for kind, element in (("ai_AIPackage", model), ("dataset_DatasetPackage", dataset)):
        assert all(getattr(element, name) for name in DEMANDED[kind])
    relations = list(objects.foreach_type("Relationship"))
    short = {(one.relationshipType.rpartition("/")[2], one.from_.get_id()): one for one in relations}
    assert len(short) == len(relations)
    for element in (model, dataset):
        for kind in ("hasDeclaredLicense", "hasConcludedLicense"):
            assert len(short[kind, element.get_id()].to) == 1
    (trained_on,) = short["trainedOn", model.get_id()].to
    assert trained_on.get_id() == dataset.get_id() == f"urn:bokehflow:snapshot:{identifier}"
    files = short["contains", dataset.get_id()].to
    assert {one.get_id() for one in files} == {f"urn:bokehflow:photo:flickr%3A{row['photo_id'][7:]}" for row in photos}
    (weights,) = short["contains", model.get_id()].to
    assert weights.verifiedUsing[0].hashValue == "ff"
    (licence,) = short["hasDeclaredLicense", files[0].get_id()].to
    assert licence.simplelicensing_licenseExpression in {"CC-BY-2.0", "LicenseRef-All-Rights-Reserved"}
    assert {one.key: one.value for one in model.ai_hyperparameter} == {"size_px": "64"}
    assert {one.key: one.value for one in model.ai_metric} == {"l1": "0.25"}


def test_what_is_not_known_is_not_asserted(world: World) -> None:
    identifier = world.freeze(range(1, 13))
    run = RunFacts("r", "smoke", 0, "cyclegan", identifier, 6, ("ordinary", "shallow"), {})
    photos = [
        row | {"owner": None, "owner_name": None, "title": None, "license": "unknown"}
        for row in model_photos(run, world.snapshots)
    ]
    document = model_spdx(run, photos, Frozen("a" * 64, 1.7e9, {}), 1.7e9)
    read(document)
    licensed = [one for one in document["@graph"] if one.get("relationshipType") == "hasDeclaredLicense"]
    assert len(licensed) == len(photos) + 2
    assert all(one["to"] == [NO_LICENSE_TOLD] for one in licensed)
    assert not [one for one in document["@graph"] if one["type"] in {"Agent", "simplelicensing_LicenseExpression"}]


def test_a_document_that_breaks_a_rule_is_found_out(world: World) -> None:
    run = run_on(world.freeze(range(1, 13)))
    document = model_spdx(run, model_photos(run, world.snapshots), FROZEN, 1.7e9)
    (model,) = [one for one in document["@graph"] if one["type"] == "ai_AIPackage"]
    model["software_primaryPurpose"] = "toy"
    with pytest.raises(ValueError, match="toy"):
        read(document)
