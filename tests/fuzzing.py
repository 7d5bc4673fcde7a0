"""Readers of outside data under hypothesis' hand: whole inputs, damaged, each within bounds of time and memory.

A reader is any importable function of bytes. It runs in a process of its own, so that what hangs, eats memory or ends
the process is a finding about one input (on Linux, which tells a process's peak of memory):

    @pytest.mark.slow
    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=damaged([WHOLE_FILE, ANOTHER]))
    def test_any_bytes(bounded: Bounded, data: bytes) -> None:
        bounded.check(data)

with `bounded` a fixture that enters `Bounded(read_csv_bytes)` once for the module.
"""

import json
import multiprocessing
import resource
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Any

from hypothesis import strategies as st

from pipeline.errors import BokehflowError

MOST_S = 10.0
"""Of processor time, so that a busy machine finds no faults."""
IDLE_FACTOR = 12
"""By how much the clock may run longer; this ends what waits for something."""
MOST_BYTES = 500_000_000
"""By how much one input may raise the process's resident memory."""
GUARD_BYTES = 8_000_000_000
"""Of addresses: what asks for more gets a MemoryError, before the machine suffers."""
START_S = 120.0

Reader = Callable[[bytes], object]


class Bounded:
    """A process that hands inputs to `reader`, one after the other; a context manager.

    `check` raises `AssertionError` where an input takes more than `most_s` seconds or `most_bytes` of memory, ends the
    process, or makes the reader raise anything but a `BokehflowError` (or one of `allowed`).
    """

    def __init__(
        self,
        reader: Reader,
        allowed: tuple[type[Exception], ...] = (),
        most_s: float = MOST_S,
        most_bytes: int = MOST_BYTES,
        warm_up: bytes | None = None,
    ) -> None:
        self._reader, self._allowed = reader, (BokehflowError, *allowed)
        self._most_s, self._most_bytes = most_s, most_bytes
        self._warm_up = warm_up
        self._process: BaseProcess | None = None

    def __enter__(self) -> "Bounded":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def check(self, data: bytes) -> None:
        """Read one input; raises `AssertionError` with what was wrong."""
        if self._process is None:
            self._start()
        try:
            self._pipe.send_bytes(data)
            if not self._pipe.poll(IDLE_FACTOR * self._most_s):  # the process itself measures; this ends what hangs
                raise AssertionError(f"still reading {len(data)} bytes after {IDLE_FACTOR * self._most_s} s")
            found = self._pipe.recv()
        except (EOFError, ConnectionError):
            self._end()
            raise AssertionError(f"{len(data)} bytes ended the process that read them") from None
        except BaseException:
            self._end()
            raise
        assert found["raised"] is None, found["raised"]
        # Memory first: to get it takes time as well, on a busy machine more than allowed.
        assert found["grew_bytes"] <= self._most_bytes, f"{len(data)} bytes took {found['grew_bytes'] / 1e6:.0f} MB"
        assert found["took_s"] <= self._most_s, f"{len(data)} bytes took {found['took_s']:.1f} s"

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self._reader, self._allowed), daemon=True)
        process.start()
        self._process = process
        theirs.close()
        assert self._pipe.poll(START_S), "the process that reads does not start"
        assert self._pipe.recv() == "ready"
        if self._warm_up is not None:  # what is imported late, and built once, is no input's fault
            self._pipe.send_bytes(self._warm_up)
            assert self._pipe.poll(START_S), "the first input is never read"
            self._pipe.recv()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
        self._process = None


def _serve(pipe: Connection, reader: Reader, allowed: tuple[type[Exception], ...]) -> None:
    """In the process: read what comes, answer how it went."""
    resource.setrlimit(resource.RLIMIT_AS, (GUARD_BYTES, resource.RLIM_INFINITY))
    pipe.send("ready")
    while True:
        try:
            data = pipe.recv_bytes()
        except EOFError:
            return
        before_bytes, began_s, raised = _forget_peak(), time.process_time(), None
        try:
            reader(data)
        except allowed:
            pass
        except BaseException:
            raised = traceback.format_exc()
        took_s = time.process_time() - began_s
        pipe.send({"raised": raised, "took_s": took_s, "grew_bytes": _peak_bytes() - before_bytes})


def _forget_peak() -> int:
    """Let the peak begin anew; returns the memory now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _peak_bytes()


def _peak_bytes() -> int:
    """The highest resident memory since the peak was forgotten."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


# --- inputs -----------------------------------------------------------------------------------------------------------

