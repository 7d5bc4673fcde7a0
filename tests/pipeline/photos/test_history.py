"""The history: what is seen, what changed, who is asked about, what is gone and what comes back."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pipeline.photos.history import (
    Relisted,
    SourceAnswer,
    gone_photos,
    history_counts,
    stricter_photos,
    unasked,
    update_history,
    with_answers,
)
from pipeline.tables import conform, empty

KEY = "ordinary|2024-01"


def listing(at_s: int, *rows: Mapping[str, object], month: str = "2024-01") -> pd.DataFrame:
    """The table `photo_listing`, listed at `at_s`."""
    common = {
        "domain": "ordinary", "month": month, "query": 0, "owner": "o", "title": "t", "tags": "a b", "license": "4",
        "date_upload_s": 1, "media": "photo", "page_url": "", "truncated": False, "fetched_at_s": at_s,
    }  # fmt: skip
    return conform("photo_listing", pd.DataFrame([{**common, **row} for row in rows])) if rows else empty("photo_listing")


def relisted(at_s: int, configuration: str = "c") -> dict[str, Relisted]:
    return {KEY: Relisted(configuration, at_s)}


def step(
    before: pd.DataFrame,
    at_s: int,
    *ids: str,
    configuration: str = "c",
    forgotten: frozenset[str] = frozenset(),
    **row: object,
) -> pd.DataFrame:
    rows = [{"photo_id": photo_id, **row} for photo_id in ids]
    return update_history(before, listing(at_s, *rows), relisted(at_s, configuration), forgotten)


def by_id(history: pd.DataFrame) -> Any:  # noqa: ANN401 - pandas' stubs know no cells
    return history.set_index("photo_id")


def test_first_and_last_seen_and_what_changed() -> None:
    first = step(empty("photo_history"), 100, "flickr:1", "flickr:2")
    again = step(first, 200, "flickr:1", "flickr:2", title="new", license="0")
    row = by_id(again).loc["flickr:1"]
    assert row[["first_seen_s", "last_seen_s", "changed_s", "changed"]].tolist() == [100, 200, 200, "title license"]
    assert row[["license_first", "license_before", "license", "stricter"]].tolist() == ["4", "4", "0", True]
    same = step(again, 300, "flickr:1", title="new", license="0")
    assert by_id(same).loc["flickr:1", ["last_seen_s", "changed_s"]].tolist() == [300, 200]
    assert by_id(same).loc["flickr:2", ["last_seen_s", "absent"]].tolist() == [200, True]


def test_a_licence_that_is_free_again_is_not_stricter() -> None:
    history = step(
        step(step(empty("photo_history"), 1, "flickr:1"), 2, "flickr:1", license="0"), 3, "flickr:1", license="11"
    )
    assert by_id(history).loc["flickr:1", ["license_before", "stricter"]].tolist() == ["0", False]


def test_absent_photos_are_asked_about_once_for_each_listing() -> None:
    history = step(step(empty("photo_history"), 100, "flickr:1", "flickr:2"), 200, "flickr:1")
    assert unasked(history, relisted(200))["photo_id"].tolist() == ["flickr:2"]
    asked = with_answers(history, {"flickr:2": SourceAnswer(250, shown=True, license="4")})
    assert unasked(asked, relisted(200)).empty
    assert by_id(asked).loc["flickr:2", ["absent", "asked_s"]].tolist() == [True, 250]
    assert pd.isna(by_id(asked).loc["flickr:2", "gone_s"])
    later = step(asked, 300, "flickr:1")
    assert unasked(later, relisted(300))["photo_id"].tolist() == ["flickr:2"]
    refused = with_answers(later, {"flickr:2": SourceAnswer(350, shown=False)})
    assert by_id(refused).loc["flickr:2", "gone_s"] == 350
    assert unasked(step(refused, 400, "flickr:1"), relisted(400)).empty, "gone photos are not asked about again"
    back = step(refused, 500, "flickr:1", "flickr:2")
    assert by_id(back).loc["flickr:2", ["absent", "first_seen_s"]].tolist() == [False, 100]
    assert by_id(back).loc["flickr:2", ["gone_s", "asked_s"]].isna().all()


def test_another_query_or_a_month_no_longer_listed_asks_nothing() -> None:
    history = step(step(empty("photo_history"), 100, "flickr:1"), 200, configuration="other")
    assert by_id(history).loc["flickr:1", "absent"]
    assert unasked(history, relisted(200, "other")).empty
    assert unasked(history, {}).empty
    assert len(unasked(history, relisted(300, "c"))) == 1, "listed by the old query again, it is a question"


def test_those_never_asked_about_come_first() -> None:
    history = step(empty("photo_history"), 100, "flickr:1", "flickr:2", "flickr:3")
    history = with_answers(step(history, 200), {"flickr:1": SourceAnswer(201, shown=True)})
    assert unasked(history, relisted(300))["photo_id"].tolist() == ["flickr:2", "flickr:3", "flickr:1"]


def test_an_answer_may_tell_of_a_stricter_licence() -> None:
    history = step(step(empty("photo_history"), 100, "flickr:1"), 200)
    row = by_id(with_answers(history, {"flickr:1": SourceAnswer(201, shown=True, license="6")})).loc["flickr:1"]
    assert row[["license", "license_before", "changed", "changed_s", "stricter"]].tolist() == [
        "6",
        "4",
        "license",
        201,
        True,
    ]


def test_a_forgotten_photo_keeps_its_id_and_no_text() -> None:
    history = step(empty("photo_history"), 100, "flickr:1", "flickr:2", title="her name", tags="hers")
    forgotten = frozenset({"flickr:1", "flickr:9"})
    history = step(history, 200, "flickr:2", forgotten=forgotten, title="her name", tags="hers")
    assert by_id(history).loc["flickr:1", ["forgotten", "title", "tags"]].tolist() == [True, "", ""]
    assert by_id(history).loc["flickr:9", "forgotten"]
    assert not by_id(history).loc["flickr:2", "forgotten"]
    assert unasked(history, relisted(200)).empty
    again = step(history, 300, "flickr:1", "flickr:2", forgotten=forgotten, title="", tags="")
    assert pd.isna(by_id(again).loc["flickr:1", "changed_s"])


def test_a_history_of_an_older_version_is_carried_on() -> None:
    old = step(empty("photo_history"), 100, "flickr:1").drop(
        columns=["partition", "configuration", "changed", "license_first", "stricter", "asked_s", "gone_s"]
    )
    history = step(old, 200, "flickr:1", license="0")
    assert by_id(history).loc["flickr:1", ["first_seen_s", "last_seen_s", "changed"]].tolist() == [100, 200, "license"]


def test_a_photo_of_two_months_or_domains_has_one_row_of_the_newest() -> None:
    both = pd.concat([listing(100, {"photo_id": "flickr:1"}), listing(200, {"photo_id": "flickr:1"}, month="2024-02")])
    listings = {KEY: Relisted("c", 100), "ordinary|2024-02": Relisted("d", 200)}
    history = update_history(empty("photo_history"), both, listings, frozenset())
    assert by_id(history).loc["flickr:1", ["partition", "configuration"]].tolist() == ["ordinary|2024-02", "d"]


def test_an_answer_without_a_licence_changes_none() -> None:
    history = step(step(empty("photo_history"), 100, "flickr:1"), 200)
    row = by_id(with_answers(history, {"flickr:1": SourceAnswer(201, shown=True)})).loc["flickr:1"]
    assert (row["license"], row["asked_s"], pd.isna(row["changed"])) == ("4", 201, True)


def test_what_is_forgotten_is_counted_as_that_alone_and_named_no_more() -> None:
    seen = step(empty("photo_history"), 100, *(f"flickr:{n}" for n in range(1, 7)))
    stricter = step(seen, 200, "flickr:1", "flickr:2", "flickr:3", license="0")
    history = with_answers(stricter, {f"flickr:{n}": SourceAnswer(201, shown=False) for n in (4, 5)})
    assert history_counts(history) == {
        "listed": 3, "absent": 3, "gone": 2, "changed": 3, "stricter_licence": 3, "forgotten": 0,
    }  # fmt: skip
    forgotten = frozenset({"flickr:2", "flickr:4"})
    after = step(history, 300, "flickr:1", "flickr:2", "flickr:3", license="0", forgotten=forgotten)
    assert history_counts(after) == {
        "listed": 2, "absent": 2, "gone": 1, "changed": 2, "stricter_licence": 2, "forgotten": 2,
    }  # fmt: skip
    assert gone_photos(after) == ["flickr:5 was deleted or made private; `bokehflow forget --gone` purges it"]
    assert [line.split()[0] for line in stricter_photos(after)] == ["flickr:1", "flickr:3"]
