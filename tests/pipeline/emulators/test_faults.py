"""Fault plans: read with clear messages, drawn the same each time, in the shares that were asked for."""

from collections import Counter
from pathlib import Path

import pytest

from pipeline.config import load_project
from pipeline.emulators.faults import FaultPlan, load_faults
from pipeline.errors import ConfigError

PLAN = """
seed = 7
refused_keys = ["gone"]
[api]
http_429 = 0.05
slow = 1
slow_s = 2
[images.photos]
4950000001 = "cut"
[[changes]]
after_calls = 20
photo = "4950000002"
license = "0"
tags = ["a"]
"""


def test_a_plan_is_read(tmp_path: Path) -> None:
    path = tmp_path / "faults.toml"
    path.write_text(PLAN.replace("slow = 1\n", "slow = 0.5\n"))
    plan = load_faults(path)
    assert (plan.seed, plan.api.http_429, plan.api.slow_s) == (7, 0.05, 2.0)
    assert plan.image_fault("4950000001", "/a.jpg", 1) == "cut"
    assert plan.image_fault("4950000002", "/a.jpg", 1) is None
    assert plan.changes[0].fields() == {"license": "0", "tags": ("a",)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PLAN, r"faults\.toml:4: api: the shares add up to 1\.05"),
        ("[api]\nhttp_429 = 2.0", r"faults\.toml:2: api\.http_429: .*less than or equal to 1"),
        ("[api]\nhttp_430 = 0.1", r"faults\.toml:2: api\.http_430: unknown key"),
        ('[images.photos]\n1 = "eaten"', r"faults\.toml:2: images\.photos\.1: "),
        ('[[changes]]\nphoto = "1"', r"faults\.toml:1: changes\.0\.after_calls: is missing"),
        ('seed = "x"', r"faults\.toml:1: seed: "),
        ("seed = ", r"faults\.toml: not valid TOML"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "faults.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_faults(path)


def test_a_missing_plan(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_faults(tmp_path / "none.toml")


def test_shares_come_out_and_repeat() -> None:
    plan = FaultPlan.model_validate({"seed": 1, "api": {"http_429": 0.3, "html": 0.1}})
    drawn = [plan.api_fault(call) for call in range(5000)]
    shares = {fault: count / 5000 for fault, count in Counter(drawn).items()}
    assert shares == {
        "http_429": pytest.approx(0.3, abs=0.03),
        "html": pytest.approx(0.1, abs=0.02),
        None: pytest.approx(0.6, abs=0.03),
    }
    assert drawn == [plan.api_fault(call) for call in range(5000)]
    assert drawn != [plan.model_copy(update={"seed": 2}).api_fault(call) for call in range(5000)]


def test_the_empty_plan_behaves() -> None:
    plan = FaultPlan()
    assert {plan.api_fault(call) for call in range(100)} == {None}
    assert {plan.image_fault("1", "/a", call) for call in range(100)} == {None}
    assert {plan.drift(call) for call in range(100)} == {(0, 0)}


def test_drift_is_noticeable_and_bounded() -> None:
    plan = FaultPlan.model_validate({"api": {"drift": 0.5, "drift_photos": 3}})
    drifts = [plan.drift(call) for call in range(1000)]
    assert sum(drift != (0, 0) for drift in drifts) == pytest.approx(500, abs=60)
    assert {total for total, _ in drifts} == {0, 1, 2, 3}
    assert {page for _, page in drifts} == {-3, -2, -1, 0, 1, 2, 3}


@pytest.mark.parametrize("text", ["seed = " + "9" * 5000, "seed = " + "[" * 20_000, "x" + ".a" * 5_000 + " = 1"])
def test_no_toml_makes_a_reader_stumble(tmp_path: Path, text: str) -> None:
    (tmp_path / "faults.toml").write_text(text)
    for load in (load_faults, load_project):
        with pytest.raises(ConfigError):
            load(tmp_path / "faults.toml")
