"""What a JPEG's code says about its own wholeness (ITU-T T.81): how many scans, where it stops, what its decoder warned of.

libjpeg shows something for any bytes and only warns; Pillow passes its warnings over. A broken copy (zeros at its end,
a hole, another file's second half) so looks whole with a grey or shifted half. Here libjpeg-turbo, by way of simplejpeg,
decodes the code once more from end to end, and its warnings are findings.
"""

import re
import struct
from dataclasses import dataclass, field

import simplejpeg

MAX_SCANS = 100
"""Progressive JPEGs have ten or so, others three; each further one costs as much time as the whole picture, and no bytes."""
STRAY_BYTES = 4
"""Cameras leave a byte or two between code and end marker; more are left over where code is missing or too much."""
ZEROS = bytes(64)
"""This many zeros in a row decode to blocks that repeat each other: flat colour, or no picture at all."""

_SOI, _EOI, _SOS, _DHT = 0xD8, 0xD9, 0xDA, 0xC4
_SEQUENTIAL, _ARITHMETIC = (0xC0, 0xC1), (0xC9, 0xCA)
_NOT_OF_THE_CODE = (*range(0xE0, 0xF0), 0xFE)
"""Markers of APP segments and comments."""
_STANDALONE = (0x01, *range(0xD0, 0xD9))
_MARKER = re.compile(rb"\xff[^\x00\xff]", re.DOTALL)
_MARKER_BESIDE_RESTARTS = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
_END_OF_BLOCK_RUNS = tuple(run << 4 for run in range(15))
"""Symbols of AC codes after which nothing follows in a block: EOB, and in progressive JPEGs EOB0 … EOB14."""


@dataclass
class Structure:
    """A JPEG from its first marker to its end marker, what comes after it left out.

    `code` is the file without metadata, whose oddities would hide the decoder's first warning, the only one it tells.
    `hole` is where zeros lie that no picture has.
    """

    code: list[bytes | memoryview] = field(default_factory=lambda: [b"\xff\xd8"])
    scans: int = 0
    hole: int | None = None
    has_end: bool = False


def structure_of(data: bytes) -> Structure:
    """Walk the segments; stops quietly where there are none any more, which the decoder finds too."""
    found, view, position = Structure(), memoryview(data), 2
    tables: dict[int, int] = {}
    frame = 0
    while marker := _MARKER.search(data, position):
        kind, start = marker[0][1], marker.end()
        if kind == _EOI:
            found.code.append(b"\xff\xd9")
            found.has_end = True
            break
        if kind in _STANDALONE:
            position = start
            continue
        if start + 2 > len(data):
            break
        end = start + max(2, int.from_bytes(data[start : start + 2]))
        body = data[start + 2 : end]
        if kind == _SOS:
            stop = _MARKER_BESIDE_RESTARTS.search(data, end)
            position = stop.start() if stop else len(data)
            found.scans += 1
            if found.hole is None and frame not in _ARITHMETIC and not _may_be_flat(body, tables):
                at = data.find(ZEROS, end, position)
                found.hole = None if at < 0 else at
            found.code += [b"\xff\xda", _scan_header(data[start:end], frame), view[end:position]]
            continue
        position = end
        if kind in _NOT_OF_THE_CODE:
            continue
        if kind == _DHT:
            tables.update(_first_symbols(body))
        elif 0xC0 <= kind <= 0xCF and kind not in (0xC8, 0xCC):
            frame = kind
        found.code += [b"\xff" + bytes([kind]), view[start:end]]
    return found


class NotJudged(Exception):
    """libjpeg-turbo's interface does not take this kind of JPEG, or what it found is no damage of the code."""


def damage_of(found: Structure) -> tuple[str, str] | None:
    """The reason, `truncated` or `broken`, and words for a person; None for a whole picture. Raises `NotJudged`."""
    if found.hole is not None and found.has_end:
        return "broken", f"zeros in place of the picture from byte {found.hole} on, as in a copy that was not finished"
    try:
        # In grey and at an eighth of its size: its whole code is read all the same, which is where damage shows; only
        # the arithmetic that makes pixels of it is saved, nearly half of the time.
        simplejpeg.decode_jpeg(b"".join(found.code), "GRAY", min_height=1, min_width=1, min_factor=8, strict=True)
    except ValueError as error:
        return _judged(str(error))
    return None


_MEANINGS = [
    (r"Premature end of JPEG file", "truncated"),
    (r"premature end of data segment", "truncated"),
    (r"bad Huffman code|bad arithmetic code|extraneous bytes|instead of RST", "broken"),
]


def _judged(words: str) -> tuple[str, str] | None:
    if stray := re.search(r"(\d+) extraneous bytes before marker 0xd9", words):
        return None if int(stray[1]) <= STRAY_BYTES else ("broken", words)
    for pattern, reason in _MEANINGS:
        if re.search(pattern, words):
            return reason, words
    raise NotJudged(words)


def _scan_header(segment: bytes, frame: int) -> bytes:
    """The header of a scan; in sequential JPEGs its last three bytes mean nothing, and some encoders leave them odd."""
    return segment[:-3] + b"\0\x3f\0" if frame in _SEQUENTIAL and len(segment) >= 8 else segment


def _first_symbols(tables: bytes) -> dict[int, int]:
    """By class and number of each Huffman table the symbol of its code that is all zeros."""
    found, position = {}, 0
    while position + 17 < len(tables):
        count = sum(struct.unpack_from("16B", tables, position + 1))
        if count:
            found[tables[position]] = tables[position + 17]
        position += 17 + count
    return found


def _may_be_flat(scan: bytes, tables: dict[int, int]) -> bool:
    """Whether zeros alone can be the code of blocks of one colour: if every block's first AC symbol then ends it."""
    if len(scan) < 6 or len(scan) < 4 + 2 * scan[0]:
        return True
    first = scan[1 + 2 * scan[0]]
    if first == 0 and scan[2 + 2 * scan[0]] == 0:  # of DC alone
        return True
    numbers = {scan[2 + 2 * component] & 0x0F for component in range(scan[0])}
    return all(tables.get(0x10 | number, 0) in _END_OF_BLOCK_RUNS for number in numbers)
