"""From which evaluations a report was made: recorded in the head of its page, so that the two cannot be parted."""

import html
import json
import re
from collections.abc import Mapping
from pathlib import Path

from pipeline.bounded import form_problem, parse_json
from pipeline.plain_files import open_plain

HEAD_BYTES = 2**18
"""So much of a page is looked through; a thousand evaluations take a quarter of it."""
_RECORD = re.compile(rb'<meta name="bokehflow-evaluations" content="([^"]*)">')


def record_of(evaluations: Mapping[str, str]) -> str:
    """What stands in the page: each evaluation by its model's name, with its digest."""
    return json.dumps(dict(sorted(evaluations.items())))


def recorded_evaluations(page: Path) -> dict[str, str] | None:
    """From which evaluations the page at `page` was made, as digest by model; None where it, or its record, is not there or
    cannot be read, as in pages of earlier versions."""
    try:
        with open_plain(page) as file:
            found = _RECORD.search(file.read(HEAD_BYTES))
        told = parse_json(html.unescape(found.group(1).decode()).encode()) if found else None
    except (OSError, ValueError):
        return None
    return None if form_problem(told, {str: str}) else told
