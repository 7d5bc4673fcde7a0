"""The documentation says what the program does."""

import importlib.util
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import click
import pytest
from pydantic import BaseModel

from pipeline.cli import cli
from pipeline.config import Project, load_project
from pipeline.dedupe.page import RULES
from pipeline.emulators.faults import FaultPlan, load_faults
from pipeline.operations.lineage import runs_called
from pipeline.training.recipes import TrainingSettings

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_every_command_and_option_is_in_the_readme() -> None:
    for name, command in _commands(cli):
        assert f"`bokehflow {name}" in README, name
        options = [option for parameter in command.params for option in parameter.opts if option.startswith("--")]
        rows = [line for line in README.splitlines() if re.match(rf"\| `bokehflow {name}[ `]", line)]
        assert rows, f"{name} has no row"
        missing = [
            option
            for option in options
            if option not in " ".join(rows) and option not in ("--home", "--config", "--image-port")
        ]
        assert not missing or name == "emulator", (name, missing)


def test_every_command_shows_an_example_that_it_takes() -> None:
    for command, name in [(cli, ""), *_all_commands(cli)]:
        context = click.Context(command, info_name=name)
        shown = [line for line in command.get_help(context).splitlines() if line.strip().startswith("Example: ")]
        assert len(shown) == 1, f"bokehflow {name}: one line of help is an example"
        words = shlex.split(shown[0].partition("Example: ")[2])
        assert " ".join(words).startswith(f"bokehflow {name}".strip()), name
        _parse(cli, words[1:])


def test_the_runs_that_examples_name_would_be_found() -> None:
    examples = [
        word for command, _ in _all_commands(cli) for word in str(command.epilog).split() if word.startswith("d5b6-")
    ]
    assert len(examples) > 3
    runs = [f"d5b6221a9916fbee-{recipe}-0" for recipe in ("cyclegan", "one_sided")]
    assert all(len(runs_called(word, runs)) == 1 for word in examples)


def _parse(command: click.Command, words: list[str]) -> None:
    """Raises `UsageError` where a command does not take these options or that many arguments."""
    context = click.Context(command)
    if isinstance(command, click.Group):
        _parse(command.commands[words[0]], words[1:])
    else:
        values, rest, _ = command.make_parser(context).parse_args(words)
        assert not rest, words
        assert all(values.get(str(one.name)) for one in command.params if one.required), words


def _all_commands(group: click.Group, prefix: str = "") -> Iterator[tuple[click.Command, str]]:
    """Every command and group with its full name."""
    for name, command in group.commands.items():
        yield command, prefix + name
        if isinstance(command, click.Group):
            yield from _all_commands(command, f"{prefix}{name} ")


def _commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command by its full name, such as `snapshot list`."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _commands(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


def test_the_commands_that_a_page_shows_are_taken() -> None:
    shown = [(page, line) for page in PAGES for line in _shell_lines(page)]
    assert len(shown) > 40
    for page, line in shown:
        alone = re.split(r" (?:&&|&|\|) ?", re.sub(r"\$\([^)]*\)", "WORD", line))[0]
        words = shlex.split(alone, comments=True)
        try:
            _parse(cli, words[1:])
        except (click.UsageError, AssertionError, KeyError) as error:
            pytest.fail(f"{page}: {line}: {error}")


def _shell_lines(page: str) -> Iterator[str]:
    """The lines of a page's shell examples that call `bokehflow`, from there on."""
    for block in re.findall(r"(?ms)^ *```sh\n(.*?)^ *```", (REPOSITORY / page).read_text(encoding="utf-8")):
        yield from (
            f"bokehflow {found}" for found in re.findall(r"(?m)^(?:[A-Z_]+=\S+ )*\S*\bbokehflow (?!create)(.+)$", block)
        )


