"""No path is made of an unchecked text: `/` joins names that stand in the code, `child`, `inside` and `below` all others.

The code is read, not run. What is a path is told by annotations: whatever is called `Path` somewhere, what is assigned from
it, and what is joined to it.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("pipeline", "assets", "resources", "storage")
CHECKED = "pipeline/file_names.py"
"""The one place where texts become paths."""
GIVES_PATH = {"parent", "with_name", "with_suffix", "with_stem", "resolve", "absolute", "expanduser", "joinpath", "Path"}
OWN = {
    "pipeline/atomic.py": {"target.with_name(f'.{name}.{os.getpid()}-{here().mark}-{uuid4().hex[:8]}{TEMPORARY_SUFFIX}')"},
    # What a person writes into their own project file may lie anywhere.
    "pipeline/config.py": {
        "path.parent / expanded(project.masks.folder)",
        "path.parent / expanded(project.depth.folder)",
        "path.parent / expanded(project.depth.network)",
        "folder / expanded(text)",
    },
    "pipeline/operations/reports.py": {"folder / expanded(project.evaluation.truth)"},
    # Names as the disk gives them.
    "pipeline/photos/folder.py": {"Path(parent) / name", "self.part.folder / file"},
    "pipeline/operations/forget.py": {"Path(parent) / name"},
    "pipeline/operations/outside.py": {"Path(parent) / name"},
    # Numbers.
    "pipeline/photos/pool.py": {"self.pictures / self.duration_s"},
}
"""What is no unchecked text, though it looks like one."""
CHECKERS = {"sha256_of", "escape"}
"""Functions whose result may stand in a pattern."""
GLOBS = {"glob", "rglob", "joinpath", "with_name", "with_stem"}


def sources() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def is_path_type(annotation: ast.expr | None) -> bool:
    return annotation is not None and ast.unparse(annotation).strip("'\"") in {"Path", "Path | None"}


def called(expression: ast.expr) -> str | None:
    """The last name of what an expression speaks of: `c` for `c`, `a.b.c` and `a.b.c(...)`."""
    if isinstance(expression, ast.Call):
        return called(expression.func)
    if isinstance(expression, ast.Attribute):
        return expression.attr
    return expression.id if isinstance(expression, ast.Name) else None


def names_of_paths(trees: list[ast.Module]) -> set[str]:
    """All that any module annotates as a path: arguments, fields, properties, functions."""
    found = set(GIVES_PATH)
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.arg) and is_path_type(node.annotation):
            found.add(node.arg)
        elif isinstance(node, ast.AnnAssign) and is_path_type(node.annotation):
            found.add(called(node.target) or "")
        elif isinstance(node, ast.FunctionDef) and is_path_type(node.returns):
            found.add(node.name)
    return found


@dataclass
class Scope(ast.NodeVisitor):
    """Joins of paths with something that no one has checked, in one module."""

    paths: set[str]
    numbers: list[set[str]] = field(default_factory=lambda: [set()])
    found: list[tuple[int, str]] = field(default_factory=list)

    def is_path(self, node: ast.expr) -> bool:
        if isinstance(node, ast.BinOp):
            return isinstance(node.op, ast.Div) and self.is_path(node.left)
        if isinstance(node, ast.BoolOp):
            return any(map(self.is_path, node.values))
        if isinstance(node, ast.IfExp):
            return self.is_path(node.body) or self.is_path(node.orelse)
        name = called(node)
        if isinstance(node, ast.Name) and any(name in scope for scope in self.numbers):
            return False
        return name in self.paths

    def is_own(self, node: ast.expr) -> bool:
        """Whether the name stands in the code, or is that of another path."""
        if isinstance(node, ast.Attribute) and node.attr == "name":
            return self.is_path(node.value) or is_written_out(node.value)
        return is_written_out(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        self.numbers.append({each.arg for each in arguments if each.annotation and not is_path_type(each.annotation)})
        outside = set(self.paths)
        for statement in ast.walk(node):
            if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
                target = statement.targets[0]
                if isinstance(target, ast.Name):
                    (self.paths.add if self.is_path(statement.value) else self.numbers[-1].add)(target.id)
        self.generic_visit(node)
        self.numbers.pop()
        self.paths = outside

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if isinstance(node.op, ast.Div) and self.is_path(node.left) and not self.is_own(node.right):
            self.found.append((node.lineno, ast.unparse(node)))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        is_method = isinstance(node.func, ast.Attribute) and node.func.attr in GLOBS and self.is_path(node.func.value)
        if is_method and not all(self.is_own(argument) or is_pattern(argument) for argument in node.args):
            self.found.append((node.lineno, ast.unparse(node)))
        self.generic_visit(node)


def is_written_out(node: ast.expr) -> bool:
    """Whether the name stands in the code: a text, or a constant."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str)
    if isinstance(node, ast.Subscript):
        return is_written_out(node.value)
    if isinstance(node, ast.IfExp):
        return is_written_out(node.body) and is_written_out(node.orelse)
    return (called(node) or "a").isupper() and not isinstance(node, ast.Call)


def is_pattern(node: ast.expr) -> bool:
    """Whether an f-string is made of texts, constants and checked values only."""
    if not isinstance(node, ast.JoinedStr):
        return False
    values = [part.value for part in node.values if isinstance(part, ast.FormattedValue)]
    return all(is_written_out(value) or is_checked(value) for value in values)


def is_checked(node: ast.expr) -> bool:
    call = node.value if isinstance(node, ast.Subscript) else node
    return isinstance(call, ast.Call) and called(call) in CHECKERS


def unchecked(trees: dict[str, ast.Module]) -> Iterator[str]:
    paths = names_of_paths(list(trees.values()))
    for name, tree in trees.items():
        scope = Scope(set(paths))
        scope.visit(tree)
        yield from (f"{name}:{line}: {code}" for line, code in scope.found if code not in OWN.get(name, ()))


def test_no_path_is_made_of_an_unchecked_text() -> None:
    trees = {str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8")) for path in sources()}
    del trees[CHECKED]
    assert list(unchecked(trees)) == []


@pytest.mark.parametrize(
    ("code", "is_bad"),
    [
        ("def f(folder: Path, name: str): return folder / name", True),
        ("def f(home: Home, digest: str): return home.root / 'blobs' / digest", True),
        ("def f(folder: Path, name: str): return folder / f'{name}.png'", True),
        ("def f(folder: Path, name: str):\n    inner = folder / 'a'\n    return inner / name", True),
        ("def f(folder: Path, name: str): return folder.glob(f'{name}-*')", True),
        ("def f(folder: Path, name: str): return child(folder / 'a', name)", False),
        ("def f(folder: Path): return folder / FILE / 'b' / names.OTHER", False),
        ("def f(folder: float, total: float): return folder / total", False),
        ("class Home:\n    root: Path\ndef f(total: float): return total / 2", False),
    ],
)
def test_what_counts_as_unchecked(code: str, is_bad: bool) -> None:
    module = ast.parse(f"class Home:\n    root: Path\n{code}")
    assert bool(list(unchecked({"a.py": module}))) == is_bad
