"""The network that is asked where masks are in doubt."""

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY, WEIGHTS

ASKED = """
import sys
from pathlib import Path
import numpy as np
from PIL import Image
from pipeline.masks.salient import SalientObjects
found = SalientObjects(Path(sys.argv[1])).opacity(Image.new("RGB", (8, 8)))
print(found.shape)
"""


def test_nobody_is_told_that_it_was_asked(tmp_path: Path) -> None:
    """onnxruntime would keep a number of the machine, and reports to be sent, in the user's folder of caches."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("XDG", "ORT"))}
    asked = subprocess.run(
        [sys.executable, "-c", ASKED, str(WEIGHTS / "u2netp.onnx")],
        cwd=REPOSITORY, env=environment | {"HOME": str(tmp_path)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (asked.stdout, list(tmp_path.rglob("*onnx*"))) == ("(256, 256)\n", [])
