"""Freed memory is taken again, where the allocator can be told."""

import os
import subprocess
import sys

import pytest

FAULTS = """
import resource
import numpy as np
from pipeline.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(1 << 22, np.uint8)
        large = [np.ones(1 << 24, np.uint8) for _ in range(2)]
        del large
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

as_it_was = faults()
kept = keep_freed_memory()
faults()
print(kept, as_it_was, faults())
"""


@pytest.mark.skipif(os.confstr_names.get("CS_GNU_LIBC_VERSION") is None, reason="the allocator is glibc's")
def test_freed_blocks_of_pictures_are_not_cleared_anew() -> None:
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    told, before, after = done.stdout.split()
    assert told == "True"
    assert int(after) < int(before) / 20
