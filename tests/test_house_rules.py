"""What CONTRIBUTING promises of functions, and of what is used of Dagster. The code is read, not run."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("pipeline", "assets", "resources", "storage")
MOST_ARGUMENTS, MOST_LINES = 7, 60
KERNELS = {
    "pipeline/dedupe/candidate_walk.py walk",
    "pipeline/dedupe/candidate_walk.py _note",
    "pipeline/dedupe/band_join.py join",
}
"""Compiled loops, which may have more of both; their modules say why."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def functions() -> list[tuple[str, Function]]:
    """Each function with its file and name; of a class or of another function, too."""
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return [
        (f"{path.relative_to(ROOT).as_posix()} {node.name}", node)
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, Function)
    ]


def is_command(function: Function) -> bool:
    """A command's arguments are its options, which a person types."""
    made = [ast.unparse(one.func if isinstance(one, ast.Call) else one) for one in function.decorator_list]
    return any(name.rpartition(".")[2] == "command" for name in made)


def arguments_of(function: Function) -> int:
    given = function.args
    names = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def lines_of(function: Function) -> int:
    """From `def` to its last line; decorators are no part of it."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def test_functions_have_seven_arguments_at_most() -> None:
    found = {name: arguments_of(one) for name, one in functions() if not is_command(one)}
    assert len(found) > 2000
    assert {name for name, count in found.items() if count > MOST_ARGUMENTS} <= KERNELS


def test_functions_have_sixty_lines_at_most() -> None:
    assert {name for name, one in functions() if lines_of(one) > MOST_LINES} <= KERNELS


def test_every_exception_is_needed() -> None:
    """What is excepted and would not have to be is a rule that nobody sees broken."""
    long = {name for name, one in functions() if lines_of(one) > MOST_LINES or arguments_of(one) > MOST_ARGUMENTS}
    assert long >= KERNELS


def test_what_is_private_of_dagster_is_imported_in_one_file() -> None:
    files = [path for folder in (*PACKAGES, "benchmarks", "tests") for path in sorted((ROOT / folder).rglob("*.py"))]
    found = set[str]()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.startswith("dagster._") for name in names):
                found.add(path.relative_to(ROOT).as_posix())
    assert found == {"resources/dagster_internals.py"}
