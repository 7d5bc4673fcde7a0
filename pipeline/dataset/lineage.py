"""Lineage: from a photo to the decisions, snapshots, models and evaluations it touched, and from a model back.

Read with pyarrow alone and only the columns and rows that are asked for: at 100,000 photos a question takes less time
than it takes to import pandas. Frozen snapshots answer from their own files, whatever has become of the tables since.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.counted import counted
from pipeline.dataset.layout import MANIFEST, PICTURES, facts_of, list_snapshots, read_forgotten
from pipeline.errors import DatasetError
from pipeline.file_names import child
from pipeline.licenses import license_name, strictest
from pipeline.parquet_files import parquet_footer, parquet_path, rows_with
from pipeline.picture_layers import BY_NAME, LAYERS, OPTIONAL
from pipeline.plain_text import plain

TableFiles = Callable[[str], Sequence[Path]]
"""From a table's name to its Parquet files."""

STORY: dict[str, tuple[str, ...]] = {
    "photo_listing": (
        "domain", "month", "query", "owner", "owner_name", "title", "license", "page_url", "date_upload_s", "reason",
    ),
    "photo_files": ("domain", "month", "sha256", "width_px", "height_px", "reason", "detail"),
    "imported_photos": (
        "domain", "owner", "owner_name", "title", "license", "page_url", "date_upload_s", "sha256", "width_px", "height_px",
        "refused_by", "reason", "detail",
    ),
    "photo_history": ("first_seen_s", "last_seen_s", "absent", "forgotten", "license_before"),
    "unique_photos": ("domain", "group", "rule", "measure", "duplicate_of", "split_key"),
    "review_queue": ("domain", "batch"),
    "curated_photos": ("domain", "decision", "target_domain", "reason", "curator", "note", "file", "row"),
    "person_masks": ("domain", "mask", "coverage", "reason", "drawn_by"),
}  # fmt: skip
"""Tables that say what became of a photo, in the order of the pipeline, and the columns worth telling."""

Row = dict[str, Any]
Columns = dict[str, list[Any]]
Story = dict[str, list[Row]]
"""Rows of one photo by table."""
MANY_OWNERS = 8
FEW = 8
"""Of more photos rows are found by Arrow's functions, for which it imports pandas."""
TELLING = ("subject_ssim", "gap", "class_iou", "aligned_abs_rel", "abs_rel", "psnr_db")
"""Scores by which a model is judged first, of each kind of study; a box has room for `SHOWN_SCORES` of them."""
SHOWN_SCORES = 2


@dataclass(frozen=True)
class RunFacts:
    """A finished training run. `uses` names its domains: that which is translated, and that to which."""

    run: str
    recipe: str
    seed: int
    model: str
    snapshot: str
    steps: int
    uses: tuple[str, str]
    card: Mapping[str, Any]
    scores: Mapping[str, float] = field(default_factory=dict)
    """Means of its evaluation by metric; empty while it has none."""
    report: str | None = None
    learns_from: str | None = None
    """The layer without which it saw no picture, of the first of its domains alone; None: it saw all pictures of both."""

    @property
    def key(self) -> str:
        """`recipe@seed`."""
        return f"{self.recipe}@{self.seed}"

    @property
    def trained_domains(self) -> tuple[str, ...]:
        """Those of its domains that it learns from."""
        return self.uses if self.learns_from is None else self.uses[:1]

    @property
    def digest_learnt_from(self) -> str | None:
        """The column that says whether a picture has the layer that it learns from."""
        return None if self.learns_from is None else BY_NAME[self.learns_from].digest


@dataclass(frozen=True)
class Node:
    """A box of the graph. `column` counts stages from the left."""

    id: str
    kind: str
    label: str
    detail: str
    column: int


@dataclass
class Lineage:
    """An answer: what is asked about, facts for people and programs, and the graph."""

    subject: str
    facts: dict[str, Any]
    nodes: list[Node] = field(default_factory=list)
    edges: list[tuple[str, str]] = field(default_factory=list)

    def add(self, node: Node, *sources: str) -> str:
        """Add a node once, with an edge from each source; returns its id."""
        if node.id not in {known.id for known in self.nodes}:
            self.nodes.append(node)
        self.edges += [(source, node.id) for source in sources if (source, node.id) not in self.edges]
        return node.id

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        graph = {"nodes": [asdict(node) for node in self.nodes], "edges": [list(edge) for edge in self.edges]}
        return {"subject": self.subject, **self.facts, "graph": graph}

    def to_text(self) -> str:
        """For people."""
        return "\n".join([self.subject, *_lines(self.facts, "  ")])


