"""The model card: what a run trained, on what, with what. Its text stands in `templates/card.md`."""

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from itertools import pairwise
from typing import Any

import jinja2
import numpy as np
import torch

from pipeline.models import MODELS_OF_DEPTH, MODELS_OF_ONE_DOMAIN
from pipeline.models.translator import Translator
from pipeline.training.jobs import TrainingJob
from pipeline.training.loss_log import LossLog
from pipeline.training.progress_checks import Check
from pipeline.training.recipes import digest
from pipeline.training.runs import Completion

LIBRARIES = ("numpy", "pillow", "safetensors")
CURVE_POINTS = 10
CHECKED = ("gap", "scales", "change", "left")
"""What the card shows of each check."""


def model_card(
    job: TrainingJob,
    completion: Completion,
    model: Translator[Any],
    images: dict[str, int],
    device: torch.device,
    subjects: bool,
) -> dict[str, object]:
    """The card as plain values; `images` counts the training pictures of each domain, `subjects` says whether masks tell
    one in any of those to be translated. No paths are in it."""
    generator = sum(parameter.numel() for parameter in model.generators["a_to_b"].parameters())
    judge = model.discriminators.get("b", model.discriminators.get("a"))
    discriminator = sum(parameter.numel() for parameter in judge.parameters()) if judge is not None else 0
    return {
        **completion.model_dump(),
        "kind": kind_of(job.model, subjects),
        "domains": {"a": job.domain_a, "b": job.domain_b},
        "training_images": images,
        "settings": job.settings.model_dump(mode="json"),
        "settings_digest": digest(job.settings),
        "weights": "running average" if job.settings.weight_average > 0 else "last step",
        "parameters": {"generator": generator, "discriminator": discriminator},
        "licences": job.licences,
        "lineage": job.lineage,
        "versions": _versions(),
        "hardware": _hardware(device),
    }


def card_page(card: Mapping[str, Any], losses: LossLog, checks: Sequence[Check]) -> str:
    """The card as Markdown, with the curves as tables: means of the unweighted losses over tenths of the run."""
    domains, images, lineage = card["domains"], card["training_images"], card["lineage"]
    facts = {
        "Model": f"{card['model']}, {card['parameters']['generator']:,} parameters in its generator",
        "Recipe, seed": f"{card['recipe']}, {card['seed']}",
        "Snapshot": card["snapshot_id"],
        "Trained on": f"{images['a']} pictures of {domains['a']} and {images['b']} of {domains['b']}",
        "Their licences": ", ".join(f"{name}: {count}" for name, count in card["licences"].items()) or "not told",
        "Steps, hours": f"{card['steps']}, {card['seconds'] / 3600:.2f}",
        "Weights": card["weights"],
        "Needs": _needs(card["settings"]),
        "Lens": _lens(card["settings"]["output"], card["strengths"]),
        "Failing": f"by its last check it {card['failing']}" if card["failing"] else "no, by its last check",
        "Code": f"bokehflow {lineage.get('bokehflow', 'unknown')}, revision {lineage.get('code_revision', 'unknown')}",
        "Versions": ", ".join(f"{name} {version}" for name, version in card["versions"].items()),
        "Hardware": ", ".join(f"{name} {value}" for name, value in card["hardware"].items()),
        "Digest of the configuration": card["digest"],
    }
    terms, curves = _curves(losses)
    rows = [(str(row.step), *_figures(row)) for row in checks]
    told = {"card": card, "facts": facts, "terms": terms, "curves": curves, "checks": rows}
    return _template().render(told, checked=CHECKED)


def kind_of(model: str, subjects: bool = True) -> str:
    """What sort of thing it makes, for the words about it: "blur", "focus", "depth", "content" where nobody is meant."""
    if model not in MODELS_OF_ONE_DOMAIN:
        return "blur" if subjects else "content"
    return "depth" if model in MODELS_OF_DEPTH else "focus"


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.training"),
        autoescape=False,  # Markdown, of our own words and figures
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["table"] = _table
    return environment.get_template("card.md")


def _figures(check: Check) -> list[str]:
    return [f"{check.figures[name]:.3f}" if name in check.figures else "–" for name in CHECKED]


def _needs(settings: Mapping[str, Any]) -> str:
    """What it must be given to be applied."""
    if settings.get("lens_finds_subject"):
        return "the photo: it finds the subject itself, as it learnt from the masks of its training photos"
    if settings["output"] == "refocused":
        return "the photo and a map of what should be sharp: `translate` takes the subject"
    if not settings["lens_holds_subject"]:
        return "the photo"
    return "the photo and its subject's alpha: `translate` and the evaluation find it by `[masks]`, ONNX takes it too"


def _curves(losses: LossLog) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Head and rows: the last step of each tenth, and each term's mean over it."""
    ends = np.unique(np.linspace(0, losses.settled_steps, CURVE_POINTS + 1).astype(int))
    means = [losses.means(start, end) for start, end in pairwise(ends.tolist())]
    names = sorted({name for row in means for name in row})
    cells = [tuple(f"{row[name]:.4f}" if name in row else "" for name in names) for row in means]
    rows = [(str(end), *values) for end, values in zip(ends[1:], cells, strict=True)]
    return ("step", *names), rows


def _lens(output: str, strengths: Mapping[str, float]) -> str:
    """Whether it ends in one, and by how much that was set right."""
    if output != "lens":
        return "none"
    if not strengths:
        return "not calibrated"
    told = " and ".join(f"{strength:g} times (the {checkpoint} checkpoint's)" for checkpoint, strength in strengths.items())
    return f"its discs are {told} as large as those trained with, as fits the training pictures"


def _table(rows: Iterable[Sequence[object]], *head: str) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _versions() -> dict[str, str]:
    libraries = {name: version(name) for name in LIBRARIES}
    return {"python": platform.python_version(), "torch": torch.__version__, **libraries}


def _hardware(device: torch.device) -> dict[str, str | int | None]:
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "machine": platform.machine(),
        "system": platform.system(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }
