import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.locks import Held, locked, sign


def test_one_holds_a_lock_alone_and_says_who_it_is(tmp_path: Path) -> None:
    path = tmp_path / "one.lock"
    with locked(path, patience_s=0) as descriptor:
        sign(descriptor, "process 12345, who works")
        sign(descriptor, "process 7")
        with pytest.raises(Held, match=r"^process 7$"), locked(path, patience_s=0):
            pass
        with pytest.raises(Held), locked(path, shared=True, patience_s=0):
            pass
    with locked(path, patience_s=0):
        assert path.read_text() == "process 7", "what a holder says stays until the next one says something else"


def test_those_who_share_a_lock_keep_one_out_who_wants_it_alone(tmp_path: Path) -> None:
    path = tmp_path / "one.lock"
    both = locked(path, shared=True), locked(path, shared=True, patience_s=0)
    with both[0], both[1], pytest.raises(Held), locked(path, patience_s=0):
        pass
    with locked(path, patience_s=0):
        pass


def test_a_lock_goes_with_its_holder_however_that_ends(tmp_path: Path) -> None:
    path = tmp_path / "one.lock"
    killed = "import os,pathlib,sys; from pipeline.locks import locked\nwith locked(pathlib.Path(sys.argv[1])): os.abort()"
    subprocess.run([sys.executable, "-c", killed, str(path)], check=False, stderr=subprocess.DEVNULL)
    with locked(path, patience_s=0):
        pass


def test_what_is_no_file_is_no_lock(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="pipe"), locked(tmp_path / "pipe", patience_s=0):
        pass
