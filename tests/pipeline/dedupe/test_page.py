"""The pages of `bokehflow duplicates`."""

import re
from collections.abc import Set
from pathlib import Path

import pandas as pd

from pipeline.dedupe.page import PHOTOS_PER_PAGE, PageInputs, write_pages
from pipeline.tables import among, conform
from tests.pipeline.dedupe.worlds import scene


def unique_table(groups: dict[str, list[tuple[str, float | None]]]) -> pd.DataFrame:
    """Photo kept → rule and measure of each that went for it."""
    rows = []
    for kept, dropped in groups.items():
        base = {"domain": "ordinary", "sha256": "ab", "width_px": 10, "height_px": 20, "group": kept, "split_key": kept}
        rows.append({**base, "photo_id": kept, "rule": None, "measure": None, "distance_bits": None, "duplicate_of": None})
        for number, (rule, measure) in enumerate(dropped):
            rows.append(
                {
                    **base,
                    "photo_id": f"{kept}-{number}",
                    "rule": rule,
                    "measure": measure,
                    "distance_bits": 3,
                    "duplicate_of": kept,
                }
            )
    return conform("unique_photos", pd.DataFrame(rows))


def credits_of(
    unique: pd.DataFrame, title: str = "A title", link: str = "https://www.flickr.com/photos/x/1"
) -> pd.DataFrame:
    owner = {"title": title, "owner": "1@N00", "owner_name": "Some One", "page_url": link}
    return pd.DataFrame([{"photo_id": photo_id, **owner} for photo_id in unique["photo_id"]])


def pages(folder: Path, unique: pd.DataFrame, max_pages: int = 20, **credit: str) -> dict[str, str]:
    inputs = PageInputs("demo", unique, lambda asked: credits_of(unique, **credit), {0: 3, 2: 1}, {8: 5}, 6, max_pages)
    index = write_pages(folder, inputs, lambda digest: scene(1, 40, 30))
    assert index == folder / "index.html"
    return {path.name: path.read_text() for path in folder.glob("*.html")}


def test_groups_stand_side_by_side_with_rule_measure_owner_and_link(tmp_path: Path) -> None:
    unique = unique_table(
        {"flickr:1": [("perceptual", 0.91), ("mirrored", 0.99)], "flickr:2": [("same_bytes", 1.0)], "flickr:3": []}
    )
    written = pages(tmp_path, unique)
    assert set(written) == {"index.html", "perceptual-1.html", "mirrored-1.html", "same_bytes-1.html"}
    index = written["index.html"]
    assert index.count("<figure") == 5
    assert index.count("Some One") == index.count('href="https://www.flickr.com/photos/x/1"') == 5
    assert "0.910" in index
    assert "3 bits" in index
    assert "flickr:3" not in index
    assert re.findall(r'<figure class="(\w+)"', written["mirrored-1.html"]) == ["kept", "dropped"]
    assert "How near" in index
    assert "print-color-adjust: exact" in index  # the bars are grounds, which browsers do not print otherwise
    assert "How near" not in written["mirrored-1.html"]


def test_the_least_sure_group_comes_first(tmp_path: Path) -> None:
    unique = unique_table(
        {"flickr:1": [("perceptual", 0.99)], "flickr:2": [("perceptual", 0.92)], "flickr:3": [("same_photo", None)]}
    )
    index = pages(tmp_path, unique)["index.html"]
    places = [index.index(f"Group of flickr:{number}") for number in (2, 1, 3)]
    assert places == sorted(places)


def test_no_page_shows_more_photos_than_flickr_allows(tmp_path: Path) -> None:
    unique = unique_table(
        {f"flickr:{n:03}": [("perceptual", 0.95)] * (1 + n % 7) for n in range(40)} | {"huge": [("cropped", 0.9)] * 500}
    )
    written = pages(tmp_path, unique, max_pages=3)
    assert all(page.count("<figure") <= PHOTOS_PER_PAGE for page in written.values())
    assert "and 489 more" in written["index.html"]
    assert "surer groups are not shown" in written["perceptual-3.html"]
    assert "perceptual-4.html" not in written


def test_of_the_photos_that_are_shown_alone_more_is_asked(tmp_path: Path) -> None:
    measures = {n: (37 * n % 100) / 100 for n in range(100)}
    unique = unique_table({f"flickr:{n:02}": [("perceptual", measures[n])] for n in range(100)} | {"flickr:alone": []})
    asked: list[set[str]] = []

    def credits(photo_ids: Set[str]) -> pd.DataFrame:
        asked.append(set(photo_ids))
        return credits_of(unique[among(unique["photo_id"], photo_ids)])

    write_pages(tmp_path, PageInputs("demo", unique, credits, {}, {}, 6, 2), lambda digest: scene(1, 40, 30))
    least_sure = sorted(measures, key=lambda n: measures[n])[:30]
    assert asked == [{f"flickr:{n:02}{end}" for n in least_sure for end in ("", "-0")}]
    assert "70 surer groups are not shown" in (tmp_path / "all-2.html").read_text()
    assert "100 groups" in (tmp_path / "perceptual-1.html").read_text()


def test_old_pages_go_and_an_empty_table_has_a_page(tmp_path: Path) -> None:
    pages(tmp_path, unique_table({"flickr:1": [("cropped", 0.95)]}))
    written = pages(tmp_path, unique_table({"flickr:1": []}))
    assert set(written) == {"index.html"}
    assert "No photo has a duplicate" in written["index.html"]


def test_what_owners_wrote_stays_text(tmp_path: Path) -> None:
    unique = unique_table({"flickr:1": [("perceptual", 0.95)]})
    index = pages(tmp_path, unique, title="<script>alert(1)</script>", link="javascript:alert(1)")["index.html"]
    assert "<script" not in index
    assert "&lt;script&gt;" in index
    assert "javascript:" not in index


def test_a_photo_of_both_domains_is_shown_once_for_each(tmp_path: Path) -> None:
    unique = unique_table({"flickr:1": [("both_domains", 0.97)]})
    unique.loc[unique["photo_id"] == "flickr:1", "rule"] = "both_domains"
    unique.loc[unique["photo_id"] != "flickr:1", "domain"] = "shallow"
    index = pages(tmp_path, unique)["both_domains-1.html"]
    assert index.count("<figure") == 2
    assert "shallow" in index
    assert "ordinary" in index


def test_a_photo_that_both_queries_found_is_led_by_the_row_that_stays(tmp_path: Path) -> None:
    unique = unique_table({"flickr:1": [("both_domains", 1.0)]})
    unique.loc[unique["rule"].notna(), ["photo_id", "domain"]] = ["flickr:1", "another"]
    index = pages(tmp_path, unique)["index.html"]
    assert re.findall(r'<figure class="(\w+)"', index) == ["kept", "dropped"]


def test_the_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    written = pages(tmp_path, unique_table({"flickr:1": [("perceptual", 0.95)]}))
    for page in written.values():
        assert not re.findall(r'(?:src|@import|url\()\s*=?\s*"?(?!data:)https?:', page)
        assert "default-src 'none'" in page
