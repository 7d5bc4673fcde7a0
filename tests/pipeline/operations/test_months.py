"""Which months a project collects."""

from datetime import UTC, datetime

import pytest

from assets.partitions import domain_months
from pipeline.config import Project
from pipeline.operations.months import configured_months, listed_keys, month_after

NOW = datetime(2024, 2, 29, 23, 59, tzinfo=UTC)


def project(**collect: str) -> Project:
    """Two domains, the first of which asks for one month only."""
    few, all_of_them = {"text": "a", "from": "2024-01", "to": "2024-01"}, {"text": "b"}
    domains = {"shallow": {"title": "", "queries": [few]}, "ordinary": {"title": "", "queries": [all_of_them]}}
    return Project.model_validate({"project": {"name": "months"}, "domains": domains, "collect": collect})


@pytest.mark.parametrize(
    ("collect", "months"),
    [
        ({"from": "2023-12"}, ["2023-12", "2024-01", "2024-02"]),
        ({"from": "2023-12", "to": "2024-01"}, ["2023-12", "2024-01"]),
        ({"from": "2024-01", "to": "2030-01"}, ["2024-01", "2024-02"]),
        ({"from": "2024-01", "to": "2024-01"}, ["2024-01"]),
    ],
)
def test_months_end_with_the_last_one_or_today(collect: dict[str, str], months: list[str]) -> None:
    assert configured_months(project(**collect), NOW) == months


def test_nothing_of_the_future_is_collected() -> None:
    few = [{"text": "a"}]
    later = Project.model_validate(
        {
            "project": {"name": "months"},
            "domains": {"shallow": {"title": "", "queries": few}, "ordinary": {"title": "", "queries": few}},
            "collect": {"from": "2024-03"},
        }
    )
    assert configured_months(later, NOW) == []


def test_only_months_that_a_query_covers_are_listed() -> None:
    keys = listed_keys(project(**{"from": "2023-12", "to": "2024-02"}))
    assert keys == ["shallow|2024-01", "ordinary|2023-12", "ordinary|2024-01", "ordinary|2024-02"]


def test_dagster_divides_into_the_same_months() -> None:
    mine = project(**{"from": "2022-11", "to": "2024-02"})
    keys = [f"{domain}|{month}" for domain in mine.domains for month in configured_months(mine)]
    assert [str(key) for key in domain_months(mine).get_partition_keys()] == keys


def test_december_is_followed_by_january() -> None:
    assert [month_after("2023-12"), month_after("2024-01")] == ["2024-01", "2024-02"]
