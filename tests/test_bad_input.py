"""Bad input: a clear message, exit code 1, and nothing lost."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner
from PIL import Image

from pipeline.cli import cli
from pipeline.config import load_project
from pipeline.emulators.flickr import Emulator
from pipeline.operations.emulated_flickr import emulator_ports
from storage import Home
from tests.conftest import Run


def edit(root: Path, old: str, new: str) -> None:
    path = root / "bokehflow.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def files_of(root: Path) -> dict[str, bytes]:
    kept = ("tables", "blobs", "snapshots", "review")
    return {str(path): path.read_bytes() for name in kept for path in sorted((root / name).rglob("*")) if path.is_file()}


@pytest.fixture
def finished(finished_demo: Path, tmp_path: Path) -> Path:
    """A copy of the finished demo that may be broken."""
    root = tmp_path / "home"
    shutil.copytree(finished_demo, root)
    return root


def test_an_unknown_key(finished: Path, run: Run) -> None:
    edit(finished, "[dataset]", "[dataset]\nsize = 3")
    before = files_of(finished)
    outcome = run("run", "--home", str(finished))
    assert outcome.code == 1
    assert "dataset.size: unknown key; allowed here: crop, size_px" in outcome.said
    assert files_of(finished) == before


def test_an_unknown_month_asset_recipe_and_option(finished: Path, run: Run) -> None:
    for arguments, said in (
        (["--from", "2023-12"], "unknown month '2023-12': this project covers 2024-01 to 2024-03"),
        (["--until", "photos"], "unknown asset 'photos'; one of: photo_listing"),
        (["--recipe", "huge@0"], "there is no recipe 'huge@0'; one of: cyclegan@0"),
        (["--nonsense"], "No such option"),
    ):
        outcome = run("run", "--home", str(finished), *arguments)
        assert outcome.code == 1
        assert said in outcome.said


def test_a_recipe_where_the_project_file_has_none(finished: Path, run: Run) -> None:
    (finished / "bokehflow.toml").write_text("[domains.ordinary]\n[domains.shallow]\n")
    for arguments in (["train", "one_sided", "--snapshot", "0123"], ["run", "--recipe", "one_sided@0"]):
        outcome = run(*arguments, "--home", str(finished))
        assert outcome.code == 1
        assert 'it has none. Write [recipes.one_sided] there, and model = "one_sided" below' in outcome.said


def test_an_unknown_domain(finished: Path, run: Run) -> None:
    edit(finished, "[training]", '[training]\ndomain_a = "sharp"')
    outcome = run("run", "--home", str(finished))
    assert outcome.code == 1
    assert "'sharp', which is not among ['ordinary', 'shallow']" in outcome.said


def test_no_key(tmp_path: Path, run: Run) -> None:
    outcome = run("run", "--home", str(tmp_path), "--config", str(Path(__file__).parents[1] / "bokehflow.toml"))
    assert outcome.code == 1
    assert "no Flickr key: FLICKR_API_KEY and FLICKR_API_SECRET not set" in outcome.said
    assert "https://www.flickr.com/services/apps/create/" in outcome.said


def test_a_key_that_flickr_refuses(demo_home: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    port, image_port = emulator_ports(load_project(demo_home / "bokehflow.toml"))
    monkeypatch.setenv("FLICKR_API_KEY", "expired-key")
    monkeypatch.setenv("FLICKR_API_SECRET", "its-secret")
    with Emulator(demo_home / "collection", api_port=port, image_port=image_port, valid_keys=["another"]):
        outcome = run("run", "--home", str(demo_home))
    assert outcome.code == 1
    assert "FLICKR_API_KEY" in outcome.said
    assert "expired-key" not in outcome.said
    assert "its-secret" not in outcome.said


def test_an_endpoint_that_cannot_be_reached(demo_home: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLICKR_API_KEY", "key")
    monkeypatch.setenv("FLICKR_API_SECRET", "secret")
    edit(demo_home, "retries = 3", "retries = 0")
    shutil.rmtree(demo_home / "collection")
    outcome = run("run", "--home", str(demo_home))
    assert outcome.code == 1
    assert "127.0.0.1" in outcome.said


def test_a_corrupted_blob(finished: Path, run: Run) -> None:
    home = Home(finished)
    digest = home.tables.read("curated_photos").query("decision == 'keep'")["sha256"].iloc[0]
    path = home.blobs.path(digest)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"\0")
    shutil.rmtree(finished / "masks")
    shutil.rmtree(finished / "shards")
    (finished / "tables" / "person_masks" / "all.parquet").unlink()
    outcome = run("run", "--home", str(finished), "--until", "person_masks")
    assert outcome.code == 1
    assert "this picture is corrupt" in outcome.said
    assert str(path) in outcome.said
    path.unlink()
    assert run("run", "--home", str(finished), "--until", "dataset_snapshot").code == 0
    assert path.read_bytes() == whole


@pytest.mark.parametrize("damage", ["missing", "altered"])
def test_missing_or_altered_weights(finished: Path, run: Run, damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = next((finished / "weights").glob("*.tflite"))
    if damage == "missing":
        weights.unlink()
        monkeypatch.setattr("sys.executable", "/bin/false")
    else:
        whole = weights.read_bytes()
        weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    (finished / "tables" / "person_masks" / "all.parquet").unlink()
    outcome = run("run", "--home", str(finished), "--until", "person_masks")
    assert outcome.code == 1
    assert str(weights) in outcome.said
    assert ("could not be fetched" if damage == "missing" else "these weights are altered") in outcome.said


def test_a_wrong_row_in_a_reviewed_csv_stops_the_curated_photos(finished: Path, run: Run) -> None:
    snapshots = sorted((finished / "snapshots").iterdir())
    (finished / "review" / "reviewed" / "typo.csv").write_text("photo_id,decision\nflickr:1,kep\n")
    outcome = run("run", "--home", str(finished))
    assert outcome.code == 1
    assert "typo.csv, row 2: photo_id 'flickr:1': no photo of this id was ever listed" in outcome.said
    assert sorted((finished / "snapshots").iterdir()) == snapshots
    again = run("run", "--home", str(finished))
    assert again.code == 1
    (finished / "review" / "reviewed" / "typo.csv").unlink()
    assert run("run", "--home", str(finished)).code == 0


def test_doctor_names_each_thing_with_its_remedy(finished: Path, run: Run) -> None:
    outcome = run("doctor", "--home", str(finished))
    assert outcome.code == 0
    for what in ("project file", "disk", "Flickr", "weights of selfie", "GPU", "libraries"):
        assert what in outcome.said


def test_doctor_tells_a_driver_that_is_too_old_from_no_gpu(
    finished: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("pipeline.operations.doctor.DRIVER", tmp_path / "version")
    monkeypatch.setattr("pipeline.operations.doctor._has_driver_library", lambda: False)
    assert "days on a CPU" in run("doctor", "--home", str(finished)).said
    (tmp_path / "version").write_text("NVRM version: 470")
    assert "update the driver" in run("doctor", "--home", str(finished)).said


def test_doctor_misses_the_compiler_that_a_gpu_needs(
    finished: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.operations.doctor.DRIVER", tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "H200")
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda _: SimpleNamespace(total_memory=2**37))
    monkeypatch.setattr("pipeline.operations.doctor.C_COMPILERS", ("no-such-compiler",))
    assert "install a C compiler" in run("doctor", "--home", str(finished)).said
    (tmp_path / "some-cc").touch(mode=0o755)
    monkeypatch.setenv("CC", str(tmp_path / "some-cc"))
    said = run("doctor", "--home", str(finished)).said
    assert "H200, 128 GiB" in said
    assert "install a C compiler" not in said


def test_commands_are_those_that_are_announced() -> None:
    announced = (
        "demo run dev status doctor weights import forget duplicates review import-decisions mask-sheet snapshot lineage "
        "report compare benchmark train translate export-model publish-model emulator render-studio init refocus home"
    )
    assert sorted(cli.commands) == sorted(announced.split())


@pytest.mark.parametrize("group", [[], ["snapshot"], ["lineage"], ["home"]])
def test_an_overview_names_every_command_in_a_whole_line(group: list[str]) -> None:
    found = CliRunner().invoke(cli, [*group, "--help"], terminal_width=80)
    command = cli.commands[group[0]] if group else cli
    assert isinstance(command, click.Group)
    lines = [line.split(maxsplit=1) for line in found.output.splitlines() if line.startswith("  ")]
    told = {line[0]: line[1] for line in lines if line[0] in command.commands}
    assert told.keys() == command.commands.keys()
    assert all(words.endswith(".") and not words.endswith("...") for words in told.values()), told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("demo --accept-from 0.7", "--accept-from is about photos of your own: give --photographs as well"),
        ("train smoke --snapshot 0123 --seed 9223372036854775808", "is not in the range 0<=x<=9223372036854775807"),
        ("train smoke --snapshot 0123 --steps 9223372036854775808", "is not in the range 1<=x<=9223372036854775807"),
        ("run --plan --from 2024-13", "--from and --to are about months that queries cover, and no domain has a query"),
        ("forget folder:1 --home {home}/nowhere", "nowhere: there is no home here; --home names another"),
        ("run", "holds no photo yet: `bokehflow import FOLDER` brings your own"),
    ],
)
def test_what_has_nothing_to_work_on_is_said(tmp_path: Path, run: Run, words: str, said: str) -> None:
    (tmp_path / "bokehflow.toml").write_text("[domains.ordinary]\n[domains.shallow]\n")
    named = words.format(home=tmp_path).split()
    outcome = run(*named, *(() if "--home" in named else ("--home", str(tmp_path))))
    assert said in outcome.said
    assert outcome.code == (0 if words == "run" else 1)
    assert not (tmp_path / "nowhere").exists()


def test_photos_that_were_all_refused_are_not_said_to_be_missing(tmp_path: Path, run: Run) -> None:
    (tmp_path / "bokehflow.toml").write_text("[domains.ordinary]\n[domains.shallow]\n")
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "photos" / "small.png")
    home = ("--home", str(tmp_path))
    assert run("import", str(tmp_path / "photos"), "--domain", "ordinary", *home).code == 0
    assert f"1 photo came into {tmp_path}, and none is left: `bokehflow status` says why" in run("run", *home).said
    assert "too_small 1" in run("status", *home).said
