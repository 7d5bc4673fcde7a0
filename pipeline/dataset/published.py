"""A snapshot made ready for a hub of datasets: the pictures that may be passed on, the bundle for all others, a card.

What stands in a licence decides, and All Rights Reserved is never published, whatever is asked for.
"""

import io
import shutil
import tarfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import yaml

from pipeline.atomic import naming
from pipeline.counted import counted
from pipeline.dataset.datasheet import is_of_subjects
from pipeline.dataset.export import DATASHEET, Exported, ExportPlan, export_snapshot, make_hole
from pipeline.dataset.layout import ATTRIBUTION, CANONICAL, PICTURES, SUMS, read_facts, sums_text
from pipeline.dataset.restore import Bundled, bundle_files
from pipeline.dataset.snapshot import PICTURE_COLUMNS, open_snapshot, read_snapshot, replace_parquet
from pipeline.errors import DatasetError
from pipeline.file_names import child
from pipeline.licenses import KNOWN, license_name
from pipeline.parquet_files import parquet_path
from pipeline.picture_layers import SOURCES
from pipeline.plain_files import file_sha256, open_plain, plain_path
from pipeline.plain_text import plain_markdown

CARD, BUNDLE = "README.md", "bundle.tar"
RESERVED = "0"
"""The licence id of All Rights Reserved."""
_HUB_KNOWS = {
    "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0",
    "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0",
    "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0",
}  # fmt: skip
"""Names of Creative Commons' licences that the Hub takes in a card; it refuses a card with any other."""


@dataclass(frozen=True)
class Ready:
    """A folder to publish: its files with their sizes in bytes, by name, what was exported, and the card.

    Of a rehearsal the folder holds no pictures, and the sizes of the files in `estimated` are.
    """

    folder: Path
    files: dict[str, int]
    estimated: Collection[str]
    exported: Exported
    card: str


def every_license(snapshots: Path, identifier: str) -> list[str | None]:
    """The licences of the snapshot's photos, None for those of which it is unknown, without All Rights Reserved."""
    found = {value if isinstance(value, str) else None for value in read_snapshot(snapshots, identifier)["license"].unique()}
    return sorted(found - {RESERVED}, key=lambda value: value or "")


def make_ready(
    snapshots: Path, identifier: str, shards: Path, maps: Mapping[str, Path], target: Path, plan: ExportPlan
) -> Ready:
    """Write into the new folder `target` what is to be published of the snapshot.

    A rehearsal (`plan`) writes neither pictures nor masks and finds all that is wrong but for damaged ones. `maps` as
    `bundle_files` takes its folders; `plan` must name licences, All Rights Reserved not among them. Raises
    `DatasetError` as `export_snapshot` and `bundle_files` do, and where an All Rights Reserved photo would be in it.
    """
    if plan.licenses is None or RESERVED in plan.licenses:
        raise DatasetError("photos with all rights reserved are not published; name the licences to publish")
    frozen = child(snapshots, identifier)
    manifest = open_snapshot(snapshots, identifier, shards)
    bundled = bundle_files(frozen, manifest, maps)
    exported = export_snapshot(snapshots, identifier, shards, target, plan, manifest=manifest)
    shown = pd.read_csv(plain_path(target / ATTRIBUTION), dtype=str, keep_default_na=False)
    if reserved := shown.loc[shown["license"] == RESERVED, "photo_id"].tolist():
        raise DatasetError(
            f"{reserved[0]} is All Rights Reserved and would be published; this is a mistake, please report it"
        )
    card = _card(read_facts(snapshots, identifier), shown, exported)
    with naming(target):
        shutil.copyfile(plain_path(Path(bundled[CANONICAL].path)), target / CANONICAL)
        nameless = _without_curators(Path(bundled[PICTURES].path), child(target, PICTURES))
        bundled[PICTURES] = Bundled(str(nameless), nameless.stat().st_size)
        if plan.is_rehearsal:
            make_hole(child(target, BUNDLE), _packed_bytes(bundled))
        else:
            _pack(bundled, child(target, BUNDLE))
        nameless.unlink()
        (target / CARD).write_text(card, encoding="utf-8")
    files = {
        path.relative_to(target).as_posix(): path.stat().st_size for path in sorted(target.rglob("*")) if path.is_file()
    }
    return Ready(target, files, exported.estimated, exported, card)


