"""What Dagster has on record, asked one by one and at once."""

import dagster as dg

from assets.records import InstanceRecords


def test_all_partitions_at_once_are_told_as_one_by_one() -> None:
    with dg.instance_for_test() as instance:
        for key in ("ordinary|2021-01", "shallow|2021-01", "ordinary|2021-01"):
            instance.report_runless_asset_event(dg.AssetMaterialization("photo_files", partition=key))
        at_once, one_by_one = InstanceRecords(instance, at_once=True), InstanceRecords(instance)
        for key in ("ordinary|2021-01", "shallow|2021-01", "ordinary|2021-02"):
            assert at_once.made_at_s("photo_files", key) == one_by_one.made_at_s("photo_files", key)
        assert at_once.made_at_s("photo_files", "ordinary|2021-01") is not None
        assert at_once.made_at_s("photo_files", "ordinary|2021-02") is None
        assert at_once.made_at_s("photo_listing", "ordinary|2021-01") is None