def _lines(value: Mapping[str, Any], indent: str) -> Iterable[str]:
    for name, item in value.items():
        if isinstance(item, Mapping):
            yield f"{indent}{name}" + ("" if item else ": none")
            yield from _lines(item, indent + "  ")
        elif isinstance(item, list):
            yield f"{indent}{name}" + ("" if item else ": none")
            for entry in item:
                yield f"{indent}  {plain(entry if isinstance(entry, str) else _pairs(entry))}"
        elif item is not None:
            yield f"{indent}{plain(name)}: {plain(str(item))}"


def _pairs(entry: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}".strip() for name, value in entry.items() if value is not None)


# --- what the tables say ----------------------------------------------------------------------------------------------


def stories(files_of: TableFiles, photo_ids: Iterable[str]) -> dict[str, Story]:
    """What every table says of these photos."""
    found: dict[str, Story] = {photo_id: {} for photo_id in photo_ids}
    for name, columns in STORY.items():
        for row in select(files_of(name), found.keys(), columns):
            found[row.pop("photo_id")].setdefault(name, []).append(row)
    for story in found.values():
        _tell_imports(story)
    return found


def _tell_imports(story: Story) -> None:
    """Add to the photo tables what the one table of imported photos says; that of version 0.1 said less, and they more."""
    for row in (row for row in story.get("imported_photos", []) if "refused_by" in row):
        listed = row["refused_by"] != "photo_listing"
        told = {**row, "month": "imported", "query": 0}
        story.setdefault("photo_listing", []).append({**told, "reason": None if listed else row["reason"]})
        if listed:
            sha256 = None if row["reason"] else row["sha256"]
            story.setdefault("photo_files", []).append({**told, "sha256": sha256})


def select(files: Sequence[Path], wanted: Set[str], columns: Sequence[str]) -> list[Row]:
    """Rows of Parquet files whose `photo_id` is among `wanted`, with those of the columns that there are."""

    def one(path: Path) -> list[Row]:
        if len(wanted) > FEW:
            there = set(parquet_footer(path).schema.names)
            names = [name for name in ("photo_id", *columns) if name in there]
            return rows_with(path, "photo_id", wanted, names).to_pylist()
        file = pq.ParquetFile(parquet_path(path))
        at = [position for position, key in enumerate(_column(file, "photo_id")) if key in wanted]
        if not at:
            return []
        names = [name for name in ("photo_id", *columns) if name in file.schema_arrow.names]
        table = file.read(names)
        return [row for position in at for row in table.slice(position, 1).to_pylist()]

    with ThreadPoolExecutor(4) as pool:
        return [row for rows in pool.map(one, files) for row in rows]


def _column(file: pq.ParquetFile, name: str) -> list[Any]:
    return file.read([name]).column(0).to_pylist()


def _column_names(path: Path) -> set[str]:
    return set(pq.ParquetFile(parquet_path(path)).schema_arrow.names)


def read_columns(path: Path, columns: Sequence[str]) -> Columns:
    """Columns of a Parquet file as lists.

    Neither by `read_table` nor through `pyarrow.compute`: both import pandas, which takes longer than the answer.
    """
    table = pq.ParquetFile(parquet_path(path)).read(list(columns))
    return {name: table.column(name).to_pylist() for name in columns}


def why_kept(story: Story) -> str:
    """By which decision a photo is in the dataset, in words; empty where no table knows."""
    for row in story.get("curated_photos", []):
        if row["target_domain"] is not None:
            return _decision(row)
    return ""


def why_missing(story: Story) -> str:
    """Why a photo is not in the dataset, by the first stage that stopped it in every domain; empty where no table knows."""
    history = story.get("photo_history", [])
    if any(row.get("forgotten") for row in history):
        return "forgotten on request"
    for name, tell in _STOPS:
        rows = story.get(name, [])
        reasons = [reason for row in rows if (reason := tell(row))]
        if rows and len(reasons) == len(rows):
            return reasons[0]
    if any(row.get("absent") for row in history) or (history and "photo_listing" not in story):
        return "gone from Flickr: the newest listing does not have it"
    if "unique_photos" in story and "curated_photos" not in story:
        return "nobody has decided about it, or the decision was taken back"
    return ""


