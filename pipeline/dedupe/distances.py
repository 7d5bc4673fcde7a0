"""How near the nearest other picture is: what helps to choose the radius."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from pipeline.dedupe.neighbours import collapse, pairs_between

LOOK_WITHIN_BITS = 14
SAMPLE_PICTURES = 500


def nearest_strangers(
    records: np.ndarray, component: Sequence[str] | np.ndarray, within_bits: int = LOOK_WITHIN_BITS
) -> dict[int, int]:
    """How many pictures of a sample have their nearest picture that is *not* a duplicate at each distance in bits.

    `records` has the store's dtype `RECORD`; pictures of one `component` are duplicates. Distances are those of the
    candidate search: a picture's hash, or its mirror image's, to any window of another. Pictures without one
    within `within_bits` are not counted. The sample is every k-th textured picture, in the order of their digests.
    """
    textured = np.flatnonzero(~records["is_flat"])
    if len(textured) < 2:
        return {}
    names = np.unique(np.asarray(component, dtype=object).astype(str), return_inverse=True)[1]
    order = textured[np.lexsort(records["sha256"][textured, :8].T[::-1])]
    sample = order[:: max(1, len(order) // SAMPLE_PICTURES)][:SAMPLE_PICTURES]
    windows, window_of = collapse(records["windows"][textured].ravel())
    owners = np.repeat(names[textured], records["windows"].shape[1])
    # A window's hash that several components share has no single owner; as its own it counts for none of them.
    low, high = np.full(len(windows), len(names)), np.full(len(windows), -1)
    np.minimum.at(low, window_of, owners)
    np.maximum.at(high, window_of, owners)
    queries = np.concatenate([records["windows"][sample, 0], records["mirrored"][sample]])
    asking, nearest = np.tile(names[sample], 2), np.full(2 * len(sample), within_bits + 1)
    for i, j, distance in pairs_between(queries, windows, within_bits):
        stranger = (low[j] != asking[i]) | (high[j] != asking[i])
        np.minimum.at(nearest, i[stranger], distance[stranger])
    closest = nearest.reshape(2, -1).min(axis=0)
    return {bits: int(count) for bits, count in enumerate(np.bincount(closest)[: within_bits + 1]) if count}


def duplicate_distances(distance_bits: Sequence[int]) -> dict[int, int]:
    """How many duplicates were found at each distance in bits."""
    return dict(sorted(Counter(map(int, distance_bits)).items()))
