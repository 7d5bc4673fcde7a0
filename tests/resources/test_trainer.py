"""Sample pictures reach the UI while a run goes on."""

import time
from pathlib import Path

import dagster as dg
from PIL import Image

from pipeline.training.jobs import TrainingJob
from pipeline.training.runs import RunFolder
from resources.dagster_internals import ERASED, without_pictures
from resources.trainer import samples_shown

ASSET, PARTITION = dg.AssetKey("trained_model"), "smoke@0|0123456789abcdef"


def observations(instance: dg.DagsterInstance) -> list[dg.AssetObservation]:
    records = instance.fetch_observations(ASSET, limit=10).records
    return [record.event_log_entry.asset_observation for record in records if record.event_log_entry.asset_observation]


def test_new_pictures_are_observations_at_once_and_old_ones_are_not(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.samples.mkdir()
    Image.new("RGB", (32, 16), "red").save(folder.sample(10))
    job = TrainingJob.model_construct(run_dir=tmp_path, snapshot_id="0123456789abcdef")
    with dg.DagsterInstance.ephemeral() as instance:
        with samples_shown(instance, ASSET, PARTITION, job, look_every_s=0.01):
            Image.new("RGB", (32, 16), "green").save(folder.sample(20))
            deadline = time.monotonic() + 20
            while not observations(instance):
                assert time.monotonic() < deadline
                time.sleep(0.01)
        (seen,) = observations(instance)
        assert seen.partition == PARTITION
        assert seen.metadata["step"].value == 20
        shown = str(seen.metadata["sample"].value)
        assert "data:image/jpeg;base64," in shown
        assert without_pictures(shown, set(), {"fedcba9876543210"}) == shown
        assert without_pictures(shown, set(), {"0123456789abcdef"}) == ERASED