def _decision(row: Row) -> str:
    where = f"{row['file']}, row {row['row']}" + (f", {row['curator']}" if row.get("curator") else "")
    target = f" to {row['target_domain']}" if row["decision"] == "move" else ""
    reason = f" ({row['reason']})" if row.get("reason") else ""
    note = f": {row['note']}" if row.get("note") else ""
    return f"{row['decision']}{target}{reason}{note}; decided in {where}"


def _duplicate(row: Row) -> str:
    return f"duplicate by the rule {row['rule']}" + (f" of {row['duplicate_of']}" if row["duplicate_of"] else "")


_STOPS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("photo_listing", lambda row: f"rejected in the listing: {row['reason']}" if row["reason"] else ""),
    ("photo_files", lambda row: f"no file: {row['reason']}" if row["sha256"] is None else ""),
    ("unique_photos", lambda row: _duplicate(row) if row["rule"] else ""),
    ("curated_photos", lambda row: _decision(row) if row["target_domain"] is None else ""),
    ("person_masks", lambda row: f"no mask: {row['reason']}" if row["mask"] is None else ""),
)
"""Where a photo may have stopped, and how a row says so."""


# --- a photo ----------------------------------------------------------------------------------------------------------


def photo_lineage(photo_id: str, files_of: TableFiles, snapshots: Path, runs: Sequence[RunFacts]) -> Lineage:
    """From a photo to all that it touched. Raises `DatasetError` when neither table nor snapshot knows the photo."""
    story = stories(files_of, [photo_id])[photo_id]
    frozen = _frozen_rows(snapshots, photo_id)
    if not story and not frozen:
        raise DatasetError(f"no table and no snapshot knows a photo {photo_id!r}; ids are written like flickr:4951234567")
    forgotten = [tombstones[photo_id] for _, _, tombstones in frozen if photo_id in tombstones]
    answer = Lineage(f"photo {photo_id}", _photo_facts(story, frozen, forgotten))
    last = _photo_nodes(answer, photo_id, story, frozen)
    touched: list[str] = []
    for identifier, row, _ in frozen:
        place = f"{row['domain']}, {row['split']}" + (", forgotten" if forgotten else "")
        node = answer.add(Node(f"snapshot:{identifier}", "snapshot", f"snapshot {identifier}", place, 4), last)
        for run in runs:
            if run.snapshot == identifier and (use := _use(run, row)):
                touched.append(f"{run.run} ({use})")
                _add_model(answer, run, use, node)
    answer.facts["snapshots"] = [
        {"": name, "as": f"{row['domain']}, {row['split']}", "with": ", ".join(_layers_of(row)) or None}
        for name, row, _ in frozen
    ]
    answer.facts["models"] = touched
    return answer


def _photo_facts(
    story: Story, frozen: Sequence[tuple[str, Row, dict[str, int]]], forgotten: Sequence[int]
) -> dict[str, Any]:
    listed = story.get("photo_listing", [{}])[0]
    origin = listed or (frozen[0][1] if frozen else {})
    history = story.get("photo_history", [{}])[0]
    decisions = [_decision(row) for row in story.get("curated_photos", [])]
    return {
        "title": origin.get("title"),
        "owner": origin.get("owner_name") or origin.get("owner"),
        "licence": license_name(origin.get("license")),
        "page": origin.get("page_url"),
        "forgotten": _day(min(forgotten)) if forgotten else ("yes" if history.get("forgotten") else None),
        "first seen": _day(history.get("first_seen_s")),
        "last seen": _day(history.get("last_seen_s")),
        "found by": [
            {"": f"{row['domain']}, {row['month']}", "query": row["query"], "rejected:": row["reason"]}
            for row in story.get("photo_listing", [])
        ],
        "file": [_file(row) for row in story.get("photo_files", [])],
        "duplicates": [_duplicate(row) if row["rule"] else "kept of its group" for row in story.get("unique_photos", [])],
        "decisions": decisions or [_frozen_decision(name, row) for name, row, _ in frozen[:1] if row.get("decision_file")],
        "mask": [
            f"{row['coverage']:.0%} of the frame" + (f", drawn by {row['drawn_by']}" if row.get("drawn_by") else "")
            if row["mask"]
            else row["reason"]
            for row in story.get("person_masks", [])
        ],
        "not in the dataset because": why_missing(story) or None,
    }


def _file(row: Row) -> str:
    return f"{row['sha256']} ({row['width_px']}×{row['height_px']} px)" if row["sha256"] else f"none: {row['reason']}"


def _frozen_decision(snapshot: str, row: Row) -> str:
    by = f", {row['curator']}" if row.get("curator") else ""
    return f"kept; decided in {row['decision_file']}, row {row['decision_row']}{by}, says snapshot {snapshot}"


