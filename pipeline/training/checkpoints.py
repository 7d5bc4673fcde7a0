"""Checkpoints of a run, and the generators it leaves behind.

A checkpoint holds tensors, numbers and strings only, so that loading one executes no code. It restores
networks, running average, both optimisers, both pools and torch's random states; the learning rate and the
choice of pictures follow from the step and need no state.
"""

import json
import math
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from pipeline.atomic import atomic_path, write_bytes
from pipeline.errors import TrainingError
from pipeline.models.networks import Generator
from pipeline.plain_files import plain_path
from pipeline.training.state import TrainingState

METADATA_KEY = "bokehflow"
"""One key only: with several their order, and with it the file's hash, would differ from run to run."""


def save_checkpoint(state: TrainingState, path: Path, digest: str, seconds: float) -> None:
    """Write all that `restore_checkpoint` needs, atomically; `seconds` is the training time so far."""
    content = {
        "digest": digest,
        "step": state.step,
        "seconds": seconds,
        "model": state.model.state_dict(),
        "averages": {direction: average.state_dict() for direction, average in state.averages.items()},
        "generator_optimiser": state.generator_optimiser.state_dict()["state"],
        "discriminator_optimiser": state.discriminator_optimiser.state_dict()["state"],
        "pools": {domain: pool.state() for domain, pool in state.pools.items()},
        "torch_random": torch.get_rng_state(),
        "cuda_random": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:
            # Where the file cannot be written torch tells of places in it; what the system said is below.
            raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None


def restore_checkpoint(state: TrainingState, path: Path, digest: str) -> float:
    """Bring `state` to where the checkpoint was taken; returns the training time until then, in seconds.

    TrainingError if the file cannot be read or belongs to another configuration.
    """
    try:
        _check_stored(path)
        content = torch.load(plain_path(path), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its unpickler and zip reader raise
        problem = str(error).partition("\n")[0][:300]
        raise TrainingError(f"The checkpoint {path} cannot be read ({problem}); delete it to train anew.") from error
    if not isinstance(content, dict) or content.get("digest") != digest:
        raise TrainingError(f"The checkpoint {path} belongs to another configuration; delete it to train anew.")
    try:
        return _restore(state, content)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
        problem = f"{type(error).__name__}: {error}".partition("\n")[0][:300]
        raise TrainingError(f"The checkpoint {path} lacks what a run goes on from ({problem}); delete it.") from error


def _check_stored(path: Path) -> None:
    """Raises `ValueError` where parts of a checkpoint are not stored as they are: a packed one could become anything."""
    with zipfile.ZipFile(plain_path(path)) as archive:
        if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
            raise ValueError("its parts are packed, as torch never does")


def _restore(state: TrainingState, content: dict[str, Any]) -> float:
    """Take over everything; returns the training time in seconds. Raises whatever a damaged content leads to."""
    step, seconds = content["step"], content["seconds"]
    if not isinstance(step, int) or not isinstance(seconds, float) or step < 0 or not math.isfinite(seconds):
        raise ValueError("step or seconds is none")
    state.model.load_state_dict(content["model"])
    for direction, average in state.averages.items():
        average.load_state_dict(content["averages"][direction])
    _restore_moments(state.generator_optimiser, content["generator_optimiser"])
    _restore_moments(state.discriminator_optimiser, content["discriminator_optimiser"])
    for domain, pool in state.pools.items():
        pool.restore(content["pools"][domain], state.device)
    torch.set_rng_state(content["torch_random"])
    if torch.cuda.is_available():  # the run may have begun on a machine with more GPUs, or with none
        torch.cuda.set_rng_state_all(content["cuda_random"][: torch.cuda.device_count()])
    state.step = step
    return seconds


def _restore_moments(optimiser: torch.optim.Optimizer, moments: dict[int, dict[str, torch.Tensor]]) -> None:
    """Adam's moments; the rate follows from the step, and how the parameters are moved from the device."""
    if not all(isinstance(key, int) and isinstance(value, dict) for key, value in moments.items()):
        raise ValueError("these are no moments of parameters")
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})


def save_generator(generator: Generator, path: Path, provenance: dict[str, str | int]) -> None:
    """Write the weights as safetensors, atomically, with `provenance` in the header.

    Equal weights and provenance give equal bytes. TrainingError if a weight is not finite.
    """
    weights = {name: value.detach().cpu().contiguous() for name, value in generator.state_dict().items()}
    broken = [name for name, value in weights.items() if not torch.isfinite(value).all()]
    if broken:
        raise TrainingError(f"{path.stem} has weights that are not finite, first in {broken[0]}; lower the rate.")
    # Written here: safetensors hides what the system says, and lets nobody but the owner read.
    write_bytes(path, save(weights, {METADATA_KEY: json.dumps(provenance, sort_keys=True)}))


def load_generator_weights(generator: Generator, path: Path) -> None:
    """Fill `generator` with the weights of a safetensors file. TrainingError if it holds others, or is none."""
    try:
        generator.load_state_dict(load_file(plain_path(path)))
    except (SafetensorError, RuntimeError, OSError, ValueError, KeyError) as error:
        problem = str(error).splitlines()[0][:200]
        raise TrainingError(
            f"{path} holds no weights of this model ({problem}); start the run again to write it anew."
        ) from error
