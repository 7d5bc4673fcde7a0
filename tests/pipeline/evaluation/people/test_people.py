"""Scripted judges with a known preference: what they prefer is recovered, and who clicks at random is found."""

import csv
import io
from dataclasses import replace
from math import log

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation.people.choices import (
    COLUMNS,
    QUESTIONS,
    Choice,
    plan,
    read_choices,
    row_of,
    shown_to,
    spelled_alike,
)
from pipeline.evaluation.people.scores import (
    bradley_terry,
    krippendorff_alpha,
    people_say,
    strengths,
)

TRUTH = {"lens": 1.2, "phone": 0.3, "gaussian": -0.5, "input": -1.0}
METHODS = {f"flickr:{number}": list(TRUTH) for number in range(20)}
SEED = 7


def judged(judge: str, answers: int, random: np.random.Generator, is_random: bool = False) -> list[Choice]:
    """Answers by a known preference, or by a coin."""
    found = []
    for shown in shown_to(plan(METHODS, SEED), judge, SEED)[:answers]:
        chance = 0.5 if is_random else 1 / (1 + np.exp(TRUTH[shown.right] - TRUTH[shown.left]))
        choice = "left" if random.random() < chance else "right"
        found.append(Choice(shown.photo_id, shown.left, shown.right, "aperture", choice, judge, shown.is_repeat))
    return found


@pytest.fixture(scope="module")
def choices() -> list[Choice]:
    random = np.random.default_rng(3)
    return [one for judge in ("ada", "ben", "cleo") for one in judged(judge, 67, random)]


def scores(**metrics: dict[str, float]) -> pd.DataFrame:
    random = np.random.default_rng(0)
    rows = [
        (photo, method, name, values[method] + random.normal(0, 0.1))
        for name, values in metrics.items() for photo in METHODS for method in TRUTH
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["photo_id", "method", "metric", "value"])


def test_a_known_preference_is_recovered_within_the_interval(choices: list[Choice]) -> None:
    assert 200 <= len(choices) <= 201
    said = people_say(choices, "aperture", scores())
    assert said is not None
    assert [score.method for score in said.scores] == list(TRUTH)
    inside = []
    for seed in range(40):
        random = np.random.default_rng(seed)
        found = bradley_terry([one for judge in "abc" for one in judged(judge, 67, random) if not one.is_repeat])
        inside += [one.interval.low <= TRUTH[one.method] <= one.interval.high for one in found]
        assert all(one.interval.high - one.interval.low < 2 for one in found)
    assert np.mean(inside) >= 0.92, "of intervals that shall hold 95 %"
    assert not any(judge.is_random for judge in said.judges)
    assert said.alpha is not None
    assert 0 < said.alpha < 1


def test_a_judge_who_clicks_at_random_is_found_and_left_out(choices: list[Choice]) -> None:
    coin = judged("dice", 110, np.random.default_rng(11), is_random=True)
    said = people_say([*choices, *coin], "aperture", scores())
    assert said is not None
    assert [judge.name for judge in said.judges if judge.is_random] == ["dice"]
    assert "clicks at random" in next(judge.words for judge in said.judges if judge.name == "dice")
    alone = people_say(choices, "aperture", scores())
    assert alone is not None
    assert said.scores == alone.scores


def test_metrics_are_held_against_people(choices: list[Choice]) -> None:
    table = scores(
        subject_ssim=TRUTH,  # higher is better: as people say
        subject_l1=TRUTH,  # lower is better: the opposite
        imagined=dict.fromkeys(TRUTH, 0.0),  # noise alone
    )
    said = people_say(choices, "aperture", table)
    assert said is not None
    words = {one.metric.name: one.words for one in said.metrics}
    assert words["subject_ssim"] == "goes with people"
    assert words["subject_l1"] == "goes against people"
    assert words["imagined"].startswith("does not correlate")


