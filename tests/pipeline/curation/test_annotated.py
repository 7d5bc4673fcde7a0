"""Decisions go out to Label Studio and FiftyOne and come back: none lost, none changed, none made up."""

import csv
import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmarks.peers import Peers
from pipeline.curation import decisions
from pipeline.curation.annotated import Taken, take_decisions
from pipeline.curation.decisions import DECISIONS, REASONS, read_decisions
from pipeline.dataset import annotation_tools
from pipeline.dataset.annotation_tools import brush_rle, label_config
from pipeline.dataset.export import ExportPlan, export_snapshot, forget_in_export
from pipeline.entered_text import one_line
from pipeline.errors import ConfigError
from pipeline.hint_table import HINTS
from pipeline.operations.curation import hints_of
from storage import Home
from tests.pipeline.dataset.frozen_world import World, picture

KNOWN = {f"flickr:{n}" for n in range(1, 13)} | {"folder:ab_1"}
DOMAINS = {"ordinary", "shallow"}


@st.composite
def verdicts(draw: st.DrawFn) -> dict[str, str]:
    """What a person may say of a photo, by the columns of a reviewed CSV."""
    said = {"photo_id": draw(st.sampled_from(sorted(KNOWN))), "decision": draw(st.sampled_from(DECISIONS))}
    note = draw(st.text(max_size=30))
    if said["decision"] == "drop":
        said["reason"] = draw(st.sampled_from(REASONS))
        note = note if one_line(note) or said["reason"] != "other" else "blurred twice"
    if said["decision"] == "move":
        said["move_to"] = draw(st.sampled_from(sorted(DOMAINS)))
    return said | ({"note": note} if one_line(note) else {})


def annotation(said: dict[str, str], who: object, at: datetime) -> dict[str, Any]:
    """As Label Studio exports what a person submitted with our labelling interface."""
    result: list[dict[str, Any]] = [
        {"from_name": name, "to_name": "image", "type": "choices", "value": {"choices": [said[name]]}}
        for name in ("decision", "reason", "move_to")
        if name in said
    ]
    if "note" in said:
        result.append({"from_name": "note", "to_name": "image", "type": "textarea", "value": {"text": [said["note"]]}})
    stamp = at.isoformat().replace("+00:00", "Z")
    return {"result": result, "completed_by": who, "created_at": stamp, "updated_at": stamp, "was_cancelled": False}


def take(folder: Path, content: object, tool: str = "labelstudio", reviewer: str = "Ada") -> Taken:
    file = folder / "export.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    return take_decisions(file, tool, reviewer, folder / "reviewed", KNOWN, DOMAINS)


def read(folder: Path) -> list[decisions.Decision]:
    found, problems = read_decisions(folder / "reviewed", KNOWN, DOMAINS)
    assert problems == []
    return found


def as_said(decision: decisions.Decision) -> dict[str, str]:
    names = ("photo_id", "decision", "reason", "move_to", "note")
    return {name: str(getattr(decision, name)) for name in names if getattr(decision, name) is not None}


def plain(said: dict[str, str]) -> dict[str, str]:
    return {name: one_line(text) for name, text in said.items()}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(verdicts(), st.sampled_from([1, 2, {"id": 3, "email": "bo@x.org"}])), min_size=1, max_size=8))
def test_no_decision_of_label_studio_is_lost_or_changed(said: list[tuple[dict[str, str], object]]) -> None:
    tasks = [
        {"id": n, "data": {"photo_id": one["photo_id"]}, "annotations": [annotation(one, who, _at(n))], "predictions": []}
        for n, (one, who) in enumerate(said)
    ]
    with TemporaryDirectory() as folder:
        assert take(Path(folder), tasks).decisions == len(said)
        found = read(Path(folder))
    assert [as_said(one) for one in found] == [plain(one) for one, _ in said]
    assert [one.decided_ns for one in found] == [int(_at(n).timestamp()) * 10**9 for n in range(len(said))]
    people = {str(who) for _, who in said}
    assert len({one.curator for one in found}) == len(people)
    assert all((one.curator or "").startswith("Ada") for one in found)


def _at(number: int) -> datetime:
    return datetime(2026, 3, 5, 12, number, tzinfo=UTC)


@settings(max_examples=40, deadline=None)
@given(st.lists(verdicts(), min_size=1, max_size=8, unique_by=lambda one: one["photo_id"]), st.booleans())
def test_no_decision_of_fiftyone_is_lost_or_changed(said: list[dict[str, str]], in_label: bool) -> None:
    labels = {}
    for number, one in enumerate(said):
        about = one.get("reason") or one.get("move_to")
        attributes = {name: one[name] for name in ("photo_id", "note") if name in one}
        if not in_label:
            attributes |= {name: one[name] for name in ("reason", "move_to") if name in one}
        label = f"{one['decision']}:{about}" if about and in_label else one["decision"]
        labels[f"picture_{number}"] = {"label": label, "attributes": attributes}
    with TemporaryDirectory() as folder:
        take(Path(folder), {"classes": None, "labels": labels}, "fiftyone")
        assert [as_said(one) for one in read(Path(folder))] == [plain(one) for one in said]


