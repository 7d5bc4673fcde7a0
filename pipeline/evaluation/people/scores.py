"""From paired comparisons to scores: Bradley–Terry with bootstrap intervals, agreement of judges, and whether our metrics
say what people say.

The chance that method i is chosen over j is s_i / (s_i + s_j) [1]; scores are logarithms of s with mean 0, found by Hunter's
iteration [2]. "The same" counts half for each. Everything is a pure function: draws come from a fixed seed.

[1] R. A. Bradley and M. E. Terry, "Rank analysis of incomplete block designs", Biometrika 39, 1952.
[2] D. R. Hunter, "MM algorithms for generalized Bradley–Terry models", Annals of Statistics 32, 2004.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from pipeline.evaluation.compare import summary
from pipeline.evaluation.people.choices import Choice
from pipeline.intervals import RESAMPLES, SEED, Interval, percentiles

PRIOR_WINS = 0.25
"""Added to both sides of every pair that was compared, so that a method that always wins has a finite score."""
ITERATIONS, TOLERANCE = 300, 1e-5
MIN_ANSWERS = 20
"""From so many answers on a judge is held against chance."""
SIGNIFICANCE = 0.01
"""A judge clicks at random, for all that can be told, where a coin would go with the others as much as this often."""
MIN_COMPARED = 20
"""So many choices must be there for a metric to be held against people."""


@dataclass(frozen=True)
class Score:
    """A method by people: logarithm of its strength, with its 95 % interval; `chosen` of `compared` times."""

    method: str
    value: float
    interval: Interval
    chosen: float
    compared: int


@dataclass(frozen=True)
class Judge:
    """How a judge answers: `agreement` is the share of answers on which the others are of the same mind, of `shared`;
    `repeats` of the `asked_twice` were answered alike. `p_value`: of a coin going with the others as much."""

    name: str
    answers: int
    agreement: float | None
    shared: int
    p_value: float | None
    repeats: float | None
    asked_twice: int

    @property
    def is_random(self) -> bool:
        """No better than a coin, for all that can be told."""
        return self.p_value is not None and self.p_value >= SIGNIFICANCE

    @property
    def words(self) -> str:
        """In a sentence."""
        share = "–" if self.agreement is None else f"{self.agreement:.0%}"
        if self.is_random:
            return (
                f"{self.name} goes with the others no more than a coin would (the same answer in {share} of {self.shared}): "
                "clicks at random for all that can be told, and is left out"
            )
        if self.p_value is None:
            return f"{self.name} gave too few answers, or nobody else any, to tell"
        return f"{self.name} gives the answer of most others in {share} of {self.shared}"


@dataclass(frozen=True)
class MetricAgreement:
    """Whether a metric prefers what people prefer: share of choices in which it does, −1 to 1 as a rank correlation."""

    metric: summary.Metric
    correlation: float
    interval: Interval
    compared: int

    @property
    def words(self) -> str:
        """What can be said."""
        if self.interval.low > 0:
            return "goes with people"
        return (
            "goes against people" if self.interval.high < 0 else "does not correlate with people, for all that can be told"
        )


@dataclass(frozen=True)
class PeopleSay:
    """The answers to one question: what follows from them."""

    question: str
    answers: int
    photos: int
    scores: list[Score]
    judges: list[Judge]
    alpha: float | None
    """Krippendorff's, of all judges that are not left out, nominal: 1 is one mind, 0 chance."""
    metrics: list[MetricAgreement]


def people_say(choices: Sequence[Choice], question: str, scores: pd.DataFrame) -> PeopleSay | None:
    """All about one question; None without answers. `scores` is the table of all methods that were compared."""
    asked = [one for one in choices if one.question == question]
    own = [one for one in asked if not one.is_repeat]
    if not own:
        return None
    judges = [judge_of(name, asked) for name in sorted({one.judge for one in own})]
    left_out = {judge.name for judge in judges if judge.is_random}
    counted = [one for one in own if one.judge not in left_out] or own
    return PeopleSay(
        question,
        len(counted),
        len({one.photo_id for one in counted}),
        bradley_terry(counted),
        judges,
        krippendorff_alpha(counted),
        metric_agreements(counted, scores),
    )


