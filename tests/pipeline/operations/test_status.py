"""The funnel's counts always add up."""

import json
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from pipeline.config import parse_project
from pipeline.operations.status import status, summary
from pipeline.tables import columns_of, empty
from storage import Home

PROJECT = """
[collect]
from = "2024-01"
to = "2024-02"
[domains.ordinary]
queries = [{ text = "portrait" }]
[domains.shallow]
queries = [{ text = "portrait bokeh" }]
"""


def fill(name: str, rows: Sequence[Mapping[str, object]], **common: object) -> pd.DataFrame:
    """Rows with harmless values for the columns that are not given."""
    texts = dict.fromkeys(columns_of(name), "x")
    numbers = {"query": 0, "date_upload_s": 1, "fetched_at_s": 1, "truncated": False, "pending": False, "row": 2}
    empty = {
        "reason": None,
        "sha256": None,
        "rule": None,
        "measure": None,
        "target_domain": None,
        "duplicate_of": None,
        "split": None,
    }
    sizes = {
        column: 5
        for column in columns_of(name)
        if column.endswith(("_px", "_bytes", "_bits", "_at_s")) or column in ("views", "frames", "last_update_s")
    }
    known = {**texts, **numbers, **empty, **sizes, **common}
    return pd.DataFrame([{**{k: v for k, v in known.items() if k in columns_of(name)}, **row} for row in rows])


def random_world(home: Home, seed: int) -> None:
    """Tables as an interrupted run might leave them: each stage may lag behind the one before."""
    chance = random.Random(seed)
    for domain in ("ordinary", "shallow"):
        for month in ("2024-01", "2024-02"):
            ids = [f"flickr:{domain[0]}{month[-1]}{n}" for n in range(chance.randint(15, 30))]
            listed = [{"photo_id": i, "reason": chance.choice([None, None, None, "excluded_tag", "no_cv"])} for i in ids]
            home.tables.write(
                "photo_listing", fill("photo_listing", listed, domain=domain, month=month), f"{domain}|{month}"
            )
            files = [
                {
                    "photo_id": i,
                    **chance.choice(
                        [
                            {"sha256": f"s{i}"},
                            {"sha256": f"s{i}"},
                            {"reason": "truncated"},
                            {"reason": "timeout", "pending": True},
                        ]
                    ),
                }
                for i in ids
                if chance.random() < 0.9
            ]
            home.tables.write("photo_files", fill("photo_files", files, domain=domain, month=month), f"{domain}|{month}")
    files = home.tables.read_all("photo_files")
    stored = files[files["sha256"].notna()]
    unique = [
        {
            "photo_id": row.photo_id,
            "domain": row.domain,
            "group": row.photo_id,
            "rule": chance.choice([None, None, "same_bytes", "perceptual"]),
        }
        for row in stored.itertuples()
        if chance.random() < 0.9
    ]
    home.tables.write("unique_photos", fill("unique_photos", unique, sha256="s"))
    verdicts: list[dict[str, object]] = [
        {"decision": "keep"},
        {"decision": "move"},
        {"decision": "drop", "reason": "edited"},
        {"decision": "drop", "reason": "no_person"},
    ]
    # Some were decided before a rule dropped them: the curated photos may be older than the unique ones.
    decided = [
        {"photo_id": row["photo_id"], "domain": row["domain"], **chance.choice(verdicts)}
        for row in unique
        if chance.random() < (0.8 if row["rule"] is None else 0.2)
    ]
    home.tables.write("curated_photos", fill("curated_photos", decided, sha256="s"))


@pytest.mark.parametrize("seed", range(5))
def test_listed_downloaded_and_queued_add_up(tmp_path: Path, seed: int) -> None:
    home = Home(tmp_path)
    random_world(home, seed)
    found = json.loads(json.dumps(status(parse_project(PROJECT, tmp_path / "x"), home)))
    parts = {
        "domains",
        "imported_since",
        "not_listed_since",
        "decisions",
        "double_review",
        "history",
        "masks",
        "snapshots",
        "models",
        "reports",
    }
    assert set(found) == parts
    for counts in found["domains"].values():
        assert counts["listed"] == counts["pending"] + sum(counts["rejected"].values()) + counts["downloaded"]
        assert counts["downloaded"] == sum(counts["duplicates"].values()) + counts["queued"]
        assert counts["queued"] == counts["undecided"] + counts["kept"] + counts["moved"] + sum(counts["dropped"].values())
        assert counts["pending"] >= 0
        assert counts["undecided"] >= 0
    decided = [counts["kept"] + counts["moved"] + sum(counts["dropped"].values()) for counts in found["domains"].values()]
    assert all(decided)
    assert "listed" in summary(found)


