"""Loops over the pixels of a picture, compiled by numba on first use and kept in its cache.

What takes NumPy a dozen passes over memory is done here in one. Apart from those who call them, since importing numba takes
longer than many a command. Pictures are contiguous.
"""

import numpy as np

from pipeline.compiling import compiled


@compiled()
def dilated(region: np.ndarray, radius_px: int) -> np.ndarray:
    """The region, bool [height, width], with everything that is no farther from it than the radius; nothing comes from
    beyond the frame."""
    height, width = region.shape
    far = np.uint16(radius_px + 1)
    across = np.empty((height, width), np.uint16)  # to the nearest of the region in the same row
    for y in range(height):
        row, line, steps = across[y], region[y], far
        for x in range(width):
            steps = np.uint16(0) if line[x] else min(far, np.uint16(steps + 1))
            row[x] = steps
        steps = far
        for x in range(width - 1, -1, -1):
            steps = np.uint16(0) if line[x] else min(far, np.uint16(steps + 1))
            row[x] = min(row[x], steps)
    out = np.zeros((height, width), np.bool_)
    for down in range(-radius_px, radius_px + 1):
        reach = 0
        while (reach + 1) ** 2 + down**2 <= radius_px**2:
            reach += 1
        within = np.uint16(reach)
        for y in range(max(0, -down), min(height, height - down)):
            target, row = out[y], across[y + down]
            for x in range(width):
                target[x] |= row[x] <= within
    return out


@compiled()
def mean_laplacian(grey: np.ndarray, region: np.ndarray) -> float:
    """Mean |Laplacian| of the four neighbours within a region; the frame's pixels are repeated outwards.

    `grey` is float32 [height, width], `region` bool and not empty.
    """
    height, width = grey.shape
    total, count = 0.0, 0
    for y in range(height):
        up, here, down, inside = grey[max(y - 1, 0)], grey[y], grey[min(y + 1, height - 1)], region[y]
        for x in range(width):
            if inside[x]:
                total += abs(up[x] + down[x] + here[max(x - 1, 0)] + here[min(x + 1, width - 1)] - np.float32(4) * here[x])
                count += 1
    return total / count


@compiled()
def mean_local_contrast(grey: np.ndarray, region: np.ndarray, side_px: int) -> float:
    """Mean standard deviation of the region's pixels in square windows around each of them.

    `grey` is float32 [height, width], `region` bool and not empty. A window's sums are differences of sums along the row, in
    64 bits.
    """
    height, width = grey.shape
    before = side_px // 2  # a window of even size reaches one pixel farther up and left, as OpenCV's
    after = side_px - before
    number, levels, squares = np.zeros(width), np.zeros(width), np.zeros(width)
    until = np.zeros((3, width + side_px))  # sums of the columns up to each, and beyond the frame as at its edge
    deviations, total, count = np.empty(width), 0.0, 0
    for entering in range(height + after - 1):
        if entering < height:
            _add(grey[entering], region[entering], 1.0, number, levels, squares)
        if entering - side_px >= 0:
            _add(grey[entering - side_px], region[entering - side_px], -1.0, number, levels, squares)
        y = entering - after + 1
        if y < 0:
            continue
        n, s, q = 0.0, 0.0, 0.0
        for x in range(width):
            n, s, q = n + number[x], s + levels[x], q + squares[x]
            until[0, before + 1 + x], until[1, before + 1 + x], until[2, before + 1 + x] = n, s, q
        until[0, before + 1 + width :], until[1, before + 1 + width :], until[2, before + 1 + width :] = n, s, q
        for x in range(width):
            share = 1.0 / max(until[0, x + side_px] - until[0, x], 1.0)
            mean = (until[1, x + side_px] - until[1, x]) * share
            deviations[x] = np.sqrt(max((until[2, x + side_px] - until[2, x]) * share - mean * mean, 0.0))
        total += _sum_inside(deviations, region[y])
        count += np.count_nonzero(region[y])
    return total / count


