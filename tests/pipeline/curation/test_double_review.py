"""Photos that two people decide: which they are, what counts where they differ, how far they agree."""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import ConflictRule, CurationSection
from pipeline.curation.agreement import Agreement, agreement, blind_pair, reviewed_twice
from pipeline.curation.curate import curate, disagreements
from pipeline.curation.decisions import Decision
from pipeline.curation.double_review import DoubleReview, holders
from pipeline.tables import conform
from tests.pipeline.curation.worlds import decision, photo_id, unique_table

ALL = DoubleReview(1.0)


def word(verdict: str, curator: str | None, when: int, number: int = 0, **more: object) -> Decision:
    return decision(number, verdict, when, curator=curator, **more)


def test_the_share_is_of_photos_and_a_larger_one_has_all_of_a_smaller() -> None:
    ids = [f"flickr:{4951000000 + number}" for number in range(4000)]
    tenth, fifth = ({one for one in ids if DoubleReview(share).includes(one)} for share in (0.1, 0.2))
    assert 340 < len(tenth) < 460
    assert tenth < fifth
    assert all(map(ALL.includes, ids))
    assert not any(map(DoubleReview().includes, ids))
    assert DoubleReview.of(CurationSection()) == DoubleReview(0.0, "wait")


KEEP, DROP, MOVE = word("keep", "Ann", 1), word("drop", "Ben", 2), word("move", "Cem", 3, move_to="shallow")


@pytest.mark.parametrize(
    ("words", "conflicts", "counts", "is_open"),
    [
        ([], "wait", None, False),
        ([KEEP], "wait", KEEP, False),
        ([KEEP, DROP], "wait", None, True),
        ([KEEP, DROP], "drop", DROP, True),
        ([KEEP, DROP], "keep", KEEP, True),
        ([word("keep", "Ben", 1), MOVE], "keep", None, True),
        ([word("keep", "Ben", 1), MOVE], "drop", None, True),
        ([DROP, MOVE], "keep", MOVE, True),
        ([KEEP, DROP, MOVE], "wait", MOVE, False),
        ([KEEP, word("keep", "Ben", 2)], "wait", word("keep", "Ben", 2), False),
        ([KEEP, DROP, word("keep", "Ann", 9)], "wait", None, True),
        ([KEEP, DROP, word("drop", "Ann", 9)], "wait", word("drop", "Ann", 9), False),
        ([KEEP, DROP, word("skip", "Ben", 9)], "wait", KEEP, False),
        ([KEEP, word("drop", "ann", 9)], "wait", word("drop", "ann", 9), False),
        ([word("keep", None, 1), word("drop", None, 2)], "wait", word("drop", None, 2), False),
        ([word("drop", "Ben", 2, reason="edited"), word("drop", "Ann", 3, reason="wrong_tag")], "wait",
         word("drop", "Ann", 3, reason="wrong_tag"), False),
    ],
)  # fmt: skip
def test_what_counts(words: list[Decision], conflicts: ConflictRule, counts: Decision | None, is_open: bool) -> None:
    for order in permutations(words):
        outcome = DoubleReview(1.0, conflicts).outcome(order)
        assert (outcome.counts, bool(outcome.conflict)) == (counts, is_open)


@pytest.mark.parametrize(("conflicts", "decisions"), [("wait", {}), ("drop", {0: "drop"}), ("keep", {0: "keep"})])
def test_a_conflict_is_curated_as_the_project_says_and_always_told(
    conflicts: ConflictRule, decisions: dict[int, str]
) -> None:
    unique, double = unique_table(range(3)), DoubleReview(1.0, conflicts)
    made = [KEEP, DROP, word("keep", "Ann", 1, 1)]
    table = conform("curated_photos", curate(unique, made, double=double)).set_index("photo_id")
    assert table["decision"].to_dict() == {photo_id(number): said for number, said in {**decisions, 1: "keep"}.items()}
    found = reviewed_twice(unique, made, double)
    assert (found.undecided, found.decided_by_one, found.decided_by_more) == (1, 1, 1)
    assert list(found.conflicts) == [photo_id(0)]
    (message,) = [text for text in disagreements(table.reset_index(), found.conflicts) if "a third" in text]
    assert "Ann: flickr:0 keep in a.csv, row 2; Ben: flickr:0 drop (edited)" in message
    settled = [*made, word("keep", "Cem", 5)]
    row = curate(unique, settled, double=double).set_index("photo_id").loc["flickr:0"]
    assert (row["decision"], row["curator"], row["dissent"]) == (
        "keep",
        "Cem",
        "Ben: flickr:0 drop (edited) in a.csv, row 2",
    )
    assert not reviewed_twice(unique, settled, double).conflicts