def test_the_project_files_that_a_page_shows_are_taken(tmp_path: Path) -> None:
    """Each with what it takes for granted: two domains, a recipe, maps of depth. Plans of faults too."""
    blocks = [
        (page, textwrap.dedent(block))
        for page in PAGES
        for block in re.findall(r"(?ms)^ *```toml\n(.*?)^ *```", (REPOSITORY / page).read_text(encoding="utf-8"))
    ]
    assert len(blocks) > 10
    granted = {
        "[domains.ordinary]": "",
        "[domains.shallow]": "",
        "[recipes.cyclegan]": "model = 'cyclegan'",
        "[depth]": "estimator = 'run:d5b6-depth-0'",
    }
    for page, block in blocks:
        if "[images]" in block:  # a plan of faults
            (tmp_path / "faults.toml").write_text(block, encoding="utf-8")
            assert isinstance(load_faults(tmp_path / "faults.toml"), FaultPlan)
            continue
        needed = [f"{head}\n{text}\n" for head, text in granted.items() if head not in block]
        (tmp_path / "bokehflow.toml").write_text("\n".join([block.replace("…", ""), *needed]), encoding="utf-8")
        assert isinstance(load_project(tmp_path / "bokehflow.toml"), Project), page


def test_every_key_of_the_project_file_has_a_row() -> None:
    """Those of tables within tables too."""
    keys = Counter(key for model in _models(Project) for key in _keys(model))
    page = (REPOSITORY / "docs" / "configuration.md").read_text(encoding="utf-8")
    rows = Counter(re.findall(r"(?m)^\| `(\w+)` \|", page))
    assert {"below", "calls_per_hour", "learning_rate"} <= keys.keys()
    assert not [key for key, count in keys.items() if rows[key] < count]


def test_defaults_stand_there_as_one_would_write_them() -> None:
    page = (REPOSITORY / "docs" / "configuration.md").read_text(encoding="utf-8")
    rows = [row.split(" | ") for row in page.splitlines() if row.startswith("| `")]
    defaults = {cell.strip("`") for row in rows for cell in row[1:-1] if re.fullmatch("`.*`", cell)}
    assert len(defaults) > 50
    for default in defaults:
        tomllib.loads(f"value = {default}")


def _models(model: type[BaseModel]) -> set[type[BaseModel]]:
    """The models within a model, and the settings of runs."""
    found: set[type[BaseModel]] = {TrainingSettings}
    waiting: list[object] = [field.annotation for field in model.model_fields.values()]
    while waiting:
        annotation = waiting.pop()
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found |= {annotation}
            waiting += [field.annotation for field in annotation.model_fields.values()]
        waiting += get_args(annotation)
    return found


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def test_every_extra_is_in_the_readme() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    told = README.partition("comes as an extra")[2].partition("\n\n")[0]
    assert not [extra for extra in project["optional-dependencies"] if f"`{extra}`" not in told and extra != "dev"]


def test_every_variable_of_ours_is_listed() -> None:
    page = (REPOSITORY / "docs" / "configuration.md").read_text(encoding="utf-8")
    listed = page.partition("## The environment")[2]
    read = {
        name.rstrip("_")
        for folder in ("pipeline", "storage", "resources", "assets")
        for path in (REPOSITORY / folder).rglob("*.py")
        for name in re.findall(r"\"((?:BOKEHFLOW|FLICKR)_[A-Z_]+)\"", path.read_text(encoding="utf-8"))
    }
    assert len(read) > 8
    assert not [name for name in read - {"BOKEHFLOW_STARTER"} if name not in listed]  # which only our processes read


def test_every_key_of_the_review_page_is_listed() -> None:
    help_text = (REPOSITORY / "pipeline/curation/review/templates/base.html").read_text(encoding="utf-8")
    table = (REPOSITORY / "docs" / "curation.md").read_text(encoding="utf-8").partition("## The review page")[2]
    keys = set(re.findall(r"<kbd>([^<{]+)</kbd>", help_text))
    assert len(keys) > 15
    assert not [key for key in keys if f"`{key}`" not in table]


@pytest.mark.parametrize(("page", "pattern"), [("training.md", "runs/*"), ("snapshots.md", "snapshots/*")])
def test_every_file_of_a_run_and_of_a_snapshot_is_told(finished_demo: Path, page: str, pattern: str) -> None:
    table = (REPOSITORY / "docs" / page).read_text(encoding="utf-8")
    names = {path.name for folder in finished_demo.glob(pattern) for path in folder.iterdir() if path.name[0] != "."}
    assert len(names) > 5
    assert not [name for name in names if f"`{name}`" not in table and f"`{name}/" not in table]


