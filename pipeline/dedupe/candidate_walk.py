"""The compiled part of `candidates`: loops over the graph of hashes that numpy cannot express.

`walk` and `_note` have more arguments than functions here have else, and `walk` is longer: numba takes arrays one by one,
and an object that holds them would cost a copy of its references at every call in the innermost loop.
"""

import numpy as np

from pipeline.compiling import compiled

SIDE_PX = 32
WINDOW_COUNT = 11


@compiled()
def walk(
    start: int,
    stop: int,
    settled: np.ndarray,
    group: np.ndarray,
    kept: np.ndarray,
    uniform: tuple,
    graph: tuple,
    windows: np.ndarray,
    small: np.ndarray,
    samples: np.ndarray,
    min_likeness: float,
    rank: np.ndarray,
    seen: np.ndarray,
    slot: np.ndarray,
    stamp: np.ndarray,
    out: np.ndarray,
) -> tuple[int, int, int]:
    """See `CandidateWalk.next`: the picture, how many candidates lie in `out`, and how many small pictures it took.

    Rows of `out` are: the other picture, whether mirrored, which of the two is seen through a window, the window, the
    distance in bits. `uniform` gives for each whole hash, window's hash and size a picture where all that share it
    are of one group, else −1: thousands of equal pictures are passed over at once.
    """
    nodes, whole_starts, wholes, window_starts, views, down_starts, down, up_starts, up, left, right, bits, sizes = graph[
        :13
    ]
    size_starts, same_size = graph[13:]
    uniform_whole, uniform_window, uniform_size = uniform
    looked_at = 0
    for picture in range(start, stop):
        if settled[picture] or nodes[picture, 0] < 0:
            continue
        found = 0
        stamp[0] += 1
        mine = group[picture]
        for flip in range(2):
            node = nodes[picture, flip]
            for place in range(down_starts[node], down_starts[node + 1]):
                edge = down[place]
                if uniform_window[right[edge]] >= 0 and group[uniform_window[right[edge]]] == mine:
                    continue
                for member in range(window_starts[right[edge]], window_starts[right[edge] + 1]):
                    other = views[member] // WINDOW_COUNT
                    if _asks(picture, other, settled, group, kept):
                        window = views[member] % WINDOW_COUNT
                        found = _note(
                            picture, other, flip, other, window, bits[edge], rank, seen, slot, stamp[0], out, found
                        )
        for window in range(WINDOW_COUNT):
            node = nodes[picture, 2 + window]
            for place in range(up_starts[node], up_starts[node + 1]):
                edge = up[place]
                if uniform_whole[left[edge]] >= 0 and group[uniform_whole[left[edge]]] == mine:
                    continue
                for member in range(whole_starts[left[edge]], whole_starts[left[edge] + 1]):
                    other, flip = wholes[member] // 2, wholes[member] % 2
                    if _asks(picture, other, settled, group, kept):
                        found = _note(
                            picture, other, flip, picture, window, bits[edge], rank, seen, slot, stamp[0], out, found
                        )
        size = sizes[picture]
        if size >= 0 and not (uniform_size[size] >= 0 and group[uniform_size[size]] == mine):
            for member in range(size_starts[size], size_starts[size + 1]):
                other = same_size[member]
                if _asks(picture, other, settled, group, kept):
                    distance = _bits(windows[picture, 0] ^ windows[other, 0])
                    found = _note(picture, other, 0, other, 0, distance, rank, seen, slot, stamp[0], out, found)
        looked_at += found
        found = _keep_alike(picture, small, samples, min_likeness, out, found)
        if found:
            return picture, found, looked_at
    return stop, 0, looked_at


@compiled(inline="always")
def _asks(picture: int, other: int, settled: np.ndarray, group: np.ndarray, kept: np.ndarray) -> bool:
    if other <= picture or settled[other] or group[other] == group[picture]:
        return False
    return not (kept[picture] and kept[other])


@compiled()
def _note(
    picture: int,
    other: int,
    flip: int,
    windowed: int,
    window: int,
    distance: int,
    rank: np.ndarray,
    seen: np.ndarray,
    slot: np.ndarray,
    stamp: int,
    out: np.ndarray,
    found: int,
) -> int:
    """Keep the nearest way in which two pictures match; of equally near ones the same, whichever picture asks."""
    if seen[other, flip] != stamp:
        seen[other, flip], slot[other, flip] = stamp, found
        out[found, 0], out[found, 1], out[found, 2], out[found, 3], out[found, 4] = other, flip, windowed, window, distance
        return found + 1
    row = slot[other, flip]
    before = (out[row, 4], out[row, 3], rank[out[row, 2]])
    if (distance, window, rank[windowed]) < before:
        out[row, 2], out[row, 3], out[row, 4] = windowed, window, distance
    return found


@compiled()
def _keep_alike(
    picture: int, small: np.ndarray, samples: np.ndarray, min_likeness: float, out: np.ndarray, found: int
) -> int:
    kept = 0
    for row in range(found):
        other, windowed = out[row, 0], out[row, 2]
        whole = picture if windowed == other else other
        if likeness(small[whole], small[windowed], samples[out[row, 3]], out[row, 1] == 1) >= min_likeness:
            for column in range(5):
                out[kept, column] = out[row, column]
            kept += 1
    return kept


@compiled(fastmath=True)
def likeness(whole: np.ndarray, windowed: np.ndarray, samples: np.ndarray, flip: bool) -> float:
    """Correlation in [-1, 1] of one small picture, flipped or not, with what the window shows of another.

    Without the outermost pixels: where a border begins a little off the window, its rest would outweigh all else.
    """
    sum_a = sum_b = sum_aa = sum_bb = sum_ab = np.float32(0)
    for y in range(1, SIDE_PX - 1):
        row, down = int(samples[1, y, 0]), samples[1, y, 1]
        for x in range(1, SIDE_PX - 1):
            column, across = int(samples[0, x, 0]), samples[0, x, 1]
            upper = windowed[row, column] * (1 - across) + windowed[row, column + 1] * across
            lower = windowed[row + 1, column] * (1 - across) + windowed[row + 1, column + 1] * across
            b = np.float32(upper * (1 - down) + lower * down)
            a = np.float32(whole[y, SIDE_PX - 1 - x if flip else x])
            sum_a += a
            sum_b += b
            sum_aa += a * a
            sum_bb += b * b
            sum_ab += a * b
    count = np.float32((SIDE_PX - 2) * (SIDE_PX - 2))
    spread = (sum_aa - sum_a * sum_a / count) * (sum_bb - sum_b * sum_b / count)
    return (sum_ab - sum_a * sum_b / count) / np.sqrt(spread) if spread > 0 else 0.0


@compiled()
def _bits(value: np.uint64) -> int:
    count = 0
    while value:
        value = value & (value - np.uint64(1))
        count += 1
    return count