def bradley_terry(choices: Sequence[Choice]) -> list[Score]:
    """Scores of all methods, best first, with intervals by bootstrap over photos."""
    methods, wins = _wins(choices)
    random = np.random.default_rng(SEED)
    draws = random.multinomial(len(wins), np.full(len(wins), 1 / len(wins)), RESAMPLES)
    whole = wins.sum(0)
    values, spread = strengths(whole), strengths(np.einsum("rp,pij->rij", draws.astype(float), wins))
    chosen, compared = whole.sum(1), whole.sum(1) + whole.sum(0)
    found = [
        Score(name, float(values[at]), percentiles(spread[:, at], len(wins)), float(chosen[at]), round(compared[at]))
        for at, name in enumerate(methods)
    ]
    return sorted(found, key=lambda score: -score.value)


def _wins(choices: Sequence[Choice]) -> tuple[list[str], np.ndarray]:
    """Methods, and by photo how often each (rows) was chosen over each other (columns)."""
    methods = sorted({name for one in choices for name in (one.left, one.right)})
    at, photos = {name: index for index, name in enumerate(methods)}, sorted({one.photo_id for one in choices})
    photo_at = {photo: index for index, photo in enumerate(photos)}
    wins = np.zeros((len(photos), len(methods), len(methods)))
    for one in choices:
        photo, left, right = photo_at[one.photo_id], at[one.left], at[one.right]
        share = {"left": 1.0, "right": 0.0}.get(one.choice, 0.5)
        wins[photo, left, right] += share
        wins[photo, right, left] += 1 - share
    return methods, wins


def strengths(wins: np.ndarray) -> np.ndarray:
    """Logarithms of strengths, mean 0, from how often i (rows) was chosen over j (columns); of several tables at once.

    >>> strengths(np.array([[0.0, 3.0], [1.0, 0.0]])).round(2).tolist()
    [0.48, -0.48]
    """
    compared = wins + wins.swapaxes(-1, -2)
    padded = wins + PRIOR_WINS * (compared > 0)
    counts, own = padded + padded.swapaxes(-1, -2), padded.sum(-1)
    strength = np.ones(own.shape)
    for _ in range(ITERATIONS):
        total = (counts / (strength[..., :, None] + strength[..., None, :])).sum(-1)
        updated = np.where(total > 0, own / np.where(total > 0, total, 1), strength)
        updated = np.divide(updated, np.exp(np.log(updated).mean(-1, keepdims=True)))
        change = np.abs(updated - strength).max()
        strength = updated
        if change < TOLERANCE:
            break
    return np.log(strength)


def judge_of(name: str, asked: Sequence[Choice]) -> Judge:
    """How one judge answers, held against the others and against themselves."""
    own = [one for one in asked if one.judge == name and not one.is_repeat]
    rest = [one for one in asked if one.judge != name and not one.is_repeat]
    votes = _votes(rest)
    pairs = [(one.winner, votes[one.pair]) for one in own if one.winner and votes.get(one.pair)]
    before = {one.pair: one.winner for one in own}
    twice = [one.winner == before[one.pair] for one in asked if one.judge == name and one.is_repeat and one.pair in before]
    sided = [one for one in own if one.winner]
    agreed, shared = sum(winner == vote for winner, vote in pairs), len(pairs)
    return Judge(
        name,
        len(own),
        agreed / shared if shared else None,
        shared,
        _chance_of_a_coin(sided, rest) if len(sided) >= MIN_ANSWERS and rest else None,
        sum(twice) / len(twice) if twice else None,
        len(twice),
    )


def _chance_of_a_coin(own: Sequence[Choice], rest: Sequence[Choice]) -> float | None:
    """One-sided p-value of a coin going with the others' scores as much as this judge does; None where these say nothing.

    Each answer counts by how far apart the others see the two methods: of a coin the sum has mean 0 and the variance of
    the squares' sum. Majorities of single pairs would say less, since people differ most where methods are alike.
    """
    from scipy.stats import norm  # loads slowly, and only reports need it

    methods, wins = _wins(rest)
    known = dict(zip(methods, strengths(wins.sum(0)), strict=True))
    apart = np.array([known[one.left] - known[one.right] for one in own if one.left in known and one.right in known])
    signs = np.array([1 if one.choice == "left" else -1 for one in own if one.left in known and one.right in known])
    spread = float(np.sqrt((apart**2).sum())) if len(apart) >= MIN_ANSWERS else 0.0
    return float(norm.sf((apart * signs).sum() / spread)) if spread else None


