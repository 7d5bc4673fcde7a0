"""The model card: what a run trained, on what, with what."""

import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from itertools import pairwise
from typing import Any

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
BLUR_WORDS = (
    "Makes portraits in focus throughout look as if taken with a shallow depth of field. It knows no more than its training "
    "pictures show; it may alter faces, and it invents what it blurs."
)
DEPTH_WORDS = (
    "Predicts from one picture how far away everything is. It knows no more than its training pictures show: other cameras, "
    "rooms and things it guesses, and no distance that it tells is a measurement."
)
BLUR_CHECKS = (
    "`gap`, `scales`: what is left of the distance between the domains in the softness of their backgrounds, relative to "
    "local contrast and to half the size, 1 for unchanged pictures; `change`: L1 inside the subjects, in parts of what the "
    "study's Gaussian changes there; `left`: of the backgrounds' sharpness."
)
DEPTH_CHECKS = "`gap`: what is left of the error that the same distance everywhere would have."
FOCUS_WORDS = (
    "Paints what a lens would show of a picture in focus throughout, told by a map what shall be sharp. It knows no more "
    "than its training pictures show, it invents what it blurs, and it may not obey other maps than those it learnt by."
)
FOCUS_CHECKS = "`gap`: what is left of the difference between the unchanged pictures and those through the lens."
CHECKED = ("gap", "scales", "change", "left")
"""What the card shows of each check."""


def model_card(
    job: TrainingJob, completion: Completion, model: Translator[Any], images: dict[str, int], device: torch.device
) -> dict[str, object]:
    """The card as plain values; `images` counts the training pictures of each domain. No paths are in it."""
    generator = sum(parameter.numel() for parameter in model.generators["a_to_b"].parameters())
    judge = model.discriminators.get("b", model.discriminators.get("a"))
    discriminator = sum(parameter.numel() for parameter in judge.parameters()) if judge is not None else 0
    return {
        **completion.model_dump(),
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
        "Lens": _strengths(card["strengths"]),
        "Failing": f"by its last check it {card['failing']}" if card["failing"] else "no, by its last check",
        "Code": f"bokehflow {lineage.get('bokehflow', 'unknown')}, revision {lineage.get('code_revision', 'unknown')}",
        "Versions": ", ".join(f"{name} {version}" for name, version in card["versions"].items()),
        "Hardware": ", ".join(f"{name} {value}" for name, value in card["hardware"].items()),
        "Digest of the configuration": card["digest"],
    }
    words, checked = BLUR_WORDS, BLUR_CHECKS
    if card["model"] in MODELS_OF_ONE_DOMAIN:
        told = card["model"] not in MODELS_OF_DEPTH
        words, checked = (FOCUS_WORDS, FOCUS_CHECKS) if told else (DEPTH_WORDS, DEPTH_CHECKS)
    parts = [
        f"# {card['run_id']}",
        words,
        _table(("", ""), [(name, str(value)) for name, value in facts.items()]),
        "## Losses",
        "Unweighted, means over tenths of the run; every step's lie in `losses.parquet`.",
        _table(*_curves(losses)),
        "## Checks",
        f"On training pictures. {checked} The best checkpoint is that of step {card['best'].get('step', '–')}.",
        _table(("step", *CHECKED), [(str(row.step), *_figures(row)) for row in checks]),
        f"The generators' files and their SHA-256 stand in `model.json`; `{card['sample']}` shows what they do.",
    ]
    return "\n\n".join(parts) + "\n"


def _figures(check: Check) -> list[str]:
    return [f"{check.figures[name]:.3f}" if name in check.figures else "–" for name in CHECKED]


def _needs(settings: Mapping[str, Any]) -> str:
    """What it must be given to be applied."""
    if settings.get("lens_finds_subject"):
        return "the photo: it finds the subject itself, as it learnt from the masks of its training photos"
    if settings["output"] == "refocused":
        return "the photo and a map of what shall be sharp: `translate` takes the subject"
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


def _strengths(strengths: Mapping[str, float]) -> str:
    """By how much a calibrated lens was set right."""
    if not strengths:
        return "not calibrated"
    told = " and ".join(f"{strength:g} times (the {checkpoint} checkpoint's)" for checkpoint, strength in strengths.items())
    return f"its discs are {told} as large as those trained with, as fits the training pictures"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


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
