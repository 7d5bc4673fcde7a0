"""The model card: what a run trained, on what, with what."""

import os
import platform
from importlib.metadata import version
from typing import Any

import torch

from pipeline.models.translator import Translator
from pipeline.training.jobs import TrainingJob
from pipeline.training.recipes import digest
from pipeline.training.runs import Completion

LIBRARIES = ("numpy", "pillow", "safetensors")


def model_card(
    job: TrainingJob, completion: Completion, model: Translator[Any], images: dict[str, int], device: torch.device
) -> dict[str, object]:
    """The card as plain values; `images` counts the training pictures of each domain. No paths are in it."""
    generator = sum(parameter.numel() for parameter in model.generators["a_to_b"].parameters())
    discriminator = sum(parameter.numel() for parameter in model.discriminators["b"].parameters())
    return {
        **completion.model_dump(),
        "domains": {"a": job.domain_a, "b": job.domain_b},
        "training_images": images,
        "settings": job.settings.model_dump(mode="json"),
        "settings_digest": digest(job.settings),
        "weights": "running average" if job.settings.weight_average > 0 else "last step",
        "parameters": {"generator": generator, "discriminator": discriminator},
        "lineage": job.lineage,
        "versions": _versions(),
        "hardware": _hardware(device),
    }


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
