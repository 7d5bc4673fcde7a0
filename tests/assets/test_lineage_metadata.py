"""Dagster tells of a snapshot and of a model what the lineage command tells."""

from pathlib import Path

import dagster as dg
import pytest

from assets.headless import open_instance
from pipeline.dataset.layout import read_facts
from pipeline.operations.lineage import finished_runs, lineage_of_model
from storage import Home


@pytest.mark.slow
def test_materialisations_carry_digest_licences_and_code_revision(finished_demo: Path) -> None:
    home = Home(finished_demo)
    run = finished_runs(home)[0]
    told = lineage_of_model(home, run.run).facts
    with open_instance(home) as instance:
        model = instance.get_latest_materialization_event(dg.AssetKey("trained_model"))
        snapshot = instance.get_latest_materialization_event(dg.AssetKey("dataset_snapshot"))
    assert model is not None
    assert snapshot is not None
    of_model, of_snapshot = model.asset_materialization, snapshot.asset_materialization
    assert of_model is not None
    assert of_snapshot is not None
    digest = read_facts(home.snapshots, run.snapshot)["sha256"]
    assert of_model.metadata["manifest_sha256"].value == digest
    assert of_model.metadata["strictest_licence"].value == told["strictest licence"]
    assert of_model.metadata["code_revision"].value == told["code revision"]
    for name, photos in told["licences"].items():
        assert f"| {name} | {photos.split()[0]} |" in str(of_model.metadata["licences"].value)
    assert of_snapshot.tags is not None
    assert of_snapshot.tags["dagster/data_version"] == of_snapshot.partition
