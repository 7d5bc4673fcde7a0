"""From decisions to curated photos: groups, re-uploads, disagreement, rules."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import CurationRule
from pipeline.curation.curate import curate, decided_groups, disagreements, too_few
from pipeline.curation.decisions import Decision
from pipeline.curation.suggestions import rule_decisions
from pipeline.tables import conform
from tests.pipeline.curation.worlds import decision, hints_of, in_both, photo_id, unique_table


def curated(unique: pd.DataFrame, made: list[Decision], by_rules: list[Decision] | None = None) -> pd.DataFrame:
    return conform("curated_photos", curate(unique, made, by_rules or []))


def test_the_last_decision_counts_and_skip_takes_it_back() -> None:
    made = [
        decision(0, "keep"),
        decision(1, "keep"),
        decision(0, "drop", 2),
        decision(1, "skip", 2),
        decision(2, "move", move_to="shallow"),
    ]
    table = curated(unique_table(range(4)), made).set_index("photo_id")
    assert table["decision"].to_dict() == {"flickr:0": "drop", "flickr:2": "move"}
    assert table.loc["flickr:2", "target_domain"] == "shallow"
    assert table["target_domain"].isna()["flickr:0"]


def test_every_row_says_by_whom_where_and_when() -> None:
    (row,) = curated(unique_table(range(2)), [decision(0, "keep", 7 * 10**9)]).to_dict("records")
    assert {name: row[name] for name in ("curator", "file", "row", "decided_at_s", "decided_photo_id")} == {
        "curator": "Ann", "file": "a.csv", "row": 2, "decided_at_s": 7, "decided_photo_id": "flickr:0",
    }  # fmt: skip


def test_a_decision_stands_for_its_whole_group_and_a_reupload_does_not_orphan_it() -> None:
    unique = unique_table(range(3), rule={1: "perceptual"}, group={1: 0}, width_px={0: 400})
    assert curated(unique, [decision(1, "keep")])["photo_id"].tolist() == ["flickr:1"]
    assert decided_groups(unique, [decision(1, "keep")]) == {"flickr:0"}


def test_of_several_decided_members_the_kept_one_is_shown_if_it_agrees() -> None:
    unique = unique_table(range(4), rule={1: "perceptual", 2: "perceptual"}, group={1: 0, 2: 0}, width_px={2: 80})
    agreed = curated(unique, [decision(0, "keep"), decision(1, "keep", 2)])
    assert agreed["photo_id"].tolist() == ["flickr:0"]
    assert agreed["decided_photo_id"].tolist() == ["flickr:1"]
    larger = curated(unique, [decision(1, "keep", 2), decision(2, "keep")])
    assert larger["photo_id"].tolist() == ["flickr:2"]
    taller = unique.assign(height_px=unique["height_px"].mask(unique["photo_id"] == "flickr:1", 90))
    tallest = curated(taller, [decision(1, "keep"), decision(2, "keep", 2)])
    assert tallest["photo_id"].tolist() == ["flickr:1"]


def test_disagreement_within_a_group_is_told() -> None:
    unique = unique_table(range(3), rule={1: "perceptual"}, group={1: 0})
    table = curated(unique, [decision(0, "drop"), decision(1, "keep", 2)])
    assert table[["photo_id", "decision"]].to_numpy().tolist() == [["flickr:1", "keep"]]
    assert table["dissent"].tolist() == ["Ann: flickr:0 drop (edited) in a.csv, row 2"]


def test_disagreement_between_curators_is_told_and_a_change_of_mind_is_none() -> None:
    made = [decision(0, "keep"), decision(0, "drop", 2, curator="Ben"), decision(1, "keep"), decision(1, "drop", 2)]
    table = curated(unique_table(range(3)), made).set_index("photo_id")
    assert table["decision"].to_dict() == {"flickr:0": "drop", "flickr:1": "drop"}
    assert table.loc["flickr:0", "dissent"] == "Ann: flickr:0 keep in a.csv, row 2"
    assert table["dissent"].isna()["flickr:1"]


def test_photos_that_no_rule_lets_through_are_not_curated() -> None:
    unique = unique_table(range(2), rule={0: "both_domains"})
    assert curated(unique, [decision(0, "keep"), decision(1, "keep")])["photo_id"].tolist() == ["flickr:1"]


@pytest.mark.parametrize("preferred", ["ordinary", "shallow"])
def test_a_photo_of_both_domains_is_kept_where_it_stays(preferred: str) -> None:
    table = curated(in_both(unique_table([0, 1]), 0, preferred), [decision(0, "keep")])
    assert table[["photo_id", "domain", "target_domain"]].to_numpy().tolist() == [["flickr:0", preferred, preferred]]


@pytest.mark.parametrize("preferred", ["ordinary", "shallow"])
def test_a_photo_of_both_domains_with_a_larger_copy_is_in_the_group_of_that_copy(preferred: str) -> None:
    unique = in_both(unique_table([0, 1, 10]), 0, preferred)
    copy = photo_id({"ordinary": 1, "shallow": 10}[preferred])
    stays = (unique["photo_id"] == "flickr:0") & (unique["domain"] == preferred)
    unique.loc[stays, ["rule", "group", "duplicate_of"]] = ["perceptual", copy, copy]
    assert curated(unique, [decision(0, "keep")])["target_domain"].tolist() == [preferred]


def test_for_a_copy_in_the_other_domain_the_photo_of_the_preferred_one_is_kept() -> None:
    unique = unique_table([0, 11], rule={11: "both_domains"}, group={11: 0}, width_px={11: 400})
    table = curated(unique, [decision(11, "keep")])
    assert table[["photo_id", "domain", "target_domain"]].to_numpy().tolist() == [["flickr:0", "ordinary", "ordinary"]]
    assert table["decided_photo_id"].tolist() == ["flickr:11"]


def test_too_few_kept_photos_are_named() -> None:
    table = curate(unique_table(range(12)), [decision(n, "keep") for n in (0, 1, 2, 11)])
    assert too_few(table, ["ordinary", "shallow"], 2) == ["shallow: 1 photo kept, at least 2 are needed"]
    assert too_few(table, ["ordinary", "shallow"], 1) == []


@pytest.mark.parametrize("nobody", [None, ""])
def test_a_curator_without_a_name_is_called_that(nobody: str | None) -> None:
    table = curate(unique_table(range(2)), [decision(0, "keep"), decision(0, "drop", when=2, curator=nobody)])
    (said,) = disagreements(table)
    assert said.startswith("flickr:0: drop by a nameless curator (a.csv, row 2) counts; otherwise said Ann: ")


EMPTY = CurationRule(name="empty", hint="person_share", below=0.01, reason="no_person")
CROWD = CurationRule(name="crowd", hint="people", above=3.0, reason="wrong_tag", domain="shallow")


def test_a_configured_threshold_decides_what_nobody_has_and_says_so() -> None:
    unique = unique_table([0, 1, 2, 11], rule={2: "perceptual"}, group={2: 11})
    hints = pd.concat([hints_of([0, 1, 2], person_share=0.002), hints_of([11], people=5)])
    made = [decision(1, "keep")]
    rules = rule_decisions(unique, hints, [EMPTY, CROWD], decided_groups(unique, made))
    assert [rule.photo_id for rule in rules] == ["flickr:0", "flickr:11"]
    table = curated(unique, made, rules).set_index("photo_id")
    assert table["decision"].to_dict() == {"flickr:0": "drop", "flickr:1": "keep", "flickr:11": "drop"}
    assert table["curator"].to_dict() == {"flickr:0": "rule:empty", "flickr:1": "Ann", "flickr:11": "rule:crowd"}
    assert table.loc["flickr:0", "note"] == "person_share 0.002 is below 0.01"
    assert table.loc["flickr:11", ["file", "row"]].tolist() == ["bokehflow.toml", 2]


def test_a_rule_is_silent_where_a_hint_is_unknown_or_the_domain_another() -> None:
    unique, hints = unique_table([0, 1]), pd.concat([hints_of([0], edited=None), hints_of([1], people=5)])
    edited = CurationRule(name="edited", hint="edited", above=0.5, reason="edited")
    assert not rule_decisions(unique, hints, [edited, CROWD], set())


@pytest.mark.parametrize("wrong", [{}, {"below": 1.0, "above": 2.0}, {"below": 1.0, "reason": None}])
def test_a_rule_without_threshold_or_reason_is_refused(wrong: dict[str, object]) -> None:
    facts = {"name": "a", "hint": "people", "reason": "no_person", **wrong}
    with pytest.raises(ValueError, match="a rule"):
        CurationRule.model_validate(facts)


words = st.builds(
    decision,
    st.integers(0, 8),
    st.sampled_from(["keep", "drop", "skip"]),
    st.integers(1, 5),
    curator=st.sampled_from(["Ann", "Ben", None]),
)


@settings(max_examples=30)
@given(st.lists(words, max_size=12), st.randoms(use_true_random=False))
def test_the_order_in_which_decisions_are_found_does_not_matter(made: list[Decision], chance: object) -> None:
    unique = unique_table(range(8), rule={1: "perceptual", 4: "mirrored"}, group={1: 0, 4: 3})
    distinct = list({word.when: word for word in made}.values())
    shuffled = distinct[:]
    chance.shuffle(shuffled)  # pyright: ignore[reportAttributeAccessIssue]
    pd.testing.assert_frame_equal(curated(unique, shuffled), curated(unique, distinct))
