"""Writes docs/configuration.md from the models of the project file; a test keeps the two equal.

Run with `.venv/bin/python docs/generate.py`.
"""

from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pipeline.config import Domain, Project, Query, Recipe
from pipeline.training.recipes import PROFILES, TrainingSettings

TARGET = Path(__file__).parent / "configuration.md"
INTRODUCTION = """\
# The project file

`bokehflow.toml` is TOML; `--config FILE` names another. Unknown keys and wrong types are refused with their line.
This page is written by `docs/generate.py` from the models in `pipeline/config.py`.
"""


def reference() -> str:
    """The whole page."""
    sections = [
        _section(f"[{name}]", field.annotation) for name, field in Project.model_fields.items() if _is_section(field)
    ]
    named = [
        _section("[domains.NAME]", Domain),
        _section("[[domains.NAME.queries]]", Query),
        _section("[recipes.NAME]", Recipe),
        _profiles(),
    ]
    return "\n".join([INTRODUCTION, *sections, *named])


def _is_section(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _section(title: str, model: object) -> str:
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise TypeError(f"{title}: {model!r} is no model")
    rows = [
        f"| `{field.alias or name}` | {_default(field)} | {_one_line(field.description)} |"
        for name, field in model.model_fields.items()
    ]
    return "\n".join([f"## `{title}`", "", "| key | default | meaning |", "|---|---|---|", *rows, ""])


def _profiles() -> str:
    """Every setting of a run with its value in each profile."""
    names = list(PROFILES)
    rows = [
        f"| `{name}` | "
        + " | ".join(f"`{getattr(PROFILES[profile], name)}`" for profile in names)
        + f" | {_one_line(field.description)} |"
        for name, field in TrainingSettings.model_fields.items()
    ]
    head = "| setting | " + " | ".join(names) + " | meaning |"
    return "\n".join(["## `[recipes.NAME.settings]`", "", head, "|---|" + "---|" * len(names) + "---|", *rows, ""])


def _default(field: FieldInfo) -> str:
    return "needed" if field.is_required() else f"`{field.get_default(call_default_factory=True)!r}`".replace("|", "\\|")


def _one_line(text: str | None) -> str:
    if not text:
        raise ValueError("every key needs a description")
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