@compiled(fastmath={"reassoc", "nsz"})
def _sum_inside(values: np.ndarray, inside: np.ndarray) -> float:
    """Of a row's values, where they are in the region."""
    total = 0.0
    for x in range(values.shape[0]):
        total += values[x] if inside[x] else 0.0
    return total


@compiled()
def _add(
    grey: np.ndarray, region: np.ndarray, sign: float, number: np.ndarray, levels: np.ndarray, squares: np.ndarray
) -> None:
    """Add a row's pixels of the region to the sums of each column, or take them away."""
    for x in range(grey.shape[0]):
        inside = sign if region[x] else 0.0
        level = np.float64(grey[x])
        number[x] += inside
        levels[x] += inside * level
        squares[x] += inside * level * level


@compiled()
def planes(rgb: np.ndarray, border_px: int) -> np.ndarray:
    """Levels in [0, 1] of uint8 [height, width, 3] as float32 [3, height + 2·border, width + 2·border], mirrored at the
    frame, whose pixels are repeated."""
    height, width, _ = rgb.shape
    out = np.empty((3, height + 2 * border_px, width + 2 * border_px), np.float32)
    full = np.float32(255)
    for y in range(height + 2 * border_px):
        line = rgb[_mirrored(y - border_px, height)]
        for channel in range(3):
            row = out[channel, y]
            for x in range(width):
                row[x + border_px] = np.float32(line[x, channel]) / full
            for x in range(border_px):
                row[x] = row[_mirrored(x - border_px, width) + border_px]
                row[width + border_px + x] = row[_mirrored(width + x, width) + border_px]
    return out


@compiled()
def _mirrored(at: int, length: int) -> int:
    """… 1 0 | 0 1 … n-1 | n-1 n-2 …"""
    at %= 2 * length
    return at if at < length else 2 * length - 1 - at