def test_every_rule_of_duplicates_is_explained() -> None:
    page = (REPOSITORY / "docs" / "collecting.md").read_text(encoding="utf-8")
    explained = page.partition("## Duplicates")[2].partition("\n## ")[0]
    assert all(f"`{rule}`" in explained for rule in RULES)


def test_the_pages_made_from_code_are_up_to_date() -> None:
    for name, page in generated().items():
        assert (REPOSITORY / "docs" / name).read_text(encoding="utf-8") == page(), "run docs/generate.py"


def test_the_notebook_of_the_api_page(finished_demo: Path) -> None:
    (code,) = re.findall(r"(?ms)^```python\n(from .*?)^```$", (REPOSITORY / "docs" / "api.md").read_text(encoding="utf-8"))
    code = code.replace("demo-data", str(finished_demo))
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shape, *numbers = done.stdout.replace("(336, 448, 3)", "shape").split()
    assert shape == "shape"
    assert all(0 <= float(number) <= 1 for number in numbers)


def test_the_notebook_of_the_tables_page(finished_demo: Path) -> None:
    (code,) = re.findall(r"(?ms)^```python\n(.*?)^```$", (REPOSITORY / "docs" / "tables.md").read_text(encoding="utf-8"))
    found: dict[str, Any] = {}
    exec(code.replace("demo-data", str(finished_demo)), found)
    assert {"not_an_image", "unavailable"} <= set(found["rejected"]["reason"])


def generated() -> dict[str, Callable[[], str]]:
    spec = importlib.util.spec_from_file_location("generate", REPOSITORY / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    return generate.PAGES


PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    *(f"docs/{path.name}" for path in (REPOSITORY / "docs").glob("*.md")),
)


def test_every_file_that_the_documentation_links_to_exists() -> None:
    for page in map(REPOSITORY.joinpath, PAGES):
        for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", page.read_text(encoding="utf-8")):
            if target.startswith("http"):
                continue
            linked = page.parent / target if target else page
            assert linked.exists(), f"{page.name}: {target}"
            assert not anchor or anchor in anchors(linked), f"{page.name}: {target}#{anchor}"


def test_no_row_of_a_table_is_broken_in_two() -> None:
    rows = [
        line for page in PAGES for line in (REPOSITORY / page).read_text(encoding="utf-8").splitlines() if line[:2] == "| "
    ]
    assert len(rows) > 100
    assert [row for row in rows if row[-1] != "|"] == []


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set(), ["README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        text = (REPOSITORY / page).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:]+\.md)", text):
            linked = str((REPOSITORY / page).parent.joinpath(target).resolve().relative_to(REPOSITORY))
            waiting += [linked] if linked not in reached else []
    assert set(PAGES) <= reached


def anchors(page: Path) -> set[str]:
    """The anchors that a Markdown page's headings get."""
    heads = re.findall(r"(?m)^#+ (.+)$", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES)
def test_every_place_in_the_code_that_a_page_names_exists(page: str) -> None:
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    for named in re.findall(r"`((?:pipeline|assets|resources|storage|tests|benchmarks|docs)/[\w./-]*)`", text):
        assert (REPOSITORY / named).exists(), named


@pytest.mark.parametrize("page", ["CONTRIBUTING.md"])
def test_every_name_in_a_place_that_a_page_names_is_there(page: str) -> None:
    """What is said to be `in` or `of` a file stands there."""
    text = " ".join((REPOSITORY / page).read_text(encoding="utf-8").split())
    found = re.findall(r"`(\w+)(?:\.(\w+))?`,? (?:of|in) `([\w/]+\.py)`", text)
    assert found
    for name, member, place in found:
        code = (REPOSITORY / place).read_text(encoding="utf-8")
        assert re.search(rf"(?m)^(?:class |def )?{name}\b", code), (name, place)
        assert not member or re.search(rf"(?m)^    (?:def )?{member}\b", code), (member, place)


def test_help_loads_nothing_heavy() -> None:
    code = "import sys, pipeline.cli; print(sorted({'dagster', 'pandas', 'torch', 'numpy', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
