"""What a person sees in the terminal while stages run: their own words, without Dagster's step events."""

import logging
import sys

import dagster as dg


@dg.logger(config_schema={}, description="Messages of stages on standard error")
def terminal_logger(context: dg.InitLoggerContext) -> logging.Logger:
    """A logger for INFO and above that prints the bare message."""
    logger = logging.Logger("bokehflow")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Bare())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    return logger


class _Bare(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        message = getattr(record, "dagster_meta", {}).get("orig_message") or record.getMessage()
        return f"  {message}"
