"""What past decisions teach: an order, never a decision."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.curation import ranking as ranking_module
from pipeline.curation.decisions import Decision
from pipeline.curation.ranking import FOLDS, SEED, folds, learn, learnt_from
from pipeline.tables import empty
from tests.pipeline.curation.worlds import FITTING, decision, fingerprints_of, hints_of, queue, unique_table

COUNT = 260


@pytest.fixture(scope="module")
def photos() -> pd.DataFrame:
    """Photos whose depth of field is drawn at random."""
    chance = np.random.default_rng(0)
    rows = [
        {**FITTING, "photo_id": f"flickr:{n}", "domain": "shallow", "group": f"flickr:{n}", "sha256": f"{n:064x}",
         "shallowness": float(chance.random()), "width_px": 640, "height_px": 480}
        for n in range(COUNT)
    ]  # fmt: skip
    known = fingerprints_of(range(COUNT)).set_index("sha256")
    return pd.DataFrame(rows).join(known, on="sha256")


@pytest.fixture(scope="module")
def decided(photos: pd.DataFrame) -> list[Decision]:
    """A curator who keeps what is shallow, with a slip here and there."""
    slips = np.random.default_rng(1).random(COUNT) < 0.03
    fits = (photos["shallowness"] > 0.6).to_numpy() ^ slips
    return [decision(n, "keep" if fit else "drop") for n, fit in enumerate(fits)]


def test_too_few_decisions_teach_nothing(photos: pd.DataFrame, decided: list[Decision]) -> None:
    assert learn(photos, decided[:199], learn_from=200) is None
    assert learn(photos, [decision(n, "keep") for n in range(COUNT)], learn_from=200) is None


def test_the_probability_follows_what_was_decided_and_its_accuracy_is_told(
    photos: pd.DataFrame, decided: list[Decision]
) -> None:
    ranking = learn(photos, decided[:220], learn_from=200)
    assert ranking is not None
    assert ranking.decisions == 220
    assert ranking.accuracy > 0.9 > ranking.baseline
    probability = ranking.probability(photos[220:])
    assert ((probability >= 0) & (probability <= 1)).all()
    shallow = (photos["shallowness"][220:] > 0.6).to_numpy()
    assert probability[shallow].mean() > 0.8
    assert probability[~shallow].mean() < 0.2
    again = learn(photos.sample(frac=1, random_state=3), decided[:220][::-1], learn_from=200)
    assert again is not None
    np.testing.assert_array_equal(again.probability(photos[220:]), probability)


def test_of_very_many_decisions_some_are_learnt_from_which_new_ones_hardly_change(
    photos: pd.DataFrame, decided: list[Decision], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking_module, "MOST", 200)
    first, shuffled = (learn(one, decided[:240], 200) for one in (photos, photos.sample(frac=1, random_state=3)))
    more = learn(photos, decided, learn_from=200)
    assert first is not None
    assert shuffled is not None
    assert more is not None
    assert first.decisions == more.decisions == 200
    assert first.accuracy > 0.85
    np.testing.assert_array_equal(first.probability(photos), shuffled.probability(photos))
    chosen = [set(learnt_from(photos[:count], photos["photo_id"])["photo_id"]) for count in (240, 260)]
    assert len(chosen[0] - chosen[1]) <= 20


def test_copies_of_one_picture_do_not_flatter_the_accuracy(photos: pd.DataFrame) -> None:
    chance = np.random.default_rng(2)
    verdicts = ["keep" if coin else "drop" for coin in chance.random(COUNT // 2) < 0.5]
    copies = photos.assign(
        group=[f"flickr:{n // 2 * 2}" for n in range(COUNT)],
        shallowness=np.repeat(photos["shallowness"].to_numpy()[: COUNT // 2], 2),
        phash=np.repeat(photos["phash"].to_numpy()[: COUNT // 2], 2),
    )
    ranking = learn(copies, [decision(n, verdicts[n // 2]) for n in range(COUNT)], learn_from=200)
    assert ranking is not None
    assert ranking.accuracy < 0.65


def test_the_queue_follows_the_probability_and_nothing_is_decided_by_it(
    tmp_path: Path, photos: pd.DataFrame, decided: list[Decision]
) -> None:
    ranking = learn(photos, decided, learn_from=200)
    hints = pd.concat(
        [hints_of([n], shallowness=value) for n, value in zip(range(10, 14), (0.05, 0.97, 0.9, 0.1), strict=True)]
    )
    table = queue(tmp_path, unique_table(range(10, 14)), empty("review_queue"), hints=hints, ranking=ranking)
    assert set(table.sort_values("position")["photo_id"][:2]) == {"flickr:11", "flickr:12"}
    assert table["probability"].notna().all()
    assert table["waiting"].all()


@pytest.mark.parametrize(("count", "names", "share"), [(60, 9, 0.5), (400, 30, 0.7), (500, 2000, 0.2), (700, 500, 0.6)])
def test_the_folds_are_those_of_scikit_learn(count: int, names: int, share: float) -> None:
    from sklearn.model_selection import StratifiedGroupKFold  # seconds, which only who runs this test pays

    chance = np.random.default_rng(count)
    labels, groups = chance.random(count) < share, pd.Series([f"flickr:{n}" for n in chance.integers(0, names, count)])
    told = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=SEED).split(labels, labels, groups.to_numpy(object))
    fold = folds(labels, groups)
    for number, (_, tested) in enumerate(told):
        np.testing.assert_array_equal(np.flatnonzero(fold == number), tested)
