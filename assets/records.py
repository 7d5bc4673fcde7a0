"""What a Dagster instance has on record, as the planner asks for it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import dagster as dg

from pipeline.plain_text import of_plain_markdown

AT_ONCE = 500
"""Events of one question."""
MATERIALIZED = dg.DagsterEventType.ASSET_MATERIALIZATION


@dataclass(frozen=True)
class InstanceRecords:
    """`Records` of the planner out of an instance.

    With `at_once` all partitions of an asset are asked about when the first is, which takes a tenth of the time: for who
    looks at all, while nobody records anything that counts, and only once.
    """

    instance: dg.DagsterInstance
    at_once: bool = False
    _known: dict[str, dict[str, float]] = field(default_factory=dict)

    def made_at_s(self, asset: str, partition: str | None) -> float | None:
        """When the newest materialisation was recorded, Unix seconds; None where there is none."""
        if partition and self.at_once:
            if asset not in self._known:
                self._known[asset] = self._all(dg.AssetKey(asset))
            return self._known[asset].get(partition)
        filters = dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=[partition] if partition else None)
        records = self.instance.fetch_materializations(filters, limit=1).records
        return records[0].timestamp if records else None

    def _all(self, asset: dg.AssetKey) -> dict[str, float]:
        """The same of each partition: a question for each takes as long as one for all."""
        return {partition: record.timestamp for partition, record in self._newest(asset).items()}

    def _newest(self, asset: dg.AssetKey) -> dict[str, dg.EventLogRecord]:
        newest = self.instance.get_latest_storage_id_by_partition(asset, MATERIALIZED)
        found, ids = dict[int, dg.EventLogRecord](), list(newest.values())
        for start in range(0, len(ids), AT_ONCE):
            wanted = dg.AssetRecordsFilter(asset, storage_ids=ids[start : start + AT_ONCE])
            records = self.instance.fetch_materializations(wanted, limit=AT_ONCE).records
            found |= {record.storage_id: record for record in records}
        return {partition: found[number] for partition, number in newest.items() if number in found}

    def runs_of_newest(self, asset: str) -> set[str]:
        """The runs that recorded the newest materialisation of the asset, or of each of its partitions."""
        key = dg.AssetKey(asset)
        last = self.instance.fetch_materializations(dg.AssetRecordsFilter(key), limit=1).records
        return {record.run_id for record in [*last, *self._newest(key).values()]}

    def partitions(self, asset: str) -> set[str]:
        """The partitions that were ever materialised."""
        return set(map(str, self.instance.get_materialized_partitions(dg.AssetKey(asset))))

    def failed_checks(self, asset: str, checks: Sequence[str]) -> dict[str, str] | None:
        """Of these checks those that did not pass when they last ran, with what was found; None where one never ran."""
        found = {name: self._check(asset, name) for name in checks}
        if any(one is None for one in found.values()):
            return None
        return {name: problems for name, problems in found.items() if problems}

    def _check(self, asset: str, name: str) -> str | None:
        """What the check found when it last ran; nothing when it passed; None where it never ran."""
        record = self.instance.get_latest_asset_check_evaluation_record(dg.AssetCheckKey(dg.AssetKey(asset), name))
        event = record.event.dagster_event if record and record.event else None
        if event is None or event.event_type != dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            return None  # planned, and its run ended before
        evaluation = event.asset_check_evaluation_data
        told = evaluation.metadata.get("problems")
        return "" if evaluation.passed else of_plain_markdown(str(told.value)) if told else "it did not pass"