def _without_curators(path: Path, target: Path) -> Path:
    """Where pictures lie and what they were made with, without who decided about them, which is nobody's affair."""
    frame = pq.read_table(parquet_path(path)).to_pandas()
    columns = [name for name in PICTURE_COLUMNS if name in frame]
    replace_parquet(target, frame.assign(curator=None, decision_file=None, decision_row=None), columns, SOURCES)
    return target


def _pack(files: Mapping[str, Bundled], target: Path) -> None:
    """One file instead of thousands of masks, the same bytes whenever it is written."""
    sums = sums_text({name: file_sha256(Path(bundled.path)) for name, bundled in files.items()}).encode()
    with target.open("xb") as file, tarfile.TarFile(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted([*files, SUMS], key=lambda name: name.split("/")):
            member = tarfile.TarInfo(f"bundle/{name}")
            member.mode, member.mtime = 0o644, 0
            with io.BytesIO(sums) if name == SUMS else open_plain(Path(files[name].path)) as data:
                member.size = data.seek(0, io.SEEK_END)
                data.seek(0)
                tar.addfile(member, data)


def _packed_bytes(files: Mapping[str, Bundled]) -> int:
    """How large `_pack` of them is: each with a header of a block, in whole blocks, and two blocks at the end."""
    sizes = [bundled.size_bytes for bundled in files.values()]
    sizes.append(len(sums_text(dict.fromkeys(files, "0" * 64)).encode()))
    blocks = sum(1 + -(-size // tarfile.BLOCKSIZE) for size in sizes) + 2
    return -(-blocks * tarfile.BLOCKSIZE // tarfile.RECORDSIZE) * tarfile.RECORDSIZE


def _card(facts: Mapping[str, Any], shown: pd.DataFrame, exported: Exported) -> str:
    """The dataset card: what a hub reads (YAML), and what a person must know."""
    project = plain_markdown(str(facts.get("made_from", {}).get("project", "portraits")))
    of_subjects = is_of_subjects(facts.get("made_from", {}))
    what = "Portraits with the alpha of their subject" if of_subjects else "Collections of pictures"
    head: dict[str, Any] = {
        "pretty_name": f"{project} {facts['id']}",
        "license": sorted({_hub_license(value) for value in shown["license"].unique()}),
        "task_categories": ["image-to-image", "image-segmentation"] if of_subjects else ["image-to-image"],
        "tags": ["portraits", "depth-of-field", "bokeh", "unpaired"] if of_subjects else ["unpaired"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": name, "path": f"data/{name}-*.parquet"} for name in exported.counts],
            }
        ],
    }
    counts = shown["license_name"].value_counts()
    licences = "\n".join(f"| {plain_markdown(str(name))} | {count:,} |" for name, count in counts.items())
    left = "".join(f"\n- Not in it: {counted(count, 'picture')}, {reason}." for reason, count in exported.left_out.items())
    return f"""---
{yaml.safe_dump(head, sort_keys=False, allow_unicode=True).strip()}
---

# {project}: snapshot {facts["id"]}

{what}, frozen by bokehflow. [{DATASHEET}]({DATASHEET}) says how they were collected and
what is known of their biases; [{ATTRIBUTION}]({ATTRIBUTION}) names title, owner, licence and page of each photo. Whoever
passes pictures on passes that on too.

- Pictures here: {", ".join(f"{name} {count:,}" for name, count in exported.counts.items())}.{left}
- `{CANONICAL}` is the whole snapshot's manifest: the SHA-256 of the file is `{facts["sha256"]}`, and its first 16 digits are
  the snapshot's id. `pixels_sha256` there is the SHA-256 of a picture's RGB bytes, row by row, `alpha_sha256` its alpha's.
- `{BUNDLE}` has ids, titles, owners, digests and masks of all pictures, and no photo: `tar xf {BUNDLE}`, then, where
  `bokehflow init` has written a project file, `bokehflow snapshot restore bundle` fetches every photo from where it came and
  checks its digest.

| licence | photos |
|---|---|
{licences}
"""


def _hub_license(id: str) -> str:
    """A licence as the Hub calls it: `cc` for a version of Creative Commons' without a name there, `other` for the rest.

    >>> _hub_license("12"), _hub_license("5"), _hub_license("9"), _hub_license("7")
    ('cc-by-sa-4.0', 'cc', 'cc0-1.0', 'other')
    """
    name = license_name(id).lower().replace(" ", "-") if id in KNOWN else ""
    return name if name in _HUB_KNOWS else "cc" if name.startswith("cc-") else "other"