def _day(seconds: int | None) -> str | None:
    return None if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"


def _photo_nodes(
    answer: Lineage,
    photo_id: str,
    story: Story,
    frozen: Sequence[tuple[str, Row, dict[str, int]]],
) -> str:
    """The nodes from the queries to the decision; returns the last one's id."""
    facts = answer.facts
    owner = f"{facts['owner'] or 'owner unknown'}, {facts['licence']}"
    photo = answer.add(Node("photo", "photo", facts["title"] or photo_id, owner, 1))
    for row in story.get("photo_listing", []):
        label, detail = f"{row['domain']}, {row['month']}", row["reason"] or f"query {row['query']}"
        answer.add(Node(f"query:{label}", "query", label, detail, 0))
        answer.edges.append((f"query:{label}", photo))
    last = photo
    for row in sorted(story.get("unique_photos", []), key=lambda row: bool(row["rule"]))[:1]:
        detail = _duplicate(row) if row["rule"] else "kept"
        last = answer.add(Node("group", "group", f"group of {row['group']}", detail, 2), last)
    decided = story.get("curated_photos", [])
    if decided:
        row = decided[0]
        label = f"{row['decision']} {row['target_domain'] or row['reason'] or ''}".strip()
        where = f"{row['file']}:{row['row']}" + (f", {row['curator']}" if row["curator"] else "")
        return answer.add(Node("decision", "decision", label, where, 3), last)
    if frozen and frozen[0][1].get("decision_file"):
        row = frozen[0][1]
        return answer.add(Node("decision", "decision", "kept", f"{row['decision_file']}:{row['decision_row']}", 3), last)
    return last


def _frozen_rows(snapshots: Path, photo_id: str) -> list[tuple[str, Row, dict[str, int]]]:
    """The photo's row in each snapshot that has it, with that snapshot's tombstones; the newest snapshot first."""
    found = []
    for identifier in list_snapshots(snapshots):
        path = child(snapshots, identifier)
        manifest = (
            "domain",
            "split",
            *(layer.digest for layer in LAYERS),
            "owner",
            "owner_name",
            "title",
            "license",
            "page_url",
        )
        rows = select([path / MANIFEST], {photo_id}, manifest)
        places = select([path / PICTURES], {photo_id}, ("domain", "curator", "decision_file", "decision_row"))
        for row in {row["domain"]: row for row in reversed(rows)}.values():  # of tiles the first speaks for all
            place = next((place for place in places if place["domain"] == row["domain"]), {})
            found.append((identifier, {**row, **place}, read_forgotten(path)))
    return found


def _layers_of(row: Row) -> list[str]:
    """The layers that a picture has beside `rgb` and `alpha`."""
    return [layer.name for layer in OPTIONAL if row.get(layer.digest)]


def _use(run: RunFacts, row: Row) -> str:
    """What a run did with a picture of its snapshot, or its evaluation will do; empty: nothing."""
    is_seen = run.digest_learnt_from is None or row.get(run.digest_learnt_from)
    if row["domain"] not in run.trained_domains or not is_seen:
        return ""
    if row["split"] == "train":
        return "trained on it"
    if row["domain"] != run.uses[0]:
        return ""
    return "judged on it" if run.scores else "to be judged on it"


def _add_model(answer: Lineage, run: RunFacts, detail: str, *sources: str) -> None:
    model = answer.add(Node(f"model:{run.run}", "model", run.key, detail, 5), *sources)
    if run.scores:
        telling = [name for name in TELLING if name in run.scores] or list(run.scores)
        shown = ", ".join(f"{name} {run.scores[name]:.3g}" for name in telling[:SHOWN_SCORES])
        evaluation = answer.add(Node(f"evaluation:{run.run}", "evaluation", f"evaluation of {run.key}", shown, 6), model)
        if run.report:
            answer.add(Node(f"report:{run.snapshot}", "report", "report", run.snapshot, 7), evaluation)


# --- a snapshot and a model -------------------------------------------------------------------------------------------


def snapshot_lineage(identifier: str, snapshots: Path, runs: Sequence[RunFacts]) -> Lineage:
    """From a snapshot back to its queries, decisions, owners and licences, and on to its models."""
    path, manifest, answer = _start(f"snapshot {identifier}", identifier, snapshots)
    answer.facts |= {
        "counts": {domain: f"{n['train']} train, {n['test']} test" for domain, n in facts_of(path)["counts"].items()},
        "forgotten": len(read_forgotten(path)) or None,
        **_counts_of_layers(path),
        **_rights(manifest),
        "made from": _made_from(path),
        "models": [],
    }
    for run in runs:
        if run.snapshot == identifier:
            answer.facts["models"].append(
                {"": run.run, "steps": run.steps, **{k: f"{v:.4g}" for k, v in run.scores.items()}}
            )
            _add_model(answer, run, f"{run.steps:,} steps", f"snapshot:{identifier}")
    return answer


