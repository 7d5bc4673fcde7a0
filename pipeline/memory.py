"""What the allocator does with memory that is freed.

glibc gives blocks of pictures' size back to the system at once, which then clears every page anew for the next picture: of
the time in which one is measured, or a network trained at 192 px, a tenth.
"""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES, LARGEST_KEPT_BYTES = 1 << 26, 1 << 25
"""How much may lie free at the end of the heap; the largest block that comes from there, which is the most glibc takes."""


def keep_freed_memory() -> bool:
    """Keep what is freed for the next block of such a size, in processes that work on one picture after the other.

    Whether the allocator can be told: with others than glibc's nothing changes.
    """
    tell = getattr(ctypes.CDLL(None), "mallopt", None)
    return bool(tell and tell(M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES) and tell(M_TRIM_THRESHOLD, KEPT_BYTES))