def test_copies_are_one_photo_of_two_people() -> None:
    unique = unique_table(range(2), rule={1: "perceptual"}, group={1: 0})
    unique["split_key"] = "flickr:0"
    found = reviewed_twice(unique, [KEEP, word("drop", "Ben", 2, 1)], ALL)
    assert (found.decided_by_more, list(found.conflicts), found.agreement.photos) == (1, ["flickr:0"], 1)


histories = st.lists(
    st.tuples(st.sampled_from(["keep", "drop", "skip"]), st.sampled_from(["Ann", "ann", "Ben", "Cem", None])), max_size=8
)


@settings(max_examples=100)
@given(histories)
def test_with_no_double_review_the_later_word_wins_and_with_it_only_two_may_be_at_odds(
    history: list[tuple[str, str | None]],
) -> None:
    unique = unique_table(range(1))
    made = [word(verdict, curator, when) for when, (verdict, curator) in enumerate(history, 1)]
    plain, double = curate(unique, made), curate(unique, made, double=ALL)
    asked = reviewed_twice(unique, made, ALL)
    assert len(double) == bool(holders(made)) - bool(asked.conflicts)
    assert len(plain) >= len(double)
    if asked.conflicts:
        assert len(holders(made)) == 2
    pair = blind_pair(made)
    assert (pair is not None) == (len(holders(made)) > 1)


def test_what_is_said_after_the_other_is_known_does_not_count_as_agreement() -> None:
    gave_in = [KEEP, DROP, word("drop", "Ann", 5)]
    assert blind_pair(gave_in) == (KEEP, DROP)
    changed_before = [KEEP, word("drop", "Ann", 2), word("drop", "Ben", 5)]
    assert [one.decision for one in blind_pair(changed_before) or ()] == ["drop", "drop"]
    slipped = [KEEP, DROP, word("skip", "Ben", 4, note="undo: drop (edited)"), word("keep", "Ben", 5)]
    assert [one.decision for one in blind_pair(slipped) or ()] == ["keep", "keep"]
    withdrawn = [KEEP, DROP, word("skip", "Ann", 4), MOVE]
    assert blind_pair(withdrawn) == (DROP, MOVE)


def pairs(table: dict[tuple[str, str], int]) -> list[tuple[Decision, Decision]]:
    return [
        (word(first, "Ann", 1, move_to="shallow" if first == "move" else None), word(second, "Ben", 2))
        for (first, second), count in table.items() for _ in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        # Cohen's own kind of table: (20 + 15) / 50 alike, .5 by chance.
        ({("keep", "keep"): 20, ("keep", "drop"): 5, ("drop", "keep"): 10, ("drop", "drop"): 15}, Agreement(50, 35, 0.4)),
        ({("keep", "keep"): 3, ("drop", "drop"): 2}, Agreement(5, 5, 1.0)),
        ({("keep", "drop"): 1, ("drop", "keep"): 1}, Agreement(2, 0, -1.0)),
        ({("keep", "drop"): 4}, Agreement(4, 0, 0.0)),
        ({("keep", "keep"): 4}, Agreement(4, 4, None)),
        ({}, Agreement(0, 0, None)),
        ({("move", "drop"): 1, ("keep", "keep"): 1}, Agreement(2, 1, 1 / 3)),
    ],
)
def test_cohens_kappa(table: dict[tuple[str, str], int], expected: Agreement) -> None:
    found = agreement(pairs(table))
    assert (found.photos, found.agreeing) == (expected.photos, expected.agreeing)
    assert found.kappa == (None if expected.kappa is None else pytest.approx(expected.kappa))
    assert agreement([(second, first) for first, second in pairs(table)]) == found


def test_agreement_is_told_by_domain_and_by_who_decided() -> None:
    unique = unique_table([0, 1, 10, 11])
    made = [
        word("keep", "Ann", 1, 0), word("keep", "Ben", 2, 0), word("drop", "ben", 3, 1), word("drop", "ANN", 4, 1),
        word("keep", "Ann", 5, 10), word("drop", "Cem", 6, 10), word("keep", "Ann", 7, 11),
    ]  # fmt: skip
    found = reviewed_twice(unique, made, ALL)
    assert found.agreement == Agreement(3, 2, pytest.approx(0.4))
    assert found.domains == {"ordinary": Agreement(2, 2, 1.0), "shallow": Agreement(1, 0, 0.0)}
    assert found.curators == {"Ann + Ben": Agreement(2, 2, 1.0), "Ann + Cem": Agreement(1, 0, 0.0)}
    assert str(found.domains["ordinary"]) == "2 of 2, kappa 1.00"
