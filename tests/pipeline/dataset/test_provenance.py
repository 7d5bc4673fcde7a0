"""A model's lineage as PROV-JSON is read by the library of that standard and says what the lineage says."""

import json
from pathlib import Path

import pytest
from prov.constants import PROV
from prov.model import ProvDocument, ProvEntity, ProvMembership

from pipeline.dataset.lineage import RunFacts, model_photos
from pipeline.dataset.provenance import model_provenance
from tests.pipeline.dataset.frozen_world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def run_on(snapshot: str) -> RunFacts:
    card = {"lineage": {"code_revision": "abc+"}, "settings": {"size_px": 64}, "files": {"generator.safetensors": "ff"}}
    return RunFacts(f"{snapshot}-smoke-0", "smoke", 0, "cyclegan", snapshot, 6, ("ordinary", "shallow"), card, {"l1": 0.25})


def test_the_standards_own_library_reads_it_and_finds_every_photo(world: World) -> None:
    identifier = world.freeze(range(1, 13))
    run = run_on(identifier)
    photos = model_photos(run, world.snapshots)
    written = json.dumps(model_provenance(run, photos, "a" * 64))
    read = ProvDocument.deserialize(content=written, format="json")
    entities = {str(record.identifier): record for record in read.get_records(ProvEntity)}
    (collection,) = [one for one in entities.values() if PROV["Collection"] in one.get_asserted_types()]
    assert str(collection.identifier) == f"bokehflow:snapshot-{identifier}"
    members = {str(member.args[1]) for member in read.get_records(ProvMembership)}
    assert members == {"photo:flickr%3A" + row["photo_id"].removeprefix("flickr:") for row in photos}
    assert len(members) == len(photos) > 0
    graph = read.get_provn()
    for told in (
        "activity(bokehflow:training-", "wasGeneratedBy(", "used(", 'bokehflow:code_revision="abc+"',
        'dct:license="CC BY 2.0"', "wasDerivedFrom(", "owner:2%40N00",
    ):  # fmt: skip
        assert told in graph, told
    assert json.loads(read.serialize(format="json"))["wasGeneratedBy"]


def test_what_is_not_known_is_left_out(world: World) -> None:
    identifier = world.freeze(range(1, 13))
    run = RunFacts("r", "smoke", 0, "cyclegan", identifier, 6, ("ordinary", "shallow"), {})
    photos = [row | {"owner": None, "title": None} for row in model_photos(run, world.snapshots)]
    document = model_provenance(run, photos, "a" * 64)
    assert "wasAttributedTo" not in document
    assert set(document["activity"]["bokehflow:training-r"]) == {
        "prov:label", "bokehflow:recipe", "bokehflow:seed", "bokehflow:steps",
    }  # fmt: skip
    assert not [name for name in document["entity"] if name.endswith("-evaluation")]
    ProvDocument.deserialize(content=json.dumps(document), format="json")
