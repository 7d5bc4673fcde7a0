"""A small model of past decisions: how likely a photo is to be kept, to order the queue by. It never decides."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import sqrt
from typing import Any

import numpy as np
import pandas as pd

from pipeline.curation.decisions import Decision
from pipeline.hint_table import NUMBERS
from pipeline.tables import among

FOLDS = 5
MIN_OF_EACH = 20
"""Fewer photos kept, or not kept, are too few to learn from, however many decisions there are."""
MOST = 20_000
"""Decisions that are learnt from at most, so that the time does not grow with the collection."""
AT_ONCE = 50_000
"""Photos whose features, 700 bytes each, are in memory at once."""
SEED = 0
UNKNOWN = -1.0
"""Stands for a hint that is null: outside the range of all of them."""


@dataclass(frozen=True)
class Ranking:
    """A learnt model with how well it did on photos that it had not seen.

    `accuracy` is cross-validated over groups of duplicates, `baseline` what always answering the commoner way gives.
    """

    model: Any
    domains: tuple[str, ...]
    decisions: int
    accuracy: float
    baseline: float

    def probability(self, photos: pd.DataFrame) -> np.ndarray:
        """That each photo will be kept, in [0, 1]; `photos` as `learn` takes them."""
        parts = (photos.iloc[start : start + AT_ONCE] for start in range(0, len(photos), AT_ONCE))
        chances = [self.model.predict_proba(features(part, self.domains))[:, 1] for part in parts]
        return np.concatenate([np.empty(0), *chances]).round(4)


def learn(photos: pd.DataFrame, opinions: Sequence[Decision], learn_from: int) -> Ranking | None:
    """Learn from what people decided; None while there are fewer than `learn_from` decisions, or nearly all are alike.

    `photos` are those of `learnt_from`, or more; they have photo_id, domain, group, the hints, width_px, height_px,
    size_bytes and phash; one row a photo.
    Moved photos count as not kept: they did not fit where they were found.
    """
    kept = {word.photo_id: word.decision == "keep" for word in opinions}
    seen = learnt_from(photos, kept)
    labels = seen["photo_id"].map(kept).to_numpy(bool)
    if len(seen) < learn_from or min(labels.sum(), (~labels).sum()) < MIN_OF_EACH:
        return None
    domains = tuple(sorted(photos["domain"].unique()))
    values = features(seen, domains)
    fold = folds(labels, seen["group"])
    guesses = np.empty(len(seen), bool)
    for number in range(FOLDS):
        is_test = fold == number
        guesses[is_test] = _model().fit(values[~is_test], labels[~is_test]).predict(values[is_test])
    accuracy, baseline = float(np.mean(guesses == labels)), float(max(labels.mean(), 1 - labels.mean()))
    return Ranking(_model().fit(values, labels), domains, len(seen), round(accuracy, 4), round(baseline, 4))


def learnt_from(photos: pd.DataFrame, decided: Collection[str]) -> pd.DataFrame:
    """The rows of decided photos that are learnt from, in the order of their ids.

    Of more than `MOST` those that the digest of their group puts first, so that new ones change few.
    """
    seen = photos[among(photos["photo_id"], decided)].sort_values("photo_id", ignore_index=True)
    if len(seen) <= MOST:
        return seen
    digests = seen["group"].map(lambda group: sha256(str(group).encode()).digest())
    return seen.loc[np.sort(digests.sort_values(kind="stable").index[:MOST])]


def _model() -> Any:  # noqa: ANN401 (scikit-learn is imported where somebody learns)
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=60, max_leaf_nodes=6, min_samples_leaf=8, l2_regularization=1.0, random_state=SEED
    )


def folds(labels: np.ndarray, groups: pd.Series) -> np.ndarray:
    """For each photo the fold in which it is guessed; photos of a group share one, and the kept are spread evenly.

    The very folds of scikit-learn's `StratifiedGroupKFold(FOLDS, shuffle=True, random_state=SEED)`, in a hundredth of the
    time: that calls numpy ten times for each fold and group.
    """
    names, number_of = np.unique(groups.to_numpy(object), return_inverse=True)
    shuffled = np.arange(len(names))
    np.random.RandomState(SEED).shuffle(shuffled)
    counts = np.zeros((len(names), 2))
    np.add.at(counts, (number_of, labels.astype(int)), 1)
    counts = counts[shuffled]
    fold = np.empty(len(names), np.int64)
    held = [[0.0, 0.0] for _ in range(FOLDS)]
    totals = np.bincount(labels, minlength=2).tolist()
    for place in np.argsort(-np.std(counts, axis=1), kind="stable").tolist():
        dropped, kept = counts[place].tolist()
        best = _best_fold(held, totals, dropped, kept)
        held[best] = [held[best][0] + dropped, held[best][1] + kept]
        fold[shuffled[place]] = best
    return fold[number_of]


def _best_fold(held: Sequence[Sequence[float]], totals: Sequence[float], dropped: float, kept: float) -> int:
    """The fold with which the shares of both classes differ least over the folds; of equal ones the smallest."""
    shares = [[fold[label] / totals[label] for fold in held] for label in (0, 1)]
    best, least, fewest = 0, np.inf, np.inf
    for number, fold in enumerate(held):
        spread, size = 0.0, fold[0] + fold[1]
        for own, held_of_label, more, total in zip(shares, fold, (dropped, kept), totals, strict=True):
            before, own[number] = own[number], (held_of_label + more) / total
            spread += _spread(own)
            own[number] = before
        spread /= 2
        is_equal = abs(spread - least) <= 1e-8 + 1e-5 * least < np.inf
        if spread < least or (is_equal and size < fewest):
            best, least, fewest = number, spread, size
    return best


def _spread(shares: Sequence[float]) -> float:
    """Standard deviation, added up as numpy does, one after the other; `sum` does not in every Python."""
    total = squares = 0.0
    for share in shares:
        total += share
    mean = total / FOLDS
    for share in shares:
        squares += (share - mean) * (share - mean)
    return sqrt(squares / FOLDS)


def features(photos: pd.DataFrame, domains: Sequence[str]) -> np.ndarray:
    """float64 [photo, feature]: hints (or `UNKNOWN`), fingerprints (sizes and the 64 bits of the hash), domain."""
    hints = photos[list(NUMBERS)].astype(float).fillna(UNKNOWN).to_numpy()
    width, height = (photos[name].astype(float).to_numpy() for name in ("width_px", "height_px"))
    size = np.stack([width * height, width / height, photos["size_bytes"].astype(float) / (width * height)], axis=1)
    hashes = np.array([int(digits, 16) for digits in photos["phash"].tolist()], dtype=">u8")
    bits = np.unpackbits(hashes.view(np.uint8).reshape(-1, 8), axis=1)
    domain = photos["domain"].to_numpy()[:, None] == np.array(domains, dtype=object)[None, :]
    return np.concatenate([hints, size, bits, domain], axis=1).astype(float)