def _votes(choices: Sequence[Choice]) -> dict[tuple[str, str, str], str]:
    """What most others chose of each pair; none where they are split."""
    counts: dict[tuple[str, str, str], dict[str, int]] = {}
    for one in choices:
        if one.winner:
            votes = counts.setdefault(one.pair, {})
            votes[one.winner] = votes.get(one.winner, 0) + 1
    found = {}
    for pair, votes in counts.items():
        first, *rest = sorted(votes.items(), key=lambda vote: -vote[1])
        if not rest or rest[0][1] < first[1]:
            found[pair] = first[0]
    return found


def krippendorff_alpha(choices: Sequence[Choice]) -> float | None:
    """Nominal alpha over pairs that two judges or more answered; None where there are none, or no disagreement is possible.

    K. Krippendorff, "Content Analysis", 2004: 1 − observed / expected disagreement.
    """
    units: dict[tuple[str, str, str], list[str]] = {}
    for one in choices:
        units.setdefault(one.pair, []).append(_label(one))
    shared = [values for values in units.values() if len(values) > 1]
    everything = [value for values in shared for value in values]
    if not everything:
        return None
    observed = sum(
        2 * sum(a != b for a, b in combinations(values, 2)) / (len(values) - 1) for values in shared
    ) / len(everything)  # fmt: skip
    counts = pd.Series(everything).value_counts().to_numpy(float)
    total = counts.sum()
    expected = 1 - float((counts * (counts - 1)).sum() / (total * (total - 1))) if total > 1 else 0.0
    return None if expected == 0 else 1 - observed / expected


def _label(one: Choice) -> str:
    """Which of both, by their names in order; labels are the same for every pair, so that chance is a half."""
    winner = one.winner
    return "same" if winner is None else "first" if winner == one.pair[1] else "second"


def metric_agreements(choices: Sequence[Choice], scores: pd.DataFrame) -> list[MetricAgreement]:
    """For every metric of photos that has a better way, whether it prefers what people chose, photo by photo.

    Kendall's tau over the choices, ties of the metric as neither: 1 always the same, −1 always the other. Intervals by
    bootstrap over photos. A metric that is fixed by construction for both methods tells nothing and is left out.
    """
    found = []
    metrics = (*summary.PHOTO_METRICS, *summary.CONTENT_METRICS, *summary.FAULT_METRICS)
    for metric in metrics:
        rows = scores[scores["metric"] == metric.name]
        own = (rows["photo_id"], rows["method"], rows["value"])
        values = {(str(photo), str(method)): float(value) for photo, method, value in zip(*own, strict=True)}
        signs = _signs(choices, values, -1.0 if metric.better == "lower" else 1.0)
        if sum(map(len, signs.values())) < MIN_COMPARED or not any(any(one) for one in signs.values()):
            continue
        per_photo = np.array([(sum(one), len(one)) for one in signs.values()], float)
        random = np.random.default_rng(SEED)
        draws = per_photo[random.integers(0, len(per_photo), (RESAMPLES, len(per_photo)))].sum(1)
        whole = per_photo.sum(0)
        interval = percentiles(draws[:, 0] / draws[:, 1], len(per_photo))
        found.append(MetricAgreement(metric, float(whole[0] / whole[1]), interval, int(whole[1])))
    return sorted(found, key=lambda one: -one.correlation)


def _signs(choices: Sequence[Choice], values: Mapping[tuple[str, str], float], sign: float) -> dict[str, list[float]]:
    """By photo: 1 where the metric prefers what was chosen, −1 the other, 0 neither."""
    found: dict[str, list[float]] = {}
    for one in choices:
        winner = one.winner
        loser = one.right if winner == one.left else one.left
        if winner is None:
            continue
        difference = values.get((one.photo_id, winner), np.nan) - values.get((one.photo_id, loser), np.nan)
        if np.isfinite(difference):
            found.setdefault(one.photo_id, []).append(float(np.sign(sign * difference)))
    return found
