"""Files that may come from anybody, read within limits: how much there is is looked at before any of it is taken."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.errors import StorageError
from pipeline.file_names import below
from pipeline.plain_files import read_plain

MAX_JSON_BYTES = 64 * 2**20
MAX_DEPTH = 64
"""Levels of JSON: ours have under ten, and code that walks very deep ones runs out of stack."""


def plain_file(folder: Path, name: object, max_bytes: int) -> Path:
    """`below`, for a plain file of at most this many bytes: no device, no pipe, nothing endless.

    Raises `StorageError` otherwise, and `FileNotFoundError` where there is none.
    """
    path = below(folder, name)
    check_plain(path, max_bytes)
    return path


def check_plain(path: Path, max_bytes: int) -> int:
    """The size of a plain file; of anything else and of a larger one `StorageError`, `OSError` where there is none."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise StorageError(f"{path}: is no plain file")
    if found.st_size > max_bytes:
        raise StorageError(f"{path}: has {found.st_size:,} bytes, allowed are {max_bytes:,}")
    return found.st_size


def read_json(path: Path, max_bytes: int = MAX_JSON_BYTES) -> Any:  # noqa: ANN401 - whatever the file holds
    """The content of a JSON file in UTF-8.

    Raises `ValueError` for what is none or is nested beyond `MAX_DEPTH`, and the `OSError`s of `read_plain`.
    """
    return parse_json(read_plain(path, max_bytes))


def parse_json(data: bytes) -> Any:  # noqa: ANN401 - whatever the text holds
    """JSON in UTF-8 by the letter of its standard: no `NaN`, no endless numbers, no endless nesting. Raises `ValueError`."""
    text = data.decode("utf-8")
    try:
        found = _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if text.count("[") + text.count("{") > MAX_DEPTH:  # else it cannot be that deep
        _check_depth(found)
    return found


def form_problem(value: object, form: object, at: str = "it") -> str | None:
    """Where a JSON value departs from its form, in words; None where it does not.

    A form is a type, `[form]` for lists, `{str: form}` for objects of any keys, or an object with the forms of some of its
    keys, which may be missing.

    >>> form_problem({"a": [1, "x"], "b": None}, {"a": [int]})
    'a.1 is no int'
    """
    if isinstance(form, type):
        is_right = isinstance(value, form) and not (form is int and isinstance(value, bool))
        return None if is_right else f"{at} is no {form.__name__}"
    if not isinstance(value, type(form)):
        return f"{at} is no {type(form).__name__}"
    for key, inner, expected in _parts(value, form):
        if problem := form_problem(inner, expected, f"{at}.{key}".removeprefix("it.")[:100]):
            return problem
    return None


def _parts(value: Any, form: Any) -> Iterator[tuple[object, object, object]]:  # noqa: ANN401 - any JSON
    if isinstance(form, list):
        yield from ((index, inner, form[0]) for index, inner in enumerate(value))
    elif str in form:
        yield from ((key, inner, form[str]) for key, inner in value.items())
    else:
        yield from ((key, value[key], expected) for key, expected in form.items() if key in value)


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_number)
"""Made once: `json.loads` makes one for each text."""


def _check_depth(value: object) -> None:
    level, depth = [value], 0
    while level := [inner for outer in level for inner in _within(outer)]:
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError("nested too deeply")


def _within(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