def test_later_words_of_one_person_count_and_what_nobody_submitted_decides_nothing(tmp_path: Path) -> None:
    keep, drop = (
        {"photo_id": "flickr:1", "decision": "keep"},
        {"photo_id": "flickr:1", "decision": "drop", "reason": "edited"},
    )
    skipped = annotation(drop, 1, _at(9)) | {"was_cancelled": True}
    brush = {"result": [annotation_tools._brush(np.zeros((2, 2), np.uint8))], "completed_by": 1, "created_at": "2026-03-05"}
    tasks = [
        {
            "data": {"photo_id": "flickr:1"},
            "annotations": [annotation(drop, 1, _at(2)), annotation(keep, 1, _at(1)), skipped],
        },
        {"data": {"photo_id": "flickr:2"}, "annotations": [brush], "predictions": [{"result": annotation(keep, 1, _at(0))}]},
        {"data": {"photo_id": "flickr:3"}, "annotations": []},
    ]
    taken = take(tmp_path, tasks)
    assert [(as_said(one), one.curator) for one in read(tmp_path)] == [(keep, "Ada"), (drop, "Ada")]
    again = take(tmp_path, tasks)
    assert (again.path, again.was_there) == (taken.path, True)


def kept(number: int, who: object) -> dict[str, Any]:
    """A task that one annotator decided."""
    said = {"photo_id": f"flickr:{number}", "decision": "keep"}
    return {"id": number, "data": {"photo_id": said["photo_id"]}, "annotations": [annotation(said, who, _at(number))]}


def curators(folder: Path) -> dict[str, set[str | None]]:
    found: dict[str, set[str | None]] = {}
    for one in read(folder):
        found.setdefault(one.photo_id, set()).add(one.curator)
    return found


def test_an_annotator_keeps_one_name_over_exports(tmp_path: Path) -> None:
    monday = [kept(number, 1) for number in (1, 2)]
    take(tmp_path, monday)
    take(tmp_path, [*monday, kept(3, 2)])
    take(tmp_path, [kept(4, {"email": "bo@x.org"}), kept(5, 1)], reviewer="ada")
    take(tmp_path, [kept(6, 2)])
    take(tmp_path, [kept(7, 1)])
    assert curators(tmp_path) == {
        "flickr:1": {"Ada"}, "flickr:2": {"Ada"}, "flickr:3": {"Ada 2"}, "flickr:4": {"ada bo@x.org"},
        "flickr:5": {"Ada"}, "flickr:6": {"Ada 2"}, "flickr:7": {"Ada"},
    }  # fmt: skip


def test_annotators_of_one_export_stay_two_people_and_keep_their_numbers(tmp_path: Path) -> None:
    take(tmp_path, [kept(1, 1), kept(2, 2)])
    take(tmp_path, [kept(3, 1)])
    take(tmp_path, [kept(4, 7)], reviewer="Bo")
    assert curators(tmp_path) == {
        "flickr:1": {"Ada 1"}, "flickr:2": {"Ada 2"}, "flickr:3": {"Ada 1"}, "flickr:4": {"Bo"},
    }  # fmt: skip
    take(tmp_path, [kept(5, 8)], reviewer="Bo")  # the same person on another server, say: so it was told
    take(tmp_path, [kept(6, 7), kept(7, 8)], reviewer="Bo")
    assert len(set.union(*(curators(tmp_path)[f"flickr:{number}"] for number in (6, 7)))) == 2


def test_an_annotator_keeps_the_name_of_a_file_of_an_earlier_revision(tmp_path: Path) -> None:
    monday = [kept(number, 1) for number in (1, 2)]
    path = take(tmp_path, monday).path
    rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    header = [name for name in rows[0] if name != "annotator"]
    path.write_text("\n".join([",".join(header), *(",".join(row[name] for name in header) for row in rows)]) + "\n")
    take(tmp_path, [*monday, kept(3, 2)])
    assert curators(tmp_path) == {"flickr:1": {"Ada"}, "flickr:2": {"Ada"}, "flickr:3": {"Ada 2"}}


