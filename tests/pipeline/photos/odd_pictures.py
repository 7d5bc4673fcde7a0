"""Pictures for tests: a plain scene, files of it, and colour profiles written by hand."""

import io
import struct

import numpy as np
from PIL import Image


def make_scene(width_px: int, height_px: int, seed: int = 0) -> np.ndarray:
    """A smooth picture that differs in all four corners; uint8 [height, width, 3]."""
    ys, xs = np.mgrid[0 : 1 : height_px * 1j, 0 : 1 : width_px * 1j]
    bands = [xs * 200 + 20, ys * 180 + 30, (xs * ys) * 150 + (seed * 37) % 100]
    return np.clip(np.stack(bands, -1), 0, 255).astype(np.uint8)


def encoded(rgb: np.ndarray, file_format: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, file_format, **({"quality": 95} if file_format == "JPEG" else {}) | options)
    return buffer.getvalue()


def icc_profile(space: bytes, tags: dict[bytes, bytes], pcs: bytes = b"XYZ ") -> bytes:
    """A small ICC version 2 profile (ICC.1:2001-04): header, tag table, tags."""
    table, bodies, offset = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for signature, body in tags.items():
        padded = body + b"\0" * (-len(body) % 4)
        table += signature + struct.pack(">II", offset + len(bodies), len(body))
        bodies += padded
    size = 128 + len(table) + len(bodies)
    header = struct.pack(">I4sI4s4s4s", size, b"\0\0\0\0", 0x02400000, b"mntr" if space != b"CMYK" else b"prtr", space, pcs)
    header += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28 + xyz(0.9642, 1.0, 0.8249)[8:] + b"\0" * 48
    return header + table + bodies


def xyz(x: float, y: float, z: float) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in (x, y, z)))


def gamma(exponent: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(exponent * 256))


_TEXTS = {b"desc": b"desc\0\0\0\0" + struct.pack(">I", 2) + b"x\0" + b"\0" * 78, b"cprt": b"text\0\0\0\0x\0"}


def wide_gamut_profile() -> bytes:
    """Display P3's primaries (adapted to D50) with a gamma of 2.2."""
    return icc_profile(
        b"RGB ",
        _TEXTS
        | {
            b"wtpt": xyz(0.9505, 1.0, 1.0891),
            b"rXYZ": xyz(0.5151, 0.2412, -0.0011),
            b"gXYZ": xyz(0.2920, 0.6922, 0.0419),
            b"bXYZ": xyz(0.1571, 0.0666, 0.7841),
            b"rTRC": gamma(2.2),
            b"gTRC": gamma(2.2),
            b"bTRC": gamma(2.2),
        },
    )


def linear_grey_profile() -> bytes:
    return icc_profile(b"GRAY", _TEXTS | {b"wtpt": xyz(0.9642, 1.0, 0.8249), b"kTRC": gamma(1.0)})


def all_inks_black_profile() -> bytes:
    """Says that no ink is white and each full ink alone is black."""
    nodes = bytes([255, 128, 128]) + bytes([0, 128, 128]) * 15
    lut = b"mft1\0\0\0\0" + struct.pack(">BBBx9i", 4, 3, 2, 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut += bytes(range(256)) * 4 + nodes + bytes(range(256)) * 3
    return icc_profile(b"CMYK", _TEXTS | {b"wtpt": xyz(0.9642, 1.0, 0.8249), b"A2B0": lut}, pcs=b"Lab ")
