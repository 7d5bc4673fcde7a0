"""What Dagster has on record, asked one by one and at once."""

import dagster as dg

from assets.building_blocks import check
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


def test_what_a_check_found_is_told_as_it_was_said_and_that_there_is_more() -> None:
    said = "no picture: `none` of <b> & [masks] | a\\b"

    @dg.asset(check_specs=[dg.AssetCheckSpec("all_well", asset="made")])
    def made() -> dg.MaterializeResult:
        return dg.MaterializeResult(check_results=[check("all_well", [said] * 1_060)])

    with dg.instance_for_test() as instance:
        dg.materialize([made], instance=instance)
        found = InstanceRecords(instance).failed_checks("made", ["all_well"]) or {}
    lines = found["all_well"].split("\n")
    assert lines == [f"- {said}"] * 50 + ["- and 1,010 more"]