@pytest.mark.parametrize(
    ("tool", "content", "told"),
    [
        ("labelstudio", {"a": 1}, "no list of tasks"),
        ("labelstudio", [{"id": 1, "data": {"photo_id": "flickr:1"}}], "export the project as JSON"),
        ("labelstudio", [{"data": {"photo_id": "flickr:1"}, "annotations": []}], "nobody has decided anything"),
        ("labelstudio", [7], "is no export of labelstudio"),
        ("fiftyone", {"labels": {"x": {"label": "keep"}}}, "sample x: photo_id 'x': no photo of this id"),
        ("fiftyone", {"labels": {"flickr:1": {"label": "cat"}}}, "sample flickr:1: decision 'cat': must be one of keep"),
        ("fiftyone", {"labels": {"flickr:1": "drop"}}, "a dropped photo needs one of wrong_tag"),
        ("fiftyone", {"labels": {"flickr:1": "drop:other"}}, "the reason other needs a note"),
        ("fiftyone", {"labels": {"flickr:1": "move:moon"}}, "must be one of ordinary, shallow"),
        ("fiftyone", [], "is no export of fiftyone"),
    ],
)
def test_what_cannot_be_a_decision_is_named_and_nothing_is_taken_over(
    tmp_path: Path, tool: str, content: object, told: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        take(tmp_path, content, tool)
    assert told in str(raised.value)
    assert str(tmp_path / "export.json") in str(raised.value)
    assert not (tmp_path / "reviewed").exists()


def test_a_file_that_is_no_json_or_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        take_decisions(tmp_path / "no.json", "fiftyone", "Ada", tmp_path, KNOWN, DOMAINS)
    (tmp_path / "x.json").write_bytes(b"\xff{")
    with pytest.raises(ConfigError, match="is no export of fiftyone"):
        take_decisions(tmp_path / "x.json", "fiftyone", "Ada", tmp_path, KNOWN, DOMAINS)


# --- going out --------------------------------------------------------------------------------------------------------


def test_words_of_decisions_are_the_same_on_both_ways() -> None:
    assert annotation_tools.DECISIONS == DECISIONS
    assert annotation_tools.REASONS == REASONS


def decoded(rle: list[int]) -> np.ndarray:
    """A brush as the format's definition reads it: the values of all pixels, four each."""
    bits, at = "".join(f"{byte:08b}" for byte in rle), 0

    def take_bits(count: int) -> int:
        nonlocal at
        at += count
        return int(bits[at - count : at], 2)

    count, word = take_bits(32), take_bits(5) + 1
    sizes, values = [take_bits(4) + 1 for _ in range(4)], []
    while len(values) < count:
        is_run = take_bits(1)
        length = take_bits(sizes[take_bits(2)]) + 1
        values += [take_bits(word)] * length if is_run else [take_bits(word) for _ in range(length)]
    return np.asarray(values, np.uint8)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.floats(0, 1))
def test_a_mask_is_the_same_as_a_brush(seed: int, height: int, width: int, share: float) -> None:
    generator = np.random.default_rng(seed)
    alpha = np.where(generator.random((height, width)) < share, generator.integers(0, 256, (height, width)), 0).astype(
        np.uint8
    )
    found = decoded(brush_rle(alpha)).reshape(height, width, 4)
    assert (found == np.where(alpha >= 128, 255, 0)[..., None]).all()


def test_long_runs_are_written_in_parts() -> None:
    alpha = np.zeros((300, 300), np.uint8)
    alpha[100:250] = 255
    np.testing.assert_array_equal(decoded(brush_rle(alpha))[::4].reshape(300, 300), alpha)


def test_label_studio_gets_each_picture_with_decision_and_mask(tmp_path: Path) -> None:
    world = World(tmp_path / "home")
    identifier = world.freeze(range(1, 13))
    hints = {"flickr:3": {"faces": 1, "suggestion": "one face"}}
    plan = ExportPlan("labelstudio", "ordinary", "shallow", hints=hints)
    export_snapshot(world.snapshots, identifier, world.shards, tmp_path / "my out", plan)
    tasks = json.loads((tmp_path / "my out" / "tasks.json").read_text())
    assert len(tasks) == 12
    for task in tasks:
        number = int(task["data"]["photo_id"].split(":")[1])
        prefix = "/data/local-files/?d=my%20out/"
        assert task["data"]["image"].startswith(f"{prefix}images/")
        assert task["data"].get("hints") == hints.get(task["data"]["photo_id"])
        image = Image.open(tmp_path / "my out" / task["data"]["image"].removeprefix(prefix))
        np.testing.assert_array_equal(np.asarray(image), picture(number).rgb)
        decision, mask = task["predictions"][0]["result"]
        assert (decision["from_name"], decision["value"]) == ("decision", {"choices": ["keep"]})
        assert (mask["original_width"], mask["original_height"]) == (16, 16)
        np.testing.assert_array_equal(
            decoded(mask["value"]["rle"])[::4].reshape(16, 16), np.where(picture(number).alpha >= 128, 255, 0)
        )
    named = {tag.get("name") for tag in ElementTree.parse(tmp_path / "my out" / "label_config.xml").iter()} - {None}
    assert named == {"image", "decision", "reason", "move_to", "note", "mask"}
    assert '<Choice value="shallow"/>' in label_config(["shallow"])
    assert forget_in_export(tmp_path / "my out", {"flickr:2"}) == 2
    assert "flickr:2" not in [
        task["data"]["photo_id"] for task in json.loads((tmp_path / "my out" / "tasks.json").read_text())
    ]


