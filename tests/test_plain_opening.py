"""Nothing is opened for reading but by `pipeline/plain_files.py`: no pipe and no device ever hangs a command.

The code is read, not run. Files that are made new, with `w` and `x`, have names of our own.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("pipeline", "assets", "resources", "storage")
CHECKED = ("pipeline/plain_files.py", "pipeline/parquet_files.py")
"""The places where files are opened and looked at."""
OPENERS = {
    "Image.open", "pd.read_csv",
    "np.load", "np.fromfile", "np.memmap", "np.genfromtxt", "np.loadtxt", "torch.load", "load_file", "safe_open",
    "zipfile.ZipFile", "tarfile.open", "pa.memory_map", "pa.OSFile", "io.open", "gzip.open", "cv2.imread", "os.open",
    "shutil.copy", "shutil.copy2", "shutil.copyfile", "shutil.copytree", "onnx.load", "pd.read_json", "feather.read_table",
}  # fmt: skip
"""What opens the path that it is given first."""
PARQUET = {"pd.read_parquet", "pq.read_table", "pq.ParquetFile", "pq.read_metadata", "pq.read_schema"}
"""Those of them whose path comes from `parquet_path`, which looks at what the file would become."""
STREAMS = {"plain_path", "open_plain", "BytesIO", "BufferReader", "read_plain"}
"""What gives a checked path, an open file or bytes."""
STREAM_TYPES = {"BinaryIO", "IO[bytes]", "io.BytesIO", "Image.Image"}
OWN = {
    # The kernel's own.
    "pipeline/photos/inspectors.py": {"Path('/proc/self/statm').read_text()"},
    "pipeline/training/jobs.py": {"Path(f'/proc/{pid}/stat').read_bytes()"},
    "pipeline/machine.py": {"Path(path).read_text('ascii', 'replace')"},
    "pipeline/cli.py": {"os.open(os.devnull, os.O_WRONLY)"},
    # What this process has just written itself.
    "pipeline/atomic.py": {"os.open(path, os.O_RDONLY)"},
    "pipeline/dataset/shards.py": {"pa.OSFile(str(temporary), 'wb')"},
    # The package's own.
    "pipeline/evaluation/report/page.py": {
        "importlib.resources.files('pipeline.evaluation.report').joinpath('templates/report.js').read_text(encoding='utf-8')"
    },
    "pipeline/evaluation/report/depth_page.py": {"folder.joinpath('templates/depth.js').read_text(encoding='utf-8')"},
}
"""What is opened in another way, and why it may be."""


def last_name(node: ast.expr) -> str:
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else ast.unparse(node)


def streams_of(function: ast.AST) -> set[str]:
    """Names that stand for open files or bytes in a function."""
    found = set()
    for node in ast.walk(function):
        if isinstance(node, ast.arg) and node.annotation and ast.unparse(node.annotation) in STREAM_TYPES:
            found.add(node.arg)
        elif (
            isinstance(node, ast.withitem)
            and isinstance(node.optional_vars, ast.Name)
            and is_stream(node.context_expr, found)
        ):
            found.add(node.optional_vars.id)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and is_stream(node.value, found):
            found.add(node.targets[0].id)
    return found


def is_stream(node: ast.expr, streams: set[str]) -> bool:
    if isinstance(node, ast.Call) and last_name(node) == "str" and node.args:
        return is_stream(node.args[0], streams)
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "open":
        return is_plainly_opened(node)
    return (isinstance(node, ast.Call) and last_name(node) in STREAMS) or (isinstance(node, ast.Name) and node.id in streams)


def is_plainly_opened(call: ast.Call) -> bool:
    return any(keyword.arg == "opener" and ast.unparse(keyword.value) == "plain" for keyword in call.keywords)


def makes_new(call: ast.Call, place: int) -> bool:
    """Whether the mode, at this place of the arguments, says that what was there does not count."""
    modes = [*call.args[place : place + 1], *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    return any(isinstance(mode, ast.Constant) and str(mode.value)[:1] in ("w", "x") for mode in modes)


def is_opened_otherwise(call: ast.Call, streams: set[str]) -> bool:
    name = ast.unparse(call.func)
    if name == "open":
        return not (is_plainly_opened(call) or makes_new(call, 1))
    if name in PARQUET:
        return not (call.args and ast.unparse(call.args[0]).startswith("parquet_path("))
    if name in OPENERS:
        return not (call.args and is_stream(call.args[0], streams))
    if not isinstance(call.func, ast.Attribute):
        return False
    if call.func.attr in ("read_bytes", "read_text"):
        return True
    return call.func.attr == "open" and name != "home.open" and not makes_new(call, 0)


def unchecked(name: str, code: str) -> Iterator[str]:
    tree = ast.parse(code)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside: dict[int, set[str]] = {}
    for function in functions:
        inside |= dict.fromkeys(map(id, ast.walk(function)), streams_of(function))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and is_opened_otherwise(node, inside.get(id(node), set())):
            written = ast.unparse(node)
            if written not in OWN.get(name, ()):
                yield f"{name}:{node.lineno}: {written}"


def test_nothing_is_opened_that_may_be_no_plain_file() -> None:
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    names = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths}
    assert [found for name, code in names.items() if name not in CHECKED for found in unchecked(name, code)] == []


@pytest.mark.parametrize(
    ("code", "is_bad"),
    [
        ("path.read_bytes()", True),
        ("path.read_text()", True),
        ("open(path)", True),
        ("open(path, 'ab')", True),
        ("path.open('rb')", True),
        ("path.open('a')", True),
        ("Image.open(path)", True),
        ("pq.read_table(path)", True),
        ("shutil.copyfile(path, other)", True),
        ("pq.read_table(plain_path(path))", True),
        ("pq.read_table(parquet_path(path))", False),
        ("open(path, 'ab', opener=plain)", False),
        ("open(path, 'w')", False),
        ("path.open('wb')", False),
        ("Image.open(plain_path(path))", False),
        ("Image.open(io.BytesIO(data))", False),
        ("pa.memory_map(str(plain_path(path)))", False),
        ("def f(file: BinaryIO): Image.open(file)", False),
        ("def f(path):\n    with open_plain(path) as file, np.load(file) as arrays: pass", False),
        ("def f(path):\n    with open_plain(path) as file: np.load(path)", True),
    ],
)
def test_what_counts_as_unchecked(code: str, is_bad: bool) -> None:
    assert bool(list(unchecked("a.py", code))) == is_bad