def test_pairs_are_the_same_for_all_and_sides_are_not() -> None:
    pairs = plan(METHODS, SEED)
    assert len(pairs) == 20 * 6
    first, second = (shown_to(pairs, judge, SEED) for judge in ("ada", "ben"))
    assert [{one.left, one.right} for one in first] == [{one.left, one.right} for one in second]
    different = sum(one.left != other.left for one, other in zip(first, second, strict=True))
    assert 0.3 < different / len(first) < 0.7
    repeats = [index for index, one in enumerate(first) if one.is_repeat]
    assert all(
        (first[index].left, first[index].right) == (first[index - 5].right, first[index - 5].left) for index in repeats
    )
    assert shown_to(pairs, "Ada", SEED) == first
    assert plan(METHODS, SEED + 1) != pairs


def test_answers_come_back_from_their_csv() -> None:
    asked = [
        Choice("flickr:1", "a", "b", question, choice, "ada")
        for question, choice in zip(QUESTIONS, ("left", "same"), strict=False)
    ]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows(row_of(one, "snap", 1, "2026-01-01T00:00:00Z") for one in asked)
    assert read_choices(text.getvalue(), "snap", "ada.csv") == (asked, [])
    assert read_choices(text.getvalue(), "other", "ada.csv") == ([], [])
    again = text.getvalue() + text.getvalue().partition("\n")[2].replace(",ada,", ",Ada,")
    assert spelled_alike(read_choices(again, "snap", "ada.csv")[0]) == [replace(one, judge="Ada") for one in asked]
    changed = (
        text.getvalue() + ",".join(row_of(Choice("flickr:1", "b", "a", "aperture", "left", "ada"), "snap", 1, "")) + "\n"
    )
    assert {one.winner for one in read_choices(changed, "snap", "x")[0]} == {"b", None}, "the last answer counts"
    broken = text.getvalue() + "snap,flickr:1,a,b,aperture,maybe,ada,0,1,\nsnap,fl"
    found, problems = read_choices(broken, "snap", "ada.csv")
    assert found == asked
    assert [problem.partition(":")[0] for problem in problems] == ["ada.csv, line 4", "ada.csv, line 5"]
    long, itself = (
        "snap,flickr:1,a,{},aperture,left,{},0,1,\n".format(*pair) for pair in (("b", "j" * 200_000), ("a", "j"))
    )
    found, problems = read_choices(text.getvalue() + itself + long, "snap", "ada.csv")
    assert found == asked
    assert ["line 4: is no answer" in problems[0], "from line 4 on: cannot be read: field larger" in problems[1]] == [
        True
    ] * 2
    assert read_choices("a,b\n1,2\n", "snap", "x.csv")[1][0].startswith("x.csv: lacks the columns snapshot_id")


def test_strengths_are_those_of_bradley_and_terry() -> None:
    wins = np.array([[0, 300, 600], [100, 0, 200], [100, 100, 0]], float)
    found = strengths(wins)
    assert found.mean() == pytest.approx(0, abs=1e-9)
    assert found[0] - found[1] == pytest.approx(log(3), abs=0.05)
    assert np.isfinite(strengths(np.array([[0.0, 9.0], [0.0, 0.0]]))).all()


def test_alpha_is_krippendorffs() -> None:
    def answers(rows: str) -> list[Choice]:
        return [
            Choice(f"p{column}", "a", "b", "aperture", {"a": "left", "b": "right"}[value], f"j{row}")
            for row, line in enumerate(rows.split()) for column, value in enumerate(line)
        ]  # fmt: skip

    assert krippendorff_alpha(answers("aabb aabb")) == pytest.approx(1)
    # Two judges, ten units, six disagreements apart: 1 - (n - 1) o / (n_a n_b), worked by hand.
    assert krippendorff_alpha(answers("aaab aabb")) == pytest.approx(1 - 7 * 2 / (2 * 5 * 3))
    assert krippendorff_alpha(answers("aabb")) is None


def test_without_answers_nothing_is_said() -> None:
    assert people_say([], "person", scores()) is None
    assert [score.method for score in bradley_terry([Choice("p", "a", "b", "person", "same", "j")])] == ["a", "b"]
