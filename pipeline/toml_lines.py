"""Where each key of a TOML text stands, for messages that name the line.

The standard library's parser forgets positions, so the text is walked once more with tree-sitter's grammar.
"""

import pathlib
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tree_sitter_toml
from pydantic import BaseModel, ValidationError
from tree_sitter import Language, Node, Parser

Path = tuple[int | str, ...]


MAX_DEPTH = 32
"""Tables within tables: ours have four, and whoever walks them has a stack that ends."""


def parse_toml(text: str) -> dict[str, Any]:
    """The content of a TOML text. Raises `ValueError` for what is none, and for endless numbers and nesting."""
    try:
        found = tomllib.loads(text.removeprefix("\ufeff"))  # which Windows' editors write first
    except RecursionError:
        raise ValueError("nested too deeply") from None
    level: list[object] = [found]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _within(outer)]
        if not level:
            return found
    raise ValueError("nested too deeply")


def _within(value: object) -> list[object]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def key_lines(text: str) -> dict[Path, int]:
    """Line numbers (from 1) by path, like `("domains", "ordinary", "queries", 0, "text")`, of a valid TOML text."""
    root = Parser(Language(tree_sitter_toml.language())).parse(text.encode()).root_node
    lines: dict[Path, int] = {}
    array_sizes: dict[Path, int] = defaultdict(int)
    for node in root.named_children:
        if node.type == "pair":
            lines.update(_pair(node, ()))
        elif node.type in ("table", "table_array_element"):
            lines.update(_table(node, array_sizes))
    return lines


def line_of(where: Path, lines: Mapping[Path, int]) -> int:
    """The line of the key, or of the nearest enclosing table, which may be written down by what is in it alone."""
    for end in range(len(where), 0, -1):
        inside = [line for path, line in lines.items() if path[:end] == where[:end]]
        if inside:
            return min(inside)
    return 1


def explained(
    error: ValidationError,
    text: str,
    file: pathlib.Path,
    whole: str,
    allowed_keys: Callable[[Path], Sequence[str]] = lambda where: (),
) -> str:
    """All that is wrong with a TOML text, each with file, line and key; what concerns all of it is about `whole`.

    `allowed_keys` are those of the table at a path.
    """
    lines = key_lines(text)
    messages = []
    for problem in error.errors():
        where = tuple(part for part in problem["loc"] if part != "[key]")
        key = ".".join(str(part) for part in where) or whole
        messages.append(f"{file}:{line_of(where, lines)}: {key}: {_say(problem, allowed_keys(where[:-1]))}")
    return "\n".join(messages)


def _say(problem: Mapping[str, object], allowed: Sequence[str]) -> str:
    if problem["type"] == "extra_forbidden":
        return f"unknown key; allowed here: {', '.join(allowed)}" if allowed else "unknown key"
    message = str(problem["msg"]).removeprefix("Value error, ")
    given = problem.get("input")
    shown = f" (found {given!r})" if not isinstance(given, dict | list | BaseModel) else ""
    return message + shown if problem["type"] != "missing" else "is missing"


def _table(node: Node, array_sizes: dict[Path, int]) -> Iterator[tuple[Path, int]]:
    head, *pairs = [child for child in node.named_children if child.type != "comment"]
    prefix = _inside_arrays(_key(head), array_sizes)
    if node.type == "table_array_element":
        index = array_sizes[prefix]
        array_sizes[prefix] += 1
        yield prefix, head.start_point[0] + 1
        prefix = (*prefix, index)
    yield prefix, head.start_point[0] + 1
    for pair in pairs:
        yield from _pair(pair, prefix)


def _inside_arrays(key: Path, array_sizes: dict[Path, int]) -> Path:
    """A header names the last element of each array of tables on its way."""
    path: Path = ()
    for position, part in enumerate(key):
        path = (*path, part)
        if array_sizes.get(path) and position < len(key) - 1:
            path = (*path, array_sizes[path] - 1)
    return path


def _pair(node: Node, prefix: Path) -> Iterator[tuple[Path, int]]:
    key, value = node.named_children[0], node.named_children[-1]
    path = (*prefix, *_key(key))
    yield path, key.start_point[0] + 1
    yield from _value(value, path)


def _value(node: Node, path: Path) -> Iterator[tuple[Path, int]]:
    children = [child for child in node.named_children if child.type != "comment"]
    if node.type == "inline_table":
        for child in children:
            yield from _pair(child, path)
    elif node.type == "array":
        for index, child in enumerate(children):
            yield (*path, index), child.start_point[0] + 1
            yield from _value(child, (*path, index))


def _key(node: Node) -> Path:
    if node.type == "dotted_key":
        return tuple(part for child in node.named_children for part in _key(child))
    text = (node.text or b"").decode()
    return (text.strip("\"'") if node.type == "quoted_key" else text,)
