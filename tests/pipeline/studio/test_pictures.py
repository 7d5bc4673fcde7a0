"""The committed pictures: complete, small, of the sizes planned; rendering goes on where it stopped."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.studio import pictures
from pipeline.studio.pictures import PICTURES, Shot, render_pictures, shots

BUDGET_BYTES = 10_000_000


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_every_picture_is_there_in_its_size_and_nothing_else() -> None:
    planned = {file: shot for shot in shots() for file in shot.files().values()}
    present = {path.relative_to(PICTURES).as_posix() for path in PICTURES.rglob("*") if path.is_file()}
    # Those of the studies of depth have a test of their own.
    assert {name for name in present if not name.startswith("depth/")} == set(planned)
    for file, shot in planned.items():
        with Image.open(PICTURES / file) as image:
            assert image.size == (shot.width_px, shot.height_px), file


def test_the_pictures_keep_their_budget() -> None:
    assert sum(path.stat().st_size for path in PICTURES.rglob("*") if path.is_file()) <= BUDGET_BYTES


def test_scenes_are_not_shared_between_groups() -> None:
    seeds = [shot.seed for shot in shots()]
    assert len(seeds) == len(set(seeds))


@pytest.mark.parametrize("group", ["ordinary", "shallow", "scoring"])
def test_masks_show_a_sitter(group: str) -> None:
    for shot in shots():
        if shot.group == group:
            mask = pixels(PICTURES / shot.files()["mask"])
            assert mask.dtype == np.uint8
            assert 0.08 < (mask / 255).mean() < 0.75, shot
            assert mask[0].mean() < 128, shot


def test_scoring_scenes_have_depth_in_millimetres_and_agree_on_the_sitter() -> None:
    for shot in (shot for shot in shots() if shot.group == "scoring"):
        views = {view: pixels(PICTURES / file).astype(float) for view, file in shot.files().items()}
        sitter, behind = views["mask"] == 255, views["mask"] == 0
        assert 400 < views["depth"][sitter].mean() < 1500, shot
        assert views["depth"][behind].mean() > 1.3 * views["depth"][sitter].mean(), shot
        difference = np.abs(views["sharp"] - views["shallow"]).mean(-1)
        assert difference[behind].mean() > 1.5 * difference[sitter].mean(), shot


def test_rendering_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mitsuba")
    few = [Shot("scoring", 7, 16, 12, ("mask", "depth")), Shot("empty", 8, 12, 16, ("sharp",), person=False)]
    monkeypatch.setattr(pictures, "shots", lambda: few)
    progress: list[tuple[int, int]] = []
    render_pictures(tmp_path, lambda done, total: progress.append((done, total)))
    assert progress == [(1, 2), (2, 2)]
    first = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    assert len(first) == 3
    (tmp_path / "scoring" / "7_depth.png").unlink()
    (tmp_path / "scoring" / "7_mask.png").write_bytes(b"kept as it is")
    render_pictures(tmp_path)
    assert (tmp_path / "scoring" / "7_depth.png").read_bytes() == first[tmp_path / "scoring" / "7_depth.png"]
    assert (tmp_path / "scoring" / "7_mask.png").read_bytes() == b"kept as it is"


@pytest.mark.slow
@pytest.mark.parametrize("group", ["ordinary", "shallow", "scoring"])
def test_a_committed_picture_is_what_is_rendered_anew(group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mitsuba")
    shot = next(shot for shot in shots() if shot.group == group)
    monkeypatch.setattr(pictures, "shots", lambda: [shot])
    render_pictures(tmp_path)
    for file in shot.files().values():
        anew, committed = (pixels(folder / file).astype(float) for folder in (tmp_path, PICTURES))
        assert np.abs(anew - committed).mean() < 0.5, file
