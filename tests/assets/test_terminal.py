"""What a person sees while stages run."""

import dagster as dg
import pytest

from assets.terminal import terminal_logger


@dg.op
def talks(context: dg.OpExecutionContext) -> None:
    context.log.info("pictures measured: 40 of 40")
    context.log.info("[pipes] external process successfully opened dagster pipes.")
    context.log.warning("[pipes] framework exception occurred")


@dg.job(logger_defs={"terminal": terminal_logger})
def one_job() -> None:
    talks()


def test_the_terminal_shows_what_stages_say_and_of_dagsters_line_only_trouble(capsys: pytest.CaptureFixture[str]) -> None:
    assert one_job.execute_in_process(run_config={"loggers": {"terminal": {}}}).success
    assert capsys.readouterr().err == "  pictures measured: 40 of 40\n  [pipes] framework exception occurred\n"
