"""When a report is due, by clocks that may have been wrong."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.config import load_project
from pipeline.evaluation.report.sources_record import recorded_evaluations
from pipeline.operations.reports import report_inputs, write_reports
from pipeline.operations.snapshots_due import reports_due
from storage import Home
from tests.judged_world import judge, judged_home, train

AHEAD_S = 10 * 86_400
EARLIER_S, LATER_S = -600.0, -300.0
"""Before now."""


@dataclass
class Recorded:
    """Dagster's records of a report alone: when it was made."""

    report_s: float

    def made_at_s(self, asset: str, partition: str | None) -> float | None:
        return self.report_s

    def partitions(self, asset: str) -> set[str]:
        return set()

    def failed_checks(self, asset: str, checks: Sequence[str]) -> dict[str, str] | None:
        return {}


@pytest.mark.parametrize(
    ("judged_s", "made_s", "is_due"),
    [
        ([EARLIER_S], LATER_S, False),
        ([LATER_S], EARLIER_S, True),
        ([AHEAD_S], LATER_S, False),  # else it would be made again and again
        ([AHEAD_S, LATER_S], EARLIER_S, True),
        ([EARLIER_S, LATER_S], AHEAD_S, True),  # else no later model would come into it until then
        ([AHEAD_S], AHEAD_S, False),
    ],
)
def test_a_clock_that_was_ahead_neither_makes_a_report_for_ever_nor_keeps_it_from_being_made(
    tmp_path: Path, judged_s: list[float], made_s: float, is_due: bool
) -> None:
    home, world = judged_home(tmp_path / "home")
    snapshot, now_s = world.freeze(range(1, 13)), time.time()
    for recipe, at_s in zip(("cyclegan@0", "mask_loss@0"), judged_s, strict=False):
        train(home, snapshot, recipe)
        judge(home, snapshot, recipe, 0.9, 0.5)
        _made_at(home, f"{recipe}|{snapshot}", now_s + at_s)
    report = home.reports / snapshot / "index.html"
    report.parent.mkdir(parents=True)
    report.touch()
    os.utime(report, (now_s + made_s, now_s + made_s))
    assert bool(list(reports_due(home, Recorded(now_s + made_s), snapshot))) == is_due


def test_a_report_is_due_as_soon_as_its_evaluations_differ_whatever_clocks_say(tmp_path: Path) -> None:
    home, world = judged_home(tmp_path / "home")
    snapshot, now = world.freeze(range(1, 13)), Recorded(time.time())
    train(home, snapshot, "cyclegan@0")
    judge(home, snapshot, "cyclegan@0", 0.9, 0.5)
    _write_report(home, snapshot)
    _made_at(home, f"cyclegan@0|{snapshot}", now.report_s + 30)  # the same scores, made anew
    assert not list(reports_due(home, now, snapshot))
    train(home, snapshot, "mask_loss@0")
    judge(home, snapshot, "mask_loss@0", 0.8, 0.5)
    _made_at(home, f"mask_loss@0|{snapshot}", now.report_s + EARLIER_S)
    assert [due.why for due in reports_due(home, now, snapshot)] == ["`evaluation` mask_loss@0 is new"]
    assert [due.why for due in reports_due(home, now, "another")] == ["`evaluation` mask_loss@0 is new"]
    _write_report(home, snapshot)
    assert not list(reports_due(home, now, snapshot))
    judge(home, snapshot, "mask_loss@0", 0.7, 0.5)
    _made_at(home, f"mask_loss@0|{snapshot}", now.report_s + EARLIER_S)
    assert [due.why for due in reports_due(home, now, snapshot)] == ["`evaluation` mask_loss@0 changed"]


def test_a_page_without_a_readable_record_has_none(tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    assert recorded_evaluations(page) is None
    for record in ("", "[1]", "{&#34;a&#34;: 1}", "{", "&#34;"):
        page.write_text(f'<meta name="bokehflow-evaluations" content="{record}">')
        assert recorded_evaluations(page) is None
    page.write_text('<meta name="bokehflow-evaluations" content="{&#34;a@0&#34;: &#34;e7a1&#34;}">')
    assert recorded_evaluations(page) == {"a@0": "e7a1"}


def _write_report(home: Home, snapshot: str) -> None:
    inputs = report_inputs(load_project(home.root / "bokehflow.toml"), home, snapshot)
    write_reports(home.reports / snapshot / "index.html", inputs)


def _made_at(home: Home, key: str, at_s: float) -> None:
    info = home.tables.info("evaluation", key)
    assert info is not None
    home.tables.write("evaluation", home.tables.read("evaluation", key), key, info.provenance, made_s=at_s)