TELLING = (
    b"\0",
    b"\xff",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\0\0\0",
    b"\0\0\1\0",
    b"\n",
    b'"',
    b",",
    b"1e999",
    b"-1",
    b"9" * 5000,
    b"[" * 20_000,
    b'{"a":' * 20_000,
    b"a.b." * 20_000,
    "\u202e".encode(),
    b"\xed\xa0\x80",
    b"A" * 200_000,
)
"""Bytes that lengths, counts, separators, nesting and numbers are sensitive to; bidirectional text, half a surrogate."""
MOST_INPUT_BYTES = 4_000_000
"""Repetition and insertion stop here: the rest of a longer input would say nothing new."""


def damaged(wholes: Sequence[bytes], most_edits: int = 6) -> st.SearchStrategy[bytes]:
    """Bytes of one of `wholes` after some edits: overwritten, cut out, repeated, joined with another's end, cut off."""
    place = st.floats(0, 1, exclude_max=True)
    edits = st.lists(
        st.one_of(
            st.tuples(st.just("overwrite"), place, st.binary(min_size=1, max_size=8)),
            st.tuples(st.just("overwrite"), place, st.sampled_from(TELLING)),
            st.tuples(st.just("insert"), place, st.one_of(st.binary(max_size=40), st.sampled_from(TELLING))),
            st.tuples(st.just("zeros"), place, st.integers(1, 600)),
            st.tuples(st.just("delete"), place, st.integers(1, 200)),
            st.tuples(st.just("repeat"), place, st.integers(1, 200)),
            st.tuples(st.just("splice"), place, st.sampled_from(wholes)),
            st.tuples(st.just("cut"), place, st.just(None)),
        ),
        max_size=most_edits,
    )
    return st.builds(_edited, st.sampled_from(wholes), edits)


def _edited(whole: bytes, edits: list[tuple[str, float, object]]) -> bytes:
    data = whole
    for kind, place, what in edits:
        at = int(place * (len(data) + 1))
        match kind, what:
            case "overwrite", bytes(new):
                data = data[:at] + new + data[at + len(new) :]
            case "insert", bytes(new):
                data = data[:at] + new + data[at:]
            case "zeros", int(count):
                data = data[:at] + bytes(len(data[at : at + count])) + data[at + count :]
            case "delete", int(count):
                data = data[:at] + data[at + count :]
            case "repeat", int(count):
                data = data[:at] + data[at : at + count] * 2 + data[at + count :]
            case "splice", bytes(other):
                data = data[:at] + other[int(place * len(other)) :]
            case _:
                data = data[:at]
        data = data[:MOST_INPUT_BYTES]
    return data


HOSTILE_JSON = (
    "null", "true", "0", "-1", "1e999", "-0.0", "1.5", "NaN", "9" * 400, "9" * 5000, "9223372036854775808", "[]", "{}", '""',
    '"../../x"', '"/dev/zero"', r'"a\u0000b"', r'"\ud800"', r'"\u202eabc"', '"' + "x" * 100_000 + '"', "[" * 20_000,
    "[" * 40 + "]" * 40, '{"a":' * 40 + "1" + "}" * 40, '["a"]', '{"_content": "x"}', '"1"', '"=1+1"', "[null]",
)  # fmt: skip
"""Values that stand where others were expected, as they are written."""
_MARK = "\ue000"
"""Stands in for a hostile value until all is written."""


def damaged_json(wholes: Sequence[object], most_edits: int = 3) -> st.SearchStrategy[bytes]:
    """JSON texts of one of `wholes` in which some values are others, missing, or there under another key."""
    edit = st.tuples(
        st.floats(0, 1, exclude_max=True), st.sampled_from(["value", "key", "drop"]), st.sampled_from(HOSTILE_JSON)
    )
    return st.builds(_edited_json, st.sampled_from(wholes), st.lists(edit, min_size=1, max_size=most_edits))


def _edited_json(whole: object, edits: list[tuple[float, str, str]]) -> bytes:
    tree = [json.loads(json.dumps(whole))]
    for number, (place, kind, _) in enumerate(edits):
        spots = list(_spots(tree))
        if not spots:
            break
        parent, key = spots[int(place * len(spots))]
        if kind == "value" or isinstance(parent, list):
            parent[key] = f"{_MARK}{number}"
        elif kind == "key":
            parent[f"{key}\0"] = parent.pop(key)
        else:
            del parent[key]
    text = json.dumps(tree[0], ensure_ascii=False)
    for number, (_, _, hostile) in enumerate(edits):
        text = text.replace(f'"{_MARK}{number}"', hostile)
    return text.encode("utf-8", "surrogatepass")


def _spots(value: Any) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401 - any JSON
    """Every place of a tree where a value stands: what holds it, and its key there."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(inner):
        yield value, key
        yield from _spots(item)
