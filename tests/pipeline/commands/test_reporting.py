"""`bokehflow report`, as a person types it."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.config import load_project
from pipeline.dataset.snapshot import freeze
from pipeline.errors import DatasetError
from pipeline.evaluation.people.choices import COLUMNS, shown_to
from pipeline.operations.comparing import Compare, pictures_of
from pipeline.operations.reports import report_inputs
from storage import Home
from tests.judged_world import judge, judged_home, train
from tests.pipeline.dataset.frozen_world import World

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def place(tmp_path: Path) -> tuple[Home, World]:
    return judged_home(tmp_path / "home")


@pytest.fixture
def run(place: tuple[Home, World], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command in this process; returns the exit code and what it printed and said."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["bokehflow", "report", *arguments, "--home", str(place[0].root)])
        code, said = 0, ""
        try:
            main()
        except SystemExit as stop:
            code, said = 1, str(stop.code)
        captured = capsys.readouterr()
        return code, captured.out, captured.err + said

    return call


def model(home: Home, snapshot: str, recipe: str, ssim: float = 0.95, sharpness: float = 0.6, yardstick: str = "") -> None:
    train(home, snapshot, recipe)
    judge(home, snapshot, recipe, ssim, sharpness, yardstick)


def without_date(path: Path) -> str:
    return re.sub(r"\d{4}-\d\d-\d\d", "DATE", path.read_text(encoding="utf-8"))


def test_it_writes_the_report_of_the_newest_judged_snapshot(place: tuple[Home, World], run: Run) -> None:
    home, world = place
    snapshot = world.freeze(range(1, 60))
    model(home, snapshot, "cyclegan@0")
    world.freeze(range(1, 40))
    code, printed, _ = run()
    path = home.reports / snapshot / "index.html"
    assert (code, printed.strip()) == (0, str(path))
    text = path.read_text(encoding="utf-8")
    assert f"{snapshot}-cyclegan-0" in text
    assert "c0de" in text


def test_again_it_is_the_same_but_for_its_date(place: tuple[Home, World], run: Run, tmp_path: Path) -> None:
    home, world = place
    snapshot = world.freeze(range(1, 60))
    model(home, snapshot, "cyclegan@0")
    model(home, snapshot, "mask_loss@0", 0.97)
    for name in ("first.html", "second.html"):
        assert run(snapshot[:6], "--output", str(tmp_path / name))[0] == 0
    assert without_date(tmp_path / "first.html") == without_date(tmp_path / "second.html")


def test_models_of_several_snapshots_stand_side_by_side(place: tuple[Home, World], run: Run) -> None:
    home, world = place
    first, second = world.freeze(range(1, 80)), world.freeze(range(5, 90))
    for snapshot in (first, second):
        model(home, snapshot, "cyclegan@0")
    code, printed, _ = run(first, "--compare", second)
    assert code == 0
    path = Path(printed.strip())
    assert path == home.reports / f"{first}+{second}" / "index.html"
    text = path.read_text(encoding="utf-8")
    assert f"cyclegan@0·{first[:6]} − cyclegan@0·{second[:6]}" in text
    assert "The snapshots have different test sets" in text


def test_what_is_not_in_it_is_said(place: tuple[Home, World], run: Run) -> None:
    home, world = place
    snapshot = world.freeze(range(1, 60))
    model(home, snapshot, "cyclegan@0")
    train(home, snapshot, "mask_loss@0")
    assert "not in the report: mask_loss@0 is trained and not evaluated" in run()[2]
    (home.runs / f"{snapshot}-mask_loss-0" / "complete.json").unlink()
    assert "not in the report: mask_loss@0 is not trained to its end" in run()[2]


def test_models_judged_by_unlike_yardsticks_never_stand_side_by_side(place: tuple[Home, World], run: Run) -> None:
    home, world = place
    snapshot, other = world.freeze(range(1, 60)), world.freeze(range(5, 90))
    model(home, snapshot, "cyclegan@0", yardstick="old")
    model(home, snapshot, "mask_loss@0", 0.97, yardstick="new")
    model(home, other, "cyclegan@0", yardstick="old")
    code, printed, said = run(snapshot)
    assert code == 0
    assert f"bokehflow train cyclegan --seed 0 --snapshot {snapshot}" in said
    text = Path(printed.strip()).read_text(encoding="utf-8")
    assert f"{snapshot}-mask_loss-0" in text
    assert f"{snapshot}-cyclegan-0" not in text
    refused = run(snapshot, "--compare", other)
    assert refused[0] == 1
    assert f"snapshot {other} has no evaluated model to compare with: cyclegan@0 was judged by other" in refused[2]
    judge(home, snapshot, "cyclegan@0", 0.95, 0.6, yardstick="new")
    assert "not in the report" not in run(snapshot)[2]


def test_an_old_report_shows_the_funnel_of_its_snapshot(place: tuple[Home, World], run: Run) -> None:
    home, world = place
    counts = {
        "ordinary": {
            "listed": 4321, "pending": 0, "rejected": {}, "downloaded": 4321, "duplicates": {}, "queued": 4321,
            "undecided": 0, "kept": 4321, "moved": 0, "dropped": {},
        }
    }  # fmt: skip
    manifest = world.manifest(world.images(range(1, 60)))
    snapshot = freeze(manifest, world.snapshots, world.shards, {"counts": counts}).name
    model(home, snapshot, "cyclegan@0")
    _, printed, _ = run(snapshot)
    assert "4321" in Path(printed.strip()).read_text(encoding="utf-8")


def test_bad_input_is_named(place: tuple[Home, World], run: Run) -> None:
    home, world = place
    assert run()[0] == 1
    assert "no snapshot has an evaluated model" in run()[2]
    assert "there is no snapshot 0123" in run("0123")[2]
    snapshot, other = world.freeze(range(1, 60)), world.freeze(range(1, 40))
    assert f"snapshot {snapshot} has no evaluated model" in run(snapshot)[2]
    model(home, snapshot, "cyclegan@0")
    assert f"snapshot {other} has no evaluated model to compare with" in run(snapshot, "--compare", other)[2]
    assert not (home.reports / other).exists()


def test_the_leaderboard_shows_every_model_and_what_it_was_judged_by(place: tuple[Home, World], run: Run) -> None:
    home, world = place
    first, second = world.freeze(range(1, 60)), world.freeze(range(1, 40))
    model(home, first, "cyclegan@0")
    model(home, first, "mask_loss@0", ssim=0.97)
    model(home, second, "cyclegan@0", yardstick="older")
    train(home, second, "mask_loss@0")
    judge(home, second, "mask_loss@0", 0.9, 0.5, "other")
    code, printed, _ = run("--all")
    assert (code, printed.strip()) == (0, str(home.reports / "all" / "index.html"))
    text = (home.reports / "all" / "index.html").read_text(encoding="utf-8")
    tables = text.split("<table")[1:]
    assert [table.count('<tr class="model') for table in tables] in ([2, 1, 1], [1, 1, 2])
    assert text.count(first) >= 2
    assert "older" in text
    assert re.search(r'0\.9[57]0?<span class="spread">0\.9', text)
    assert "flickr:" in text, "photos are credited"


def test_the_leaderboard_says_what_it_cannot_show(place: tuple[Home, World], run: Run) -> None:
    home, world = place
    snapshot = world.freeze(range(1, 60))
    assert run("--all")[0] == 1
    model(home, snapshot, "cyclegan@0")
    model(home, snapshot, "mask_loss@0")
    (home.runs / f"{snapshot}-mask_loss-0" / "model.json").unlink()
    code, _, said = run("--all", snapshot)
    assert code == 1
    assert "leave SNAPSHOT" in said
    assert run("--all")[0] == 0
    text = (home.reports / "all" / "index.html").read_text(encoding="utf-8")
    assert f"Not shown: mask_loss@0 on {snapshot}" in text


def test_what_people_said_stands_in_the_report(
    place: tuple[Home, World], run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    home, world = place
    snapshot = world.freeze(range(1, 60))
    for name, ssim in (("cyclegan@0", 0.95), ("mask_loss@0", 0.97)):
        model(home, snapshot, name, ssim)
    project = load_project(home.root / "bokehflow.toml")
    shown = Compare(snapshot, pictures_of(report_inputs(project, home, snapshot)), home.comparisons)
    for judge_name in ("ada", "ben"):
        for number, one in enumerate(shown_to(shown.pairs, judge_name, 0)):
            better = "left" if one.left == "mask_loss@0" or one.right == "cyclegan@0" else "right"
            shown.answer(judge_name, number, {"aperture": better, "person": "same"})
    strange = f"{snapshot},flickr:404,<b>,x,aperture,left,<script>,0,0,\n"
    (home.comparisons / "of-others.csv").write_text(",".join(COLUMNS) + "\n" + strange)
    assert run()[0] == 0
    assert "not counted: 1 answers about photos" in caplog.text
    text = (home.reports / snapshot / "index.html").read_text(encoding="utf-8")
    section = text.split('id="people"')[1].split('id="numbers"')[0]
    order = re.findall(
        r'<th scope="row">(?:<span.*?</span>&nbsp;<a[^>]*>)?([^<]*)', section.split("</table>")[0].replace("<wbr>", "")
    )
    assert order == ["mask_loss@0", "Input, unchanged", "cyclegan@0"]
    assert "ada gives the answer of most others in 100%" in section
    assert "of 2 times" in section or "of 3 times" in section


def test_compare_says_what_it_lacks(place: tuple[Home, World], run: Run) -> None:
    home, world = place
    model(home, snapshot := world.freeze(range(1, 60)), "cyclegan@0")
    inputs = report_inputs(load_project(home.root / "bokehflow.toml"), home, snapshot)
    with pytest.raises(DatasetError, match="no pictures of phone; there are those of cyclegan@0, input"):
        pictures_of(inputs, ["phone"])
    with pytest.raises(DatasetError, match="two methods"):
        pictures_of(inputs, ["input"])
