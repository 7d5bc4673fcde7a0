"""The image-translation models, one file per model.

`MODELS` is the written-out list. Nothing here imports torch before a model is asked for, so that code which
only needs the names (configuration, asset definitions) stays light.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.models.cyclegan import CycleGAN


def _cyclegan() -> "type[CycleGAN]":
    from pipeline.models.cyclegan import CycleGAN

    return CycleGAN


MODELS: "dict[str, Callable[[], type[CycleGAN]]]" = {
    "cyclegan": _cyclegan,
}
"""Model name, as recipes write it, to a function that imports the class. A variant subclasses `CycleGAN`."""


def model_class(name: str) -> "type[CycleGAN]":
    """Import and return the class of model `name`; ConfigError names the models there are."""
    if name not in MODELS:
        raise ConfigError(f"There is no model {name!r}; the models are: {', '.join(sorted(MODELS))}.")
    return MODELS[name]()