def test_who_moves_a_photo_where_it_is_keeps_it(tmp_path: Path) -> None:
    home = Home(tmp_path)
    random_world(home, 0)
    before = status(parse_project(PROJECT, tmp_path / "x"), home)["domains"]
    curated = home.tables.read("curated_photos")
    stays = curated["decision"] == "keep"
    curated.loc[stays, "decision"], curated.loc[stays, "target_domain"] = "move", curated.loc[stays, "domain"]
    home.tables.write("curated_photos", curated)
    assert status(parse_project(PROJECT, tmp_path / "x"), home)["domains"] == before


def test_of_a_photo_that_two_months_list_the_later_counts(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for month, reason, sha256 in (("2024-01", "no_cv", None), ("2024-02", None, "s2")):
        key, row = f"ordinary|{month}", {"photo_id": "flickr:1"}
        listed = fill("photo_listing", [{**row, "reason": reason}], domain="ordinary", month=month)
        home.tables.write("photo_listing", listed, key)
        filed = fill(
            "photo_files", [{**row, "sha256": sha256, "reason": None if sha256 else "truncated"}], domain="ordinary"
        )
        home.tables.write("photo_files", filed.assign(month=month), key)
    counts = status(parse_project(PROJECT, tmp_path / "x"), home)["domains"]["ordinary"]
    assert {name: count for name, count in counts.items() if count} == {
        "listed": 1,
        "downloaded": 1,
        "queued": 1,
        "undecided": 1,
    }


def test_an_empty_home_has_a_status(tmp_path: Path) -> None:
    found = status(parse_project(PROJECT, tmp_path / "x"), Home(tmp_path))
    assert found["domains"]["ordinary"]["listed"] == 0
    assert found["snapshots"] == found["models"] == found["reports"] == []


def test_a_domain_that_is_not_listed_any_more_is_named(tmp_path: Path) -> None:
    """Its source may be out of reach, its key refused, or `dev` closed: nobody would see it."""
    now, home = datetime.now(UTC), Home(tmp_path)
    current = f"{now:%Y-%m}"
    project = parse_project(
        """
[collect]
from = "2024-01"
[domains.away]
queries = [{ text = "portrait" }]
[domains.at_work]
queries = [{ text = "portrait" }]
[domains.over]
queries = [{ text = "portrait", to = "2024-01" }]
[domains.never]
queries = [{ text = "portrait" }]
[training]
domain_a = "away"
domain_b = "over"
""",
        tmp_path / "x.toml",
    )
    listed = {f"away|{current}": 11, "away|2024-01": 15, "at_work|2024-01": 9, "at_work|2024-02": 90, "over|2024-01": 90}
    for key, days in listed.items():
        made_s = (now - timedelta(days=days)).timestamp()
        home.tables.write("photo_listing", empty("photo_listing"), key, made_s=made_s)
    found = status(project, home)
    day = f"{now - timedelta(days=11):%Y-%m-%d}"
    assert found["not_listed_since"] == {"away": day}
    assert f"away was listed last on {day}: `bokehflow doctor` says whether its source answers" in summary(found)
    assert "at_work was listed" not in summary(found)


def test_a_model_trained_on_a_forgotten_photo_is_marked() -> None:
    run = {"run": "abc-smoke-0", "recipe": "smoke", "seed": 0, "steps": 6, "failing": None, "forgotten_photos": 2}
    counts = {"ordinary": {"train": 5, "test": 1}}
    snapshot = {"id": "abc", "counts": counts, "forgotten": 3}
    history = {"seen": 0, "absent": 0, "gone": 0, "changed": 0, "licence got stricter": 0, "forgotten": 0}
    found = {"domains": {}, "history": history, "snapshots": [snapshot], "models": [run], "reports": []}
    assert summary(found).splitlines()[-2:] == [
        "snapshot abc: ordinary 5+1 (train+test), 3 forgotten since",
        "model abc-smoke-0: smoke, seed 0, 6 steps; trained on 2 photos forgotten since",
    ]
