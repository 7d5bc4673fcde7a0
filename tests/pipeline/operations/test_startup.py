"""What the quick commands do without."""

import subprocess
import sys

import pytest

SLOW = {"torch", "torchvision", "dagster", "pandera", "scipy", "cv2", "numba", "sklearn", "matplotlib"}


@pytest.mark.parametrize(
    ("modules", "needed"),
    [
        ("pipeline.operations.status", {"pandas"}),
        ("pipeline.operations.doctor, pipeline.operations.emulated_flickr", set()),
    ],
)
def test_who_only_looks_imports_nothing_slow(modules: str, needed: set[str]) -> None:
    code = f"import sys, {modules}; print(*sorted({SLOW | {'pandas'}!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == needed
