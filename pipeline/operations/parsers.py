"""Parsers that are learnt here: from the rendered scenes, once, into the home's weights."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.plain_files import at_hand

if TYPE_CHECKING:
    from pipeline.studio.labelled import Half

log = logging.getLogger(__name__)

LEARNT_FROM: "dict[str, Half]" = {"parts": "even", "parts_judge": "odd"}
"""Which half of the scenes, by the network that learns from them."""


def ensure_parser(name: str, weights_folder: Path) -> None:
    """Have the parser `name` ready in the folder: learnt, fetched, or as it lies there; in any case it is read and checked.

    Raises `WeightsError` where that is not possible.
    """
    # torch takes seconds to import, and the code location is imported for every step.
    from pipeline.models.parsers import load_parser
    from pipeline.models.parts_networks import learn_parts, parts_path, save_parts_network
    from pipeline.studio.labelled import labelled_pictures

    if name in LEARNT_FROM and not at_hand(parts_path(name, weights_folder)):
        log.info("learning to tell the parts of rendered portraits (%s, once)", name)
        save_parts_network(name, learn_parts(name, *labelled_pictures(LEARNT_FROM[name])), weights_folder)
    load_parser(name, weights_folder)