def test_hints_are_those_of_the_queue_and_only_what_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hint = next(iter(HINTS))
    queue = pd.DataFrame(
        {
            "photo_id": ["flickr:1", "flickr:2"],
            "domain": "ordinary",
            hint: [0.5, float("nan")],
            "suggested_decision": ["drop", None],
            "suggestion_probability": [0.75, None],
        }
    )
    home = Home.at(tmp_path)
    assert hints_of(home) == {}
    monkeypatch.setattr("storage.tables.TableStore.read_or_empty", lambda *_: queue)
    told = {hint: 0.5, "suggested_decision": "drop", "suggestion_probability": 0.75}
    assert hints_of(home) == {"flickr:1": told, "flickr:2": {}}


def test_fiftyone_gets_a_dataset_whose_labels_come_back_as_they_were(tmp_path: Path) -> None:
    world = World(tmp_path / "home")
    identifier = world.freeze(range(1, 13))
    export_snapshot(
        world.snapshots, identifier, world.shards, tmp_path / "out", ExportPlan("fiftyone", "ordinary", "shallow")
    )
    labels = json.loads((tmp_path / "out" / "labels.json").read_text())["labels"]
    assert {path.stem for path in (tmp_path / "out" / "data").iterdir()} == set(labels)
    taken = take_decisions(tmp_path / "out" / "labels.json", "fiftyone", "Ada", tmp_path / "reviewed", KNOWN, DOMAINS)
    assert taken.decisions == 12
    assert {(one.photo_id, one.decision) for one in read(tmp_path)} == {(f"flickr:{n}", "keep") for n in range(1, 13)}
    assert forget_in_export(tmp_path / "out", {"flickr:2"}) == 2
    assert "flickr_2" not in json.loads((tmp_path / "out" / "labels.json").read_text())["labels"]


# --- the tools themselves, in environments of their own ---------------------------------------------------------------


def run_peer(library: str, *arguments: str) -> str:
    """What the peer's script prints; skips where its environment cannot be had."""
    peers = Peers(library)
    python = peers.python(library)
    if python is None:
        pytest.skip(f"{library} is missing: {peers.missing[library]}")
    script = Path(__file__).parents[3] / "benchmarks" / "peers" / f"{library}_round.py"
    environment = {**os.environ, "FIFTYONE_DO_NOT_TRACK": "1"}
    done = subprocess.run(
        [str(python), str(script), *arguments], env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_fiftyone_itself_brings_every_decision_back(tmp_path: Path) -> None:
    world = World(tmp_path / "home")
    identifier = world.freeze(range(1, 13))
    plan = ExportPlan("fiftyone", "ordinary", "shallow")
    export_snapshot(world.snapshots, identifier, world.shards, tmp_path / "out", plan)
    verdicts = ["keep", "skip", "move:shallow", "move:ordinary", *(f"drop:{reason}" for reason in REASONS), "keep", "skip"]
    said = {f"flickr:{n}": {"label": word} for n, word in enumerate(verdicts, 1)}
    note = '=odd, "quoted"\nnote'
    said[f"flickr:{verdicts.index('drop:other') + 1}"]["note"] = note
    (tmp_path / "said.json").write_text(json.dumps(said))
    run_peer("fiftyone", str(tmp_path / "out"), str(tmp_path / "back"), str(tmp_path / "said.json"))
    take_decisions(tmp_path / "back" / "labels.json", "fiftyone", "Ada", tmp_path / "reviewed", KNOWN, DOMAINS)
    found = {one.photo_id: one for one in read(tmp_path)}
    words = {photo_id: ":".join(filter(None, (one.decision, one.reason or one.move_to))) for photo_id, one in found.items()}
    assert words == {photo_id: one["label"] for photo_id, one in said.items()}
    assert [one.note for one in found.values() if one.note] == [one_line(note)]


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_label_studio_itself_takes_our_tasks_and_reads_our_masks(tmp_path: Path) -> None:
    world = World(tmp_path / "home")
    identifier = world.freeze(range(1, 13))
    plan = ExportPlan("labelstudio", "ordinary", "shallow")
    export_snapshot(world.snapshots, identifier, world.shards, tmp_path / "out", plan)
    masks = json.loads(run_peer("labelstudio", str(tmp_path / "out")).splitlines()[-1])
    assert len(masks) == 12
    for photo_id, values in masks.items():
        alpha = picture(int(photo_id.removeprefix("flickr:"))).alpha
        np.testing.assert_array_equal(values, np.where(alpha >= 128, 255, 0).ravel())
