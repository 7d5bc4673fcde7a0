"""From a photo to its models and back, without pandas."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.counted import counted
from pipeline.dataset.forget import forget_in_snapshots
from pipeline.dataset.lineage import (
    RunFacts,
    forgotten_seen,
    model_lineage,
    model_photos,
    photo_lineage,
    seen_by_model,
    select,
    snapshot_lineage,
    why_kept,
    why_missing,
)
from pipeline.dataset.lineage_svg import lineage_svg
from pipeline.dataset.snapshot import freeze, read_snapshot
from pipeline.errors import DatasetError
from pipeline.licenses import license_name
from pipeline.models import layer_learnt_from
from pipeline.operations.lineage import (
    CARD,
    COMPLETION,
    find_run,
    lineage_of_model,
    lineage_of_photo,
    lineage_of_snapshot,
    runs_called,
)
from pipeline.training.runs import Completion, RunFolder, generator_file
from storage import Home
from tests.pipeline.dataset.frozen_world import World

DECIDED = {
    "decision": "keep",
    "target_domain": "ordinary",
    "reason": None,
    "curator": "Bo",
    "note": None,
    "file": "a.csv",
    "row": 3,
}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "home")


def run_on(snapshot: str, **facts: object) -> RunFacts:
    given = {
        "run": f"{snapshot}-smoke-0", "recipe": "smoke", "seed": 0, "model": "cyclegan", "snapshot": snapshot, "steps": 6,
        "uses": ("ordinary", "shallow"), "card": {"lineage": {"code_revision": "abc+"}, "settings": {"size_px": 64}},
        "scores": {"background_l1": 0.25}, "report": "/reports/index.html", **facts,
    }  # fmt: skip
    return RunFacts(**given)


def no_tables(_: str) -> list[Path]:
    return []


def test_a_photo_leads_to_its_snapshots_models_and_evaluations(world: World) -> None:
    first, second = world.freeze(range(1, 13)), world.freeze(range(2, 13))
    manifest = read_snapshot(world.snapshots, first)
    trained = str(manifest.loc[manifest["split"] == "train", "photo_id"].iloc[0])
    judged = str(manifest.loc[manifest["split"] == "test", "photo_id"].iloc[0])
    runs = [run_on(first), run_on(second, run="other")]
    found = photo_lineage(trained, no_tables, world.snapshots, runs[:1])
    assert found.facts["models"] == [f"{first}-smoke-0 (trained on it)"]
    told, says = found.facts["decisions"][0].split(", says snapshot ")
    assert told.startswith("kept; decided in reviewed.csv, row ")
    assert says in (first, second)
    kinds = {node.kind for node in found.nodes}
    assert {"photo", "decision", "snapshot", "model", "evaluation", "report"} <= kinds
    assert photo_lineage(judged, no_tables, world.snapshots, runs[:1]).facts["models"] == [f"{first}-smoke-0 (judged on it)"]
    waiting = run_on(first, scores={}, report=None)
    told = photo_lineage(judged, no_tables, world.snapshots, [waiting]).facts["models"]
    assert told == [f"{first}-smoke-0 (to be judged on it)"]
    only_first = photo_lineage("flickr:1", no_tables, world.snapshots, runs)
    assert [entry[""] for entry in only_first.facts["snapshots"]] == [first]
    with pytest.raises(DatasetError, match="no table and no snapshot knows a photo 'flickr:99'"):
        photo_lineage("flickr:99", no_tables, world.snapshots, runs)


def test_a_photo_is_found_by_whatever_a_person_writes_for_its_id(world: World) -> None:
    world.freeze(range(1, 13))
    for written in ("flickr:5", "5", "Flickr:5", "https://www.flickr.com/photos/1@N00/5/in/pool"):
        assert lineage_of_photo(Home(world.root), written).subject == "photo flickr:5"
    with pytest.raises(DatasetError, match="knows a photo '٥'"):
        lineage_of_photo(Home(world.root), "٥")


def test_a_model_leads_back_to_photos_owners_licences_code_and_configuration(world: World) -> None:
    run = run_on(world.freeze(range(1, 13)))
    found = model_lineage(run, world.snapshots)
    manifest = read_snapshot(world.snapshots, run.snapshot)
    trained = manifest[manifest["split"] == "train"]
    photos = model_photos(run, world.snapshots)
    assert {photo["photo_id"] for photo in photos} == set(trained["photo_id"])
    assert found.facts["trained on"] == f"{len(trained)} photos"
    counts = trained["license"].map(license_name).value_counts()
    assert found.facts["licences"] == {name: counted(int(counts[name]), "photo") for name in found.facts["licences"]}
    assert found.facts["strictest licence"] == "All Rights Reserved"
    assert found.facts["code revision"] == "abc+"
    assert found.facts["configuration"] == {"size_px": 64}
    assert f"owners, {trained['owner'].nunique()}" in found.facts
    assert found.to_dict()["graph"]["nodes"]
    assert "strictest licence: All Rights Reserved" in found.to_text()


def test_photos_of_ones_own_have_an_owner_whom_nobody_named(world: World) -> None:
    manifest = world.manifest(world.images(range(1, 13))).assign(owner="", owner_name=None)
    found = snapshot_lineage(freeze(manifest, world.snapshots, world.shards).name, world.snapshots, [])
    assert found.facts["owners, 1"] == {"unknown": 12}


def test_a_snapshot_leads_to_licences_decisions_and_models(world: World) -> None:
    identifier = world.freeze(range(1, 13))
    found = snapshot_lineage(identifier, world.snapshots, [run_on(identifier)])
    assert found.facts["models"][0]["steps"] == 6
    assert [node.detail for node in found.nodes if node.kind == "decision"] == ["12 decisions, Bo"]
    assert sum(int(node.detail.split()[0]) for node in found.nodes if node.kind == "licence") == 12


def test_a_model_that_saw_a_forgotten_photo_says_so_and_a_later_one_does_not(world: World) -> None:
    identifier = world.freeze(range(1, 13))
    manifest = read_snapshot(world.snapshots, identifier)
    trained = manifest[manifest["split"] == "train"]
    gone = str(trained["photo_id"].iloc[0])
    counts = trained["domain"].value_counts()
    card = {"training_images": {"a": int(counts["ordinary"]), "b": int(counts["shallow"])}}
    run = run_on(identifier, card=card)
    assert forgotten_seen(run, world.snapshots) == []
    forget_in_snapshots(world.snapshots, world.shards, {gone}, 5)
    assert forgotten_seen(run, world.snapshots) == [gone]
    assert f"{gone}, which it was trained on" in model_lineage(run, world.snapshots, [gone]).to_text()
    side = "a" if trained["domain"].iloc[0] == "ordinary" else "b"
    later = run_on(
        identifier, card={"training_images": {**card["training_images"], side: card["training_images"][side] - 1}}
    )
    assert forgotten_seen(later, world.snapshots) == []
    assert photo_lineage(gone, no_tables, world.snapshots, [run]).facts["forgotten"] == "1970-01-01"


def test_a_model_of_depth_is_judged_on_test_photos_that_have_depth_alone(world: World) -> None:
    numbers = range(1, 25)
    manifest = read_snapshot(world.snapshots, world.freeze(numbers))
    of_a = manifest[(manifest["domain"] == "ordinary") & (manifest["split"] == "test")]
    known, unknown = of_a["photo_id"].tolist()[:2]
    identifier = world.freeze(numbers, layered={int(known.split(":")[1])})
    run = run_on(identifier, model="depth", learns_from=layer_learnt_from("depth"))
    used = [photo_lineage(one, no_tables, world.snapshots, [run]).facts["models"] for one in (known, unknown)]
    assert used == [[f"{run.run} (judged on it)"], []]


def test_a_model_of_depth_leads_back_to_the_pictures_of_one_domain_that_have_depth(world: World) -> None:
    identifier = world.freeze(range(1, 13), layered={1, 2, 3, 5, 8})
    manifest = read_snapshot(world.snapshots, identifier)
    of_a = (manifest["domain"] == "ordinary") & (manifest["split"] == "train")
    seen = sorted(manifest.loc[of_a & manifest["depth_sha256"].notna(), "photo_id"])
    unseen = str(manifest.loc[of_a & manifest["depth_sha256"].isna(), "photo_id"].iloc[0])
    assert seen
    run = run_on(
        identifier, model="depth", learns_from=layer_learnt_from("depth"), card={"training_images": {"a": len(seen), "b": 0}}
    )
    assert sorted(photo["photo_id"] for photo in model_photos(run, world.snapshots)) == seen
    assert model_lineage(run, world.snapshots).facts["trained on"] == f"{len(seen)} photos"
    for photo_id, touched in ((seen[0], [f"{run.run} (trained on it)"]), (unseen, []), ("flickr:2", [])):
        assert photo_lineage(photo_id, no_tables, world.snapshots, [run]).facts["models"] == touched
    forget_in_snapshots(world.snapshots, world.shards, {seen[0], unseen, "flickr:2"}, 5)
    assert forgotten_seen(run, world.snapshots) == [seen[0]]
    both = {"uses": ("ordinary", "ordinary"), "learns_from": run.learns_from, "card": run.card}
    assert forgotten_seen(run_on(identifier, **both), world.snapshots) == [seen[0]]


def test_no_picture_of_a_snapshot_without_depth_taught_a_model_of_depth(world: World) -> None:
    run = run_on(world.freeze(range(1, 13)), model="depth", learns_from="depth")
    assert model_photos(run, world.snapshots) == []


def test_of_many_photos_tables_say_what_they_say_of_few(tmp_path: Path) -> None:
    ids = [f"flickr:{number % 30}" for number in range(60)]
    told = pa.table({"photo_id": ids, "note": [None, "b"] * 30, "other": range(60)})
    pq.write_table(told, tmp_path / "a.parquet", row_group_size=25)
    wanted = [f"flickr:{number}" for number in range(5, 29)]
    few = [row for id in wanted for row in select([tmp_path / "a.parquet"], {id}, ["note", "no such"])]
    many = select([tmp_path / "a.parquet"], set(wanted), ["note", "no such"])
    assert sorted(map(str, many)) == sorted(map(str, few))
    assert len(many) == 48
    assert [row["photo_id"] for row in many] == [id for id in ids if id in wanted]


def test_which_forgotten_photos_a_model_has_seen() -> None:
    photos = {"x": ["a", "b", "c"], "y": ["d", "e"]}
    tombstones = {"a": 10, "c": 20, "e": 20}
    assert seen_by_model(tombstones, photos, {"x": 3, "y": 2}) == ["a", "c", "e"]
    assert seen_by_model(tombstones, photos, {"x": 2, "y": 2}) == ["c", "e"]
    assert seen_by_model(tombstones, photos, {"x": 1, "y": 1}) == []
    assert seen_by_model(tombstones, photos, None) == ["a", "c", "e"]


def test_why_a_photo_is_not_in_the_dataset() -> None:
    listed = [{"reason": None}]
    stored = [{"sha256": "s", "reason": None}]
    single = [{"rule": None, "duplicate_of": None}]
    in_both = [*single, {"rule": "both_domains", "duplicate_of": "flickr:1"}]
    base = {"photo_listing": listed, "photo_files": stored, "unique_photos": single}
    dropped = {**DECIDED, "decision": "drop", "target_domain": None, "reason": "edited", "note": "black and white"}
    for story, said in (
        ({"photo_listing": [{"reason": "no_cv"}]}, "rejected in the listing: no_cv"),
        ({"photo_listing": listed, "photo_files": [{"sha256": None, "reason": "truncated"}]}, "no file: truncated"),
        ({**base, "unique_photos": [{"rule": "perceptual", "duplicate_of": "flickr:5"}]}, "perceptual of flickr:5"),
        ({**base, "curated_photos": [dropped]}, "drop (edited): black and white; decided in a.csv, row 3, Bo"),
        ({**base, "curated_photos": [DECIDED], "person_masks": [{"mask": None, "reason": "no_subject"}]}, "no_subject"),
        ({**base, "photo_history": [{"forgotten": True}]}, "forgotten on request"),
        ({"photo_history": [{"absent": True, "forgotten": False}]}, "gone from Flickr"),
        (base, "nobody has decided"),
        ({**base, "unique_photos": in_both}, "nobody has decided"),
        ({}, ""),
    ):
        assert said in why_missing(story), story
    kept = {**base, "unique_photos": in_both, "curated_photos": [DECIDED], "person_masks": [{"mask": "m", "reason": None}]}
    assert why_missing(kept) == ""
    assert why_kept(kept) == "keep; decided in a.csv, row 3, Bo"


def test_the_picture_is_valid_xml_with_a_box_for_every_node(world: World) -> None:
    identifier = world.freeze(range(1, 13))
    found = snapshot_lineage(identifier, world.snapshots, [run_on(identifier)])
    root = ET.fromstring(lineage_svg(found))
    boxes = [group for group in root if group.tag.endswith("}g")]
    assert len(boxes) == len(found.nodes)
    assert len([path for path in root if path.tag.endswith("}path")]) == len(found.edges)
    assert root.findtext("{http://www.w3.org/2000/svg}title") == f"snapshot {identifier}"


def test_an_evaluation_is_told_by_the_scores_that_judge_a_model(world: World) -> None:
    identifier = world.freeze(range(1, 13))
    scores = {"above": 0.3, "above_high": 0.5, "gap": 0.107, "subject_ssim": 0.998}
    found = snapshot_lineage(identifier, world.snapshots, [run_on(identifier, scores=scores)])
    (box,) = (node for node in found.nodes if node.kind == "evaluation")
    assert box.detail == "subject_ssim 0.998, gap 0.107"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("d5b6221a9916fbee-cyclegan-1", [1]),
        ("d5b6-cyclegan-1", [1]),
        ("d5b6-cyclegan", [1, 2]),
        ("d5b6221a9916fbee-one", [3]),
        ("d5-o", [3]),
        ("0", [4]),
        ("pairs-", [0]),
        ("5b6-one_sided", []),
    ],
)
def test_a_run_is_known_by_the_beginnings_of_its_snapshot_and_its_recipe(name: str, meant: list[int]) -> None:
    of = "d5b6221a9916fbee"
    runs = [
        "pairs-0a1b-depth-0",
        f"{of}-cyclegan-1",
        f"{of}-cyclegan-10",
        f"{of}-one_sided-0",
        "0000221a9916fbee-one_sided-0",
    ]
    assert runs_called(name, runs) == [runs[number] for number in meant]


def test_finished_runs_are_read_where_training_writes_them(world: World) -> None:
    folder = RunFolder(world.root / "runs" / "r")
    assert (folder.completion.name, folder.card.name) == (COMPLETION, CARD)
    identifier = world.freeze(range(1, 13))
    facts = {"run_id": "r", "recipe": "smoke", "model": "cyclegan", "seed": 3, "snapshot_id": identifier, "steps": 6}
    done = Completion(
        digest="d", seconds=1.0, final_losses={}, sample="s", best={}, files={generator_file("a_to_b"): "0" * 64}, **facts
    )  # pyright: ignore
    folder.root.mkdir(parents=True)
    folder.completion.write_text(done.model_dump_json())
    folder.card.write_text(json.dumps({**done.model_dump(), "domains": {"a": "ordinary", "b": "shallow"}}))
    home = Home(world.root)
    assert find_run(home, "smoke@3").steps == 6
    assert lineage_of_model(home, "r").facts["snapshot"] == identifier
    assert lineage_of_snapshot(home, identifier[:6]).facts["models"][0][""] == "r"
    with pytest.raises(DatasetError, match="no finished run 'huge@0'; known here: r"):
        find_run(home, "huge@0")
    folder.completion.write_text("{")
    with pytest.raises(DatasetError, match=r"complete.json: is damaged"):
        find_run(home, "r")


def test_an_answer_needs_neither_pandas_nor_dagster(world: World) -> None:
    identifier = world.freeze(range(1, 13))
    code = (
        "import sys; from pathlib import Path; from storage import Home; from pipeline.operations import lineage; "
        f"home = Home(Path({str(world.root)!r})); lineage.lineage_of_photo(home, '5'); "
        f"lineage.lineage_of_snapshot(home, {identifier!r}); "
        "print(sorted({'dagster', 'pandas', 'pandera', 'pydantic', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
