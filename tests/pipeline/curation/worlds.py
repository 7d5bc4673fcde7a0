"""Small tables that several tests of this folder make."""

import os
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from pipeline.config import CurationSection
from pipeline.curation.decisions import Decision
from pipeline.curation.queue import QueueFolders, QueueInputs, queue_photos
from pipeline.curation.ranking import Ranking
from pipeline.tables import conform

KNOWN = {f"flickr:{number}" for number in range(40)}
DOMAINS = {"ordinary", "shallow"}
NASTY_TITLES = [
    "=1+1",
    "@SUM(A1)",
    "-2",
    "<script>alert(1)</script>",
    'a "quoted", title',
    "שלום 📷",
    "two\nlines",
    "x" * 10_000,
    "harmless;=1+1",
    "\t=cmd|' /C calc'!A0",
]
FITTING = {
    "person_share": 0.3, "people": 1, "cut_off": 0.1, "subject_sharpness": 0.9, "background_sharpness": 0.5,
    "shallowness": 0.5, "colourfulness": 0.3, "drawn": 0.0, "edited": None, "inappropriate": None, "camera": None,
    "software": None,
}  # fmt: skip
"""Hints about which there is nothing to say, apart from the depth of field."""


def photo_id(number: int) -> str:
    return f"flickr:{number}"


def unique_table(
    numbers: range | list[int],
    rule: Mapping[int, str] | None = None,
    group: Mapping[int, int] | None = None,
    width_px: Mapping[int, int] | None = None,
) -> pd.DataFrame:
    """`unique_photos` of the numbers; the first ten of every twenty are ordinary."""
    rows = [
        {"photo_id": photo_id(n), "domain": "ordinary" if n % 20 < 10 else "shallow", "sha256": f"{n:064x}",
         "width_px": (width_px or {}).get(n, 40), "height_px": 40, "group": photo_id((group or {}).get(n, n)),
         "rule": (rule or {}).get(n), "measure": None, "duplicate_of": None, "split_key": photo_id(n)}
        for n in numbers
    ]  # fmt: skip
    return conform("unique_photos", pd.DataFrame(rows))


def in_both(unique: pd.DataFrame, number: int, preferred: str) -> pd.DataFrame:
    """With the photo found by the other domain's query too, and `preferred` the domain in which it stays."""
    row = unique["photo_id"] == photo_id(number)
    other = unique[row].assign(domain=unique.loc[row, "domain"].map({"ordinary": "shallow", "shallow": "ordinary"}))
    table = pd.concat([unique, other])
    gone = (table["photo_id"] == photo_id(number)) & (table["domain"] != preferred)
    table.loc[gone, ["rule", "duplicate_of"]] = ["both_domains", photo_id(number)]
    return conform("unique_photos", table)


def listing(count: int = 40) -> pd.DataFrame:
    return pd.DataFrame({
        "photo_id": [photo_id(n) for n in range(count)], "page_url": "https://www.flickr.com/photos/x",
        "title": [NASTY_TITLES[n % len(NASTY_TITLES)] for n in range(count)],
        "owner": "1@N00", "owner_name": "Ann", "license": "4", "tags": "portrait",
    })  # fmt: skip


def hints_of(numbers: range | list[int], **values: object) -> pd.DataFrame:
    """`photo_hints`; `values` differ from `FITTING` for all of them."""
    rows = [{"sha256": f"{n:064x}", "measured_by": "test", **FITTING, **values} for n in numbers]
    return conform("photo_hints", pd.DataFrame(rows))


def fingerprints_of(numbers: range | list[int]) -> pd.DataFrame:
    rows = [{"sha256": f"{n:064x}", "phash": f"{n * 2654435761 % 2**64:016x}", "size_bytes": 1000 + n} for n in numbers]
    return pd.DataFrame(rows, columns=["sha256", "phash", "size_bytes"])


def queue(
    root: Path,
    unique: pd.DataFrame,
    queued: pd.DataFrame,
    decided: set[str] | None = None,
    batch_size: int = 4,
    hints: pd.DataFrame | None = None,
    forgotten: set[str] | None = None,
    ranking: Ranking | None = None,
) -> pd.DataFrame:
    table = queue_photos(
        QueueInputs(unique, listing(), hints_of(range(40)) if hints is None else hints, fingerprints_of(range(40))),
        queued=queued,
        decided_groups=decided or set(),
        forgotten=forgotten or set(),
        folders=QueueFolders(root / "queue", root / "thumbnails"),
        settings=CurationSection(batch_size=batch_size),
        ranking=ranking,
    )
    return conform("review_queue", table)


def decision(number: int, verdict: str, when: int = 1, **more: object) -> Decision:
    facts = {"reason": "edited" if verdict == "drop" else None, "move_to": None, "curator": "Ann", "note": None, **more}
    return Decision(photo_id=photo_id(number), decision=verdict, file="a.csv", row=2, when=(when, "a.csv", 2), **facts)


def reviewed(root: Path, text: str | bytes, name: str = "a.csv", when_s: int = 1) -> Path:
    """A reviewed CSV in the folder, last changed so many seconds after 1970."""
    root.mkdir(parents=True, exist_ok=True)
    path = root / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    os.utime(path, (when_s, when_s))
    return path
