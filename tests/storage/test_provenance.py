"""What a table says of its making: it comes back from the footer, and what differs is told in words."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.tables import empty
from storage.provenance import Provenance, differences
from storage.tables import FORMER_MARK, PROVENANCE_MARK, TableStore

NAMES = st.text("abc.", min_size=1, max_size=4)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)
VERSIONS = st.dictionaries(NAMES, st.text("xyz", min_size=1, max_size=3), max_size=3)
PROVENANCES = st.builds(
    Provenance,
    NAMES,
    st.dictionaries(NAMES, VALUES, max_size=3),
    st.dictionaries(NAMES, VERSIONS, max_size=2),
    VERSIONS,
    VERSIONS,
)


@given(PROVENANCES)
def test_it_comes_back_from_its_json(provenance: Provenance) -> None:
    assert Provenance.from_json(provenance.to_json()) == provenance


@pytest.mark.parametrize(
    "text",
    [
        "[]", "{}", "null", "[" * 100_000, '{"code_version": 1}', '{"code_version": "1", "settings": 5}',
        '{"code_version": "1", "tables": {"a": "b"}}', '{"code_version": "1", "tables": {"a": {"b": null}}}',
        '{"code_version": "1", "outside": {"a": 1}}', '{"code_version": "1", "settings": {"a": NaN}}',
    ],
)  # fmt: skip
def test_anything_else_is_no_provenance(text: str) -> None:
    """The footer of a table may be a stranger's; it is then as good as none, and the table is made anew."""
    with pytest.raises(ValueError, match=r"provenance|nested|NaN"):
        Provenance.from_json(text)


@given(PROVENANCES, PROVENANCES)
def test_there_is_a_reason_exactly_where_something_differs(one: Provenance, other: Provenance) -> None:
    assert differences(one, one, {}) == []
    required = {name: value for name, value in one.settings.items() if name in other.settings}
    same = (one.code_version, required, _filled(one), one.outside) == (
        other.code_version, dict(other.settings), _filled(other), other.outside
    )  # fmt: skip
    assert bool(differences(one, other, {})) != same


def _filled(provenance: Provenance) -> dict[str, object]:
    return {name: versions for name, versions in provenance.tables.items() if versions}


def test_reasons_are_words() -> None:
    stored = Provenance(
        "1",
        {"dedupe.radius_bits": 6, "x.rules": ["a" * 70]},
        {"photo_files": {"a|2024-01": "1", "a|2024-02": "1"}, "one": {"": "1"}},
        {"segmenter": "d" * 40, "day": "2024-01-01"},
    )  # fmt: skip
    required = Provenance(
        "2",
        {"dedupe.radius_bits": 8, "x.rules": []},
        {"photo_files": {"a|2024-01": "2", "b|2024-01": "1"}, "one": {"": "2"}},
        {"segmenter": "e" * 40, "day": "2024-01-02"},
    )  # fmt: skip
    assert differences(stored, required, {}) == [
        "its code changed, version 1 → 2",
        "`dedupe.radius_bits` 6 → 8",
        "`x.rules` changed",
        "`one` changed",
        "`photo_files` b|2024-01 is new",
        "`photo_files` a|2024-02 is gone",
        "`photo_files` a|2024-01 changed",
        "the day changed: 2024-01-01 → 2024-01-02",
        "the segmenter changed",
    ]


def test_a_setting_that_came_later_had_its_default() -> None:
    stored, required = Provenance("1", {"a.old": 1}), Provenance("1", {"a.old": 1, "a.new": 3})
    assert differences(stored, required, {"a.new": 3}) == []
    assert differences(stored, required, {"a.new": 2}) == ["`a.new` 2 → 3"]
    assert differences(stored, required, {}) == ["`a.new` is new"]


@pytest.mark.parametrize("told", ["[]", "{", "{}", '"text"'])
def test_a_footer_that_cannot_be_read_is_none(tmp_path: Path, told: str) -> None:
    path = TableStore(tmp_path).write("tombstones", empty("tombstones"), provenance=Provenance("1")).path
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), PROVENANCE_MARK: told.encode()}), path)
    info = TableStore(tmp_path).info("tombstones")
    assert info is not None
    assert info.provenance is None


def test_fields_of_a_later_version_are_passed_over() -> None:
    told = {**json.loads(Provenance("1").to_json()), "later": 1}
    assert Provenance.from_json(json.dumps(told)) == Provenance("1")


def test_a_table_of_version_0_1_keeps_its_digest_when_it_is_corrected(tmp_path: Path) -> None:
    tables = TableStore(tmp_path)
    path = tables.write("tombstones", empty("tombstones"), made_s=5.0).path
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), FORMER_MARK: b"digest"}), path)
    info = tables.correct("tombstones", empty("tombstones"))
    assert (info.former_version, info.provenance, info.made_s) == ("digest", None, 5.0)
    assert tables.info("tombstones") == info