def _counts_of_layers(path: Path) -> dict[str, str]:
    """Of the layers beside `rgb` and `alpha`, how many pictures have them."""
    there = _column_names(path / MANIFEST)
    here = [layer for layer in OPTIONAL if layer.digest in there]
    columns = read_columns(path / MANIFEST, [layer.digest for layer in here]) if here else {}
    counts = {layer.name: sum(digest is not None for digest in columns[layer.digest]) for layer in here}
    return {f"with {name}": counted(count, "picture") for name, count in counts.items()}


def model_lineage(
    run: RunFacts,
    snapshots: Path,
    forgotten_seen: Sequence[str] = (),
) -> Lineage:
    """From a model back to the photos that it was trained on, their owners and licences, its code and configuration."""
    path, _, answer = _start(f"model {run.run}", run.snapshot, snapshots)
    trained = _photos(_trained_on(path / MANIFEST, run, ["photo_id", "owner", "owner_name", "license"]))
    card = run.card
    answer.facts |= {
        "recipe": run.key,
        "model": run.model,
        "snapshot": run.snapshot,
        "code revision": card.get("lineage", {}).get("code_revision", "unknown"),
        "versions": card.get("versions", {}),
        "trained on": counted(len(trained["photo_id"]), "photo"),
        "forgotten since": [f"{photo_id}, which it was trained on" for photo_id in forgotten_seen] or None,
        **_rights(trained),
        "made from": _made_from(path),
        "configuration": card.get("settings", {}),
        "files": card.get("files", {}),
        "evaluation": {name: f"{value:.4g}" for name, value in run.scores.items()},
        "report": run.report,
    }
    detail = f"{run.steps:,} steps" + (
        f"; {counted(len(forgotten_seen), 'photo')} forgotten since" if forgotten_seen else ""
    )
    _add_model(answer, run, detail, f"snapshot:{run.snapshot}")
    return answer


def forgotten_seen(run: RunFacts, snapshots: Path) -> list[str]:
    """Photos that the model was trained on and that were forgotten since."""
    tombstones = read_forgotten(child(snapshots, run.snapshot))
    if not tombstones:
        return []
    by_domain: dict[str, list[str]] = {}
    trained = _trained_on(child(snapshots, run.snapshot) / MANIFEST, run, ["photo_id"])
    for domain, photo_id in zip(trained["domain"], trained["photo_id"], strict=True):
        by_domain.setdefault(domain, []).append(photo_id)
    counts = run.card.get("training_images")
    trained_on = {domain: counts[side] for domain, side in zip(run.trained_domains, "ab", strict=False)} if counts else None
    return seen_by_model(tombstones, by_domain, trained_on)


def seen_by_model(
    tombstones: Mapping[str, int], trainable: Mapping[str, Sequence[str]], trained_on: Mapping[str, int] | None
) -> list[str]:
    """Forgotten photos that a model was trained on, told by how many pictures it had.

    `trainable` are the photos for training of each of its domains, tombstones included; `trained_on` counts the pictures
    of each domain in the model's card. Those that were gone by then are missing from the counts, the earliest forgotten
    first; without counts, all were seen.
    """
    seen: list[str] = []
    for domain, photo_ids in trainable.items():
        buried = sorted((id for id in photo_ids if id in tombstones), key=lambda id: tombstones[id])
        had = len(photo_ids) if trained_on is None else trained_on.get(domain, len(photo_ids))
        seen += buried[len(photo_ids) - had :]
    return sorted(set(seen))  # of a photo with tiles there are several


def model_photos(run: RunFacts, snapshots: Path) -> list[Row]:
    """Every photo that the model was trained on: id, domain, title, owner, licence and page."""
    columns = ["photo_id", "title", "owner", "owner_name", "license", "page_url"]
    trained = _photos(_trained_on(child(snapshots, run.snapshot) / MANIFEST, run, columns))
    names = {value: license_name(value) for value in set(trained["license"])}
    shown = {**trained, "license": [names[value] for value in trained["license"]]}
    return [dict(zip(shown, row, strict=True)) for row in zip(*shown.values(), strict=True)]