@compiled(fastmath={"contract", "reassoc", "nsz"})
def largest_gradient(levels: np.ndarray, border_px: int, smooth: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """The largest gradient magnitude of three channels, float32 [height, width].

    `levels` are `planes`; `smooth` is half a symmetric kernel and `slope` half an antisymmetric one, float32 from the middle
    on, whose radius is `border_px` at most.
    """
    _, tall, wide = levels.shape
    height, width, radius = tall - 2 * border_px, wide - 2 * border_px, smooth.shape[0] - 1
    best = np.zeros((height, width), np.float32)
    smoothed, sloped = np.empty((tall, width), np.float32), np.empty((tall, width), np.float32)
    across, down = np.empty(width, np.float32), np.empty(width, np.float32)
    for channel in range(3):
        for y in range(border_px - radius, tall - border_px + radius):
            row, soft, steep = levels[channel, y], smoothed[y], sloped[y]
            for x in range(width):
                soft[x] = smooth[0] * row[x + border_px]
                steep[x] = np.float32(0)
            for step in range(1, radius + 1):
                a, b = smooth[step], slope[step]
                left, right = (
                    row[border_px - step : border_px - step + width],
                    row[border_px + step : border_px + step + width],
                )
                for x in range(width):
                    soft[x] += a * (right[x] + left[x])
                    steep[x] += b * (right[x] - left[x])
        for y in range(height):
            middle, target = y + border_px, best[y]
            for x in range(width):
                across[x] = smooth[0] * sloped[middle, x]
                down[x] = np.float32(0)
            for step in range(1, radius + 1):
                a, b = smooth[step], slope[step]
                steep_up, steep_down = sloped[middle - step], sloped[middle + step]
                soft_up, soft_down = smoothed[middle - step], smoothed[middle + step]
                for x in range(width):
                    across[x] += a * (steep_down[x] + steep_up[x])
                    down[x] += b * (soft_down[x] - soft_up[x])
            for x in range(width):
                target[x] = max(target[x], across[x] * across[x] + down[x] * down[x])
    for y in range(height):
        for x in range(width):
            best[y, x] = np.sqrt(best[y, x])
    return best


@compiled()
def edge_ratios(fine: np.ndarray, coarse: np.ndarray, region: np.ndarray, visible: np.float32) -> np.ndarray:
    """`fine / coarse` where a region's edges can be seen, float32, one after the other."""
    found, count, least = np.empty(fine.size, np.float32), 0, np.float32(1e-4)
    for y in range(fine.shape[0]):
        for x in range(fine.shape[1]):
            if region[y, x] and fine[y, x] > visible:
                found[count] = fine[y, x] / (coarse[y, x] + least)
                count += 1
    return found[:count]


@compiled()
def quantile(values: np.ndarray, share: float) -> float:
    """What so large a share of the values lies below, between two of them in proportion. They are float32, none below 0.

    Bits of such numbers are in their order: of the value at the place the first 12 are found by counting, then the others.
    """
    bits = values.ravel().view(np.uint32)
    place = share * (bits.size - 1)
    left, found, equal = np.int64(place), np.uint64(0), np.int64(0)
    for shift, digits in ((20, 12), (10, 10), (0, 10)):
        counts = np.zeros(1 << digits, np.int64)
        for value in bits:
            if np.uint64(value) >> np.uint64(shift + digits) == found:
                counts[(value >> np.uint32(shift)) & np.uint32((1 << digits) - 1)] += 1
        digit = 0
        while left >= counts[digit]:
            left -= counts[digit]
            digit += 1
        found, equal = found << np.uint64(digits) | np.uint64(digit), counts[digit]
    low, high = np.uint32(found), np.uint32(0xFFFFFFFF)
    if left + 1 < equal:
        high = low
    else:
        for value in bits:
            if value > low:
                high = min(high, value)
    ends = np.array([low, low if high == np.uint32(0xFFFFFFFF) else high], np.uint32).view(np.float32)
    return ends[0] + (np.float64(ends[1]) - ends[0]) * (place - np.floor(place))


@compiled(fastmath={"contract", "reassoc", "nsz"})
def tint_sums(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The normal equations of two opponent colours as quadratics in luma: [3, 3] and [3, 2], float64.

    `levels` are `planes` without a border.
    """
    powers, right = np.zeros(5), np.zeros((3, 2))
    for y in range(levels.shape[1]):
        p1 = p2 = p3 = p4 = a0 = a1 = a2 = b0 = b1 = b2 = 0.0
        for x in range(levels.shape[2]):
            luma, first, second = _colours(levels, y, x)
            luma, first, second = np.float64(luma), np.float64(first), np.float64(second)
            square = luma * luma
            p1, p2, p3, p4 = p1 + luma, p2 + square, p3 + square * luma, p4 + square * square
            a0, a1, a2 = a0 + first, a1 + first * luma, a2 + first * square
            b0, b1, b2 = b0 + second, b1 + second * luma, b2 + second * square
        for degree, power in enumerate((np.float64(levels.shape[2]), p1, p2, p3, p4)):
            powers[degree] += power
        for degree, (of_first, of_second) in enumerate(((a0, b0), (a1, b1), (a2, b2))):
            right[degree, 0] += of_first
            right[degree, 1] += of_second
    left = np.empty((3, 3))
    for row in range(3):
        for column in range(3):
            left[row, column] = powers[row + column]
    return left, right


@compiled()
def tint_distances(levels: np.ndarray, tint: np.ndarray) -> np.ndarray:
    """How far each pixel's colours are from a tint, float32 [height, width].

    `levels` are `planes` without a border, `tint` is float32 [3, 2], by powers of luma.
    """
    out = np.empty(levels.shape[1:], np.float32)
    for y in range(levels.shape[1]):
        for x in range(levels.shape[2]):
            luma, first, second = _colours(levels, y, x)
            first -= tint[0, 0] + luma * (tint[1, 0] + luma * tint[2, 0])
            second -= tint[0, 1] + luma * (tint[1, 1] + luma * tint[2, 1])
            out[y, x] = np.sqrt(first * first + second * second)
    return out


@compiled()
def _colours(levels: np.ndarray, y: int, x: int) -> tuple[np.float32, np.float32, np.float32]:
    """Luma and two opponent colours of a pixel."""
    red, green, blue = levels[0, y, x], levels[1, y, x], levels[2, y, x]
    luma = np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue
    return luma, red - green, np.float32(0.5) * (red + green) - blue


@compiled()
def flat_pixels(rgb: np.ndarray, step: int, exposed: tuple[int, int]) -> tuple[int, int]:
    """How many pixels of uint8 [height, width, 3] differ from their next by one level at most, and how many were looked at.

    Every `step`th is looked at, but in the last row and column of these; those with a channel not between the two levels
    `exposed` do not count as flat.
    """
    rows, columns = (rgb.shape[0] + step - 1) // step, (rgb.shape[1] + step - 1) // step
    flat = 0
    for row in range(rows - 1):
        here, below = rgb[row * step], rgb[(row + 1) * step]
        for column in range(columns - 1):
            x, beside = column * step, (column + 1) * step
            spread, brightest, darkest = 0, 0, 255
            for channel in range(3):
                level = np.int64(here[x, channel])
                down, across = abs(np.int64(below[x, channel]) - level), abs(np.int64(here[beside, channel]) - level)
                spread, brightest, darkest = max(spread, down, across), max(brightest, level), min(darkest, level)
            if spread <= 1 and brightest > exposed[0] and darkest < exposed[1]:
                flat += 1
    return flat, (rows - 1) * (columns - 1)


@compiled()
def parts(region: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The connected parts of a region, bool [height, width], by its four neighbours: labels and what is known of each.

    Labels are int32 [height, width], 0 outside, the parts numbered from 1 on by their first pixels; then int64 [parts+1, 5]:
    left, top, right, bottom (the last column and row) and number of pixels, the first row of no meaning. Runs of a row are
    joined with those above that they touch.
    """
    height, width = region.shape
    runs = np.empty((height * (width // 2 + 1), 3), np.int32)  # row, first and last column
    parent = np.empty(runs.shape[0], np.int32)
    count, above, here = 0, 0, 0
    for y in range(height):
        line, x, previous = region[y], 0, above
        here = count
        while x < width:
            if not line[x]:
                x += 1
                continue
            start = x
            while x < width and line[x]:
                x += 1
            runs[count, 0], runs[count, 1], runs[count, 2], parent[count] = y, start, x - 1, count
            while previous < here and runs[previous, 2] < start:
                previous += 1
            other = previous
            while other < here and runs[other, 1] < x:
                first, second = _root(parent, other), _root(parent, count)
                parent[max(first, second)] = min(first, second)
                other += 1
            count += 1
        above = here
    labels, number = np.zeros((height, width), np.int32), 0
    names = np.empty(count, np.int32)
    for run in range(count):
        if parent[run] == run:
            number += 1
            names[run] = number
        else:
            names[run] = names[_root(parent, run)]
    known = np.zeros((number + 1, 5), np.int64)
    known[:, 0], known[:, 1] = width, height
    for run in range(count):
        y, start, end, name = runs[run, 0], runs[run, 1], runs[run, 2], names[run]
        labels[y, start : end + 1] = name
        told = known[name]
        told[0], told[1] = min(told[0], start), min(told[1], y)
        told[2], told[3], told[4] = max(told[2], end), y, told[4] + end - start + 1
    return labels, known


@compiled()
def _root(parent: np.ndarray, at: int) -> int:
    while parent[at] != at:
        parent[at] = parent[parent[at]]
        at = parent[at]
    return at


@compiled()
def rounded_levels(opacity: np.ndarray) -> np.ndarray:
    """float32 [height, width] in [0, 1] as 8 bits, rounded; what is beyond counts as the nearer end."""
    out = np.empty(opacity.shape, np.uint8)
    zero, one, full, half = np.float32(0), np.float32(1), np.float32(255), np.float32(0.5)
    for y in range(opacity.shape[0]):
        for x in range(opacity.shape[1]):
            out[y, x] = np.uint8(min(max(opacity[y, x], zero), one) * full + half)
    return out
