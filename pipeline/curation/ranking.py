"""A small model of past decisions: how likely a photo is to be kept, to order the queue by. It never decides."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
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
        return self.model.predict_proba(features(photos, self.domains))[:, 1].round(4)


def learn(photos: pd.DataFrame, opinions: Sequence[Decision], learn_from: int) -> Ranking | None:
    """Learn from what people decided; None while there are fewer than `learn_from` decisions, or nearly all are alike.

    Of more than `MOST` decisions those are taken that the digest of their group puts first, so that new ones change few.

    `photos` has photo_id, domain, group, the hints, width_px, height_px, size_bytes and phash; one row a photo.
    Moved photos count as not kept: they did not fit where they were found.
    """
    kept = {word.photo_id: word.decision == "keep" for word in opinions}
    seen = _at_most(photos[among(photos["photo_id"], kept)].sort_values("photo_id", ignore_index=True))
    labels = seen["photo_id"].map(kept).to_numpy(bool)
    if len(seen) < learn_from or min(labels.sum(), (~labels).sum()) < MIN_OF_EACH:
        return None
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

    domains = tuple(sorted(photos["domain"].unique()))
    values = features(seen, domains)
    model = HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=6, min_samples_leaf=8, l2_regularization=1.0,
                                           random_state=SEED)  # fmt: skip
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=SEED)
    guesses = np.asarray(cross_val_predict(model, values, labels, groups=seen["group"].to_numpy(), cv=folds))
    accuracy, baseline = float(np.mean(guesses == labels)), float(max(labels.mean(), 1 - labels.mean()))
    return Ranking(model.fit(values, labels), domains, len(seen), round(accuracy, 4), round(baseline, 4))


def _at_most(seen: pd.DataFrame) -> pd.DataFrame:
    """What is learnt from, of photos in the order of their ids, in that order."""
    if len(seen) <= MOST:
        return seen
    digests = seen["group"].map(lambda group: sha256(str(group).encode()).digest())
    return seen.loc[np.sort(digests.sort_values(kind="stable").index[:MOST])]


def features(photos: pd.DataFrame, domains: Sequence[str]) -> np.ndarray:
    """float64 [photo, feature]: hints (or `UNKNOWN`), fingerprints (sizes and the 64 bits of the hash), domain."""
    hints = photos[list(NUMBERS)].astype(float).fillna(UNKNOWN).to_numpy()
    width, height = (photos[name].astype(float).to_numpy() for name in ("width_px", "height_px"))
    size = np.stack([width * height, width / height, photos["size_bytes"].astype(float) / (width * height)], axis=1)
    hashes = np.array([int(digits, 16) for digits in photos["phash"]], dtype=">u8")
    bits = np.unpackbits(hashes.view(np.uint8).reshape(-1, 8), axis=1)
    domain = photos["domain"].to_numpy()[:, None] == np.array(domains, dtype=object)[None, :]
    return np.concatenate([hints, size, bits, domain], axis=1).astype(float)