def _trained_on(path: Path, run: RunFacts, columns: Sequence[str]) -> Columns:
    """`domain` and these columns of the rows of a snapshot's manifest that the run was trained on."""
    layer = [run.digest_learnt_from] if run.digest_learnt_from else []
    if not set(layer) <= _column_names(path):
        return {name: [] for name in ("domain", *columns)}
    manifest = read_columns(path, ["domain", "split", *layer, *columns])
    told = zip(manifest["domain"], manifest["split"], *(manifest[name] for name in layer), strict=True)
    at = [
        position
        for position, (domain, split, *has) in enumerate(told)
        if split == "train" and domain in run.trained_domains and all(has)
    ]
    return {name: [manifest[name][position] for position in at] for name in ("domain", *columns)}


def _photos(rows: Columns) -> Columns:
    """The first row of each photo in each domain: tiles count once."""
    first: dict[tuple[str, str], int] = {}
    for position, key in enumerate(zip(rows["domain"], rows["photo_id"], strict=True)):
        first.setdefault(key, position)
    return {name: [values[position] for position in first.values()] for name, values in rows.items()}


def _start(subject: str, identifier: str, snapshots: Path) -> tuple[Path, Columns, Lineage]:
    """The snapshot's manifest and a graph up to it: queries, licences and decisions."""
    path = child(snapshots, identifier)
    facts = facts_of(path)
    try:
        manifest = _photos(read_columns(path / MANIFEST, ["photo_id", "domain", "split", "owner", "owner_name", "license"]))
        places = _photos(read_columns(path / PICTURES, ["photo_id", "domain", "decision_file", "curator"]))
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); `bokehflow snapshot verify {identifier}`") from None
    answer = Lineage(subject, {})
    snapshot = Node(
        f"snapshot:{identifier}", "snapshot", f"snapshot {identifier}", counted(len(manifest["photo_id"]), "photo"), 4
    )
    answer.add(snapshot)
    for domain, count in _counts(manifest["domain"]).items():
        queries = facts["made_from"].get("domains", {}).get(domain, {}).get("queries", [])
        detail = counted(count, "photo") + (f", {len(queries)} queries" if len(queries) > 1 else "")
        answer.add(Node(f"query:{domain}", "query", domain, detail, 0))
    licensed = _counts(list(zip(manifest["domain"], manifest["license"], strict=True)))
    for license, count in _counts(manifest["license"]).items():
        domains = [f"query:{domain}" for domain, other in licensed if other == license]
        answer.add(Node(f"licence:{license}", "licence", license_name(license), counted(count, "photo"), 2), *domains)
        answer.edges.append((f"licence:{license}", snapshot.id))
    pairs = zip(places["decision_file"], places["curator"], strict=True)
    for (file, curator), count in Counter(pairs).most_common(MANY_OWNERS):
        if file is not None:
            detail = counted(count, "decision") + (f", {curator}" if curator else "")
            answer.add(Node(f"decision:{file}:{curator}", "decision", file, detail, 2))
            answer.edges.append((f"decision:{file}:{curator}", snapshot.id))
    return path, manifest, answer


def _rights(manifest: Columns) -> dict[str, Any]:
    licenses = _counts(manifest["license"])
    owners = _counts(manifest["owner"])
    names = dict(zip(manifest["owner"], manifest["owner_name"], strict=True))
    most = list(owners.items())[:MANY_OWNERS]
    shown = {f"{names.get(owner) or owner} ({owner})" if owner else "unknown": count for owner, count in most}
    rest = len(owners) - len(shown)
    return {
        "licences": {license_name(license): counted(count, "photo") for license, count in licenses.items()},
        "strictest licence": license_name(strictest(licenses)) if licenses else "none",
        f"owners, {len(owners)}": {**shown, **({"others": rest} if rest > 0 else {})},
    }


def _counts(values: Sequence[Any]) -> dict[Any, int]:
    """How often each value occurs, the most frequent first."""
    return dict(sorted(Counter(values).items(), key=lambda pair: (-pair[1], str(pair[0]))))


def _made_from(path: Path) -> dict[str, Any]:
    made = facts_of(path)["made_from"]
    queries = {
        f"query {number} of {domain}": json.dumps(query, ensure_ascii=False)
        for domain, entry in made.get("domains", {}).items()
        for number, query in enumerate(entry.get("queries", []))
    }
    return {**queries, "code revision": made.get("code_revision"), "data versions": made.get("data_versions", {})}
