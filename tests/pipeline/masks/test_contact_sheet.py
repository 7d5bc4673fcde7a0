"""The contact sheet: what is chosen for it, and what it shows."""

import numpy as np
import pandas as pd

from pipeline.masks.contact_sheet import CAPTION_PX, COLUMNS, OUTLINE, TILE_PX, SheetTile, choose, draw_sheet, facts_of


def table(count: int) -> pd.DataFrame:
    frame = pd.DataFrame({"photo_id": [f"flickr:{n}" for n in range(count)], "coverage": 0.4, "runner_up": 0.0})
    return frame.assign(reason=None, mask="m")


def test_the_sample_is_the_same_whatever_the_order_and_spread_over_everything() -> None:
    chosen = choose(table(400), 40, odd=False)["photo_id"].tolist()
    assert choose(table(400).sample(frac=1, random_state=1), 40, odd=False)["photo_id"].tolist() == chosen
    numbers = [int(photo_id.split(":")[1]) for photo_id in chosen]
    assert len(numbers) == 40
    assert 120 < np.mean(numbers) < 280


def test_what_asks_for_a_look_comes_first_by_how_much() -> None:
    rows = table(5)
    rows.loc[1, "runner_up"], rows.loc[2, "reason"], rows.loc[3, "runner_up"], rows.loc[4, "coverage"] = (
        0.6, "no_subject", 0.9, 0.95,
    )  # fmt: skip
    assert choose(rows, 10, odd=True)["photo_id"].tolist() == ["flickr:2", "flickr:3", "flickr:1", "flickr:4"]
    assert list(choose(rows[:0], 10, odd=True).columns) == list(rows.columns)


def test_a_sheet_shows_the_outline_and_what_is_cut_out() -> None:
    rgb, alpha = np.full((100, 200, 3), (200, 30, 30), np.uint8), np.zeros((100, 200), np.uint8)
    alpha[:, :100] = 255
    sheet = np.asarray(draw_sheet([SheetTile(rgb, alpha, "a", "b")] * 6 + [SheetTile(rgb, None, "c", "no_subject")]))
    assert sheet.shape == (2 * (TILE_PX + CAPTION_PX + 8), COLUMNS * (2 * TILE_PX + 8), 3)
    left, right = sheet[4 : 4 + 100, 4 : 4 + TILE_PX], sheet[4 : 4 + 100, 4 + TILE_PX : 4 + 2 * TILE_PX]
    assert (left[50, 90:110] == OUTLINE).all(axis=-1).any()
    assert (right[50, 10] == (200, 30, 30)).all()
    assert np.ptp(right[50, 150]) == 0


def test_facts_in_words() -> None:
    assert facts_of(0.42, 1, 0.0, None) == "42% of the frame, 1 person"
    assert facts_of(0.01, 3, 0.8, "no_subject") == "no_subject, 1% of the frame, 3 people, second 80%"
    assert facts_of(0.5, None, None, None) == "50% of the frame"
