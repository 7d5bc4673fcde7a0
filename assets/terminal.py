"""What a person sees in the terminal while stages run: their own words, without Dagster's step events."""

import logging
import sys

import dagster as dg

TOLD_ELSEWHERE = (dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE)
"""That a step or a run ended early, and why, whoever started it says: as an error, or calmly where photos wait."""
OF_PIPES = "[pipes] "
"""So begins what Dagster says of its line to the trainer, which is no news while it works."""


@dg.logger(config_schema={}, description="Messages of stages on standard error")
def terminal_logger(context: dg.InitLoggerContext) -> logging.Logger:
    """A logger for INFO and above that prints the bare message."""
    logger = logging.Logger("bokehflow")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Bare())
    handler.addFilter(_is_news)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    return logger


def _is_news(record: logging.LogRecord) -> bool:
    if record.levelno <= logging.INFO and _message(record).startswith(OF_PIPES):
        return False
    event = getattr(record, "dagster_meta", {}).get("dagster_event")
    return event is None or event.event_type not in TOLD_ELSEWHERE


def _message(record: logging.LogRecord) -> str:
    return getattr(record, "dagster_meta", {}).get("orig_message") or record.getMessage()


class _Bare(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"  {_message(record)}"
