"""The result of one model in plain words, computed from its scores: a figure, a verdict, and sentences.

A model that changes nothing, or blurs everything, is called that and nothing better.
"""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from pipeline.evaluation.compare.softness import SoftnessRow, compare_softness
from pipeline.evaluation.compare.summary import (
    BLUR,
    CONTENT_METRICS,
    METHOD_LABELS,
    SUBJECT,
    SetScores,
    compare_sets,
    is_of_content,
    scores_of,
)
from pipeline.evaluation.measure.judged_size import BASELINES, INPUT
from pipeline.evaluation.measure.set_scores import TEST_SET
from pipeline.softness import NOTHING_LEFT

Verdict = Literal["good", "mixed", "bad"]

GOAL_REDUCTION = 0.30
"""Background error must fall by this share below doing nothing for a run to count as having learned."""
SUBJECT_KEPT_SSIM = 0.90
"""Mean SSIM from which on the report calls the subject kept."""
SOFT_CHANCE, SHARP_CHANCE = 0.25, 0.75
"""Of an output to be sharper than a picture of B: below it blurs too much, above it too little."""
CONTENT_KEPT, CONTENT_LOST = 0.75, 0.5
"""Mean agreement of classes from which on content counts as kept, and below which it counts as lost."""

NEARER, NO_NEARER = "Comes nearer to domain B", "Comes no nearer to domain B"
PERHAPS_NEARER = "Perhaps comes nearer to domain B"


@dataclass(frozen=True)
class Headline:
    """What came out for one model: one figure with its caption, a verdict, and sentences that say it in full."""

    figure: str
    caption: str
    verdict: Verdict
    verdict_words: str
    sentences: list[str]


def headline(scores: pd.DataFrame, model: str) -> Headline:
    """The result of one model, computed from its scores.

    With known truth the figure is the change of the background's error; without, how much of the backgrounds' distance to
    domain B in softness is gone. Where nothing is known of subjects, it is how much of the content is kept, beside the
    likeness to domain B. A model that changes nothing, or blurs everything, is called that and nothing better.
    """
    if is_of_content(scores):
        return _of_content(scores, model)
    ssim, softness = _mean(scores, "subject_ssim", model, scenes=False), _softness(scores, model)
    before = _mean(scores, "truth_background_l1", INPUT, scenes=True)
    after = _mean(scores, "truth_background_l1", model, scenes=True)
    if not before or after is None:
        return _without_truth(scores, model, ssim)
    change = after / before - 1.0
    scenes = _count(len(scores_of(scores, "truth_background_l1", model, scenes=True)), "rendered scene")
    baseline = _better_baseline(scores)
    verdict, words = _failure(softness) or _verdict(
        change, ssim, smoothing_is_better=baseline is not None and baseline[1] < after
    )
    sentences = [
        f"On {scenes} the background error against the true lens is {_percent(change)} doing nothing "
        f"({after:.4f} against {before:.4f}).",
        *([_baseline_sentence(*baseline, before)] if baseline else []),
        _photo_sentence(scores, model, ssim),
        *_softness_sentences(scores, softness),
    ]
    return Headline(_signed_percent(change), "background error, against doing nothing", verdict, words, sentences)


def _of_content(scores: pd.DataFrame, model: str) -> Headline:
    kept = _mean(scores, "class_iou", model, scenes=False)
    sets = {one.method: one for prefix in ("", "inception_") for one in reversed(compare_sets(scores, [model], prefix))}
    own, before = sets.get(model), sets.get(INPUT)
    nearer = None if own is None or before is None else _nearer(own, before)
    sentences = [*_content_sentences(scores, model), *_likeness_sentences(own, before, scores, model)]
    if kept is None:
        told = "name a parser under [evaluation] to learn whether content is kept"
        return Headline("–", "of the classes kept", "mixed", f"{nearer or 'Nothing is known of it'}; {told}", sentences)
    content = "keeps what is shown" if kept >= CONTENT_KEPT else "changes part of what is shown"
    content = "shows something else than its input" if kept < CONTENT_LOST else content
    verdict: Verdict = "good" if kept >= CONTENT_KEPT and nearer == NEARER else "mixed"
    if kept < CONTENT_LOST or nearer == NO_NEARER:
        verdict = "bad"
    link = "and" if kept >= CONTENT_KEPT or nearer == NO_NEARER else "but"
    words = f"{nearer} {link} {content}" if nearer else content.capitalize()
    return Headline(f"{kept:.2f}", "agreement of classes in input and output, 1 for the same", verdict, words, sentences)


def _nearer(own: SetScores, before: SetScores) -> str:
    """Whether the model's outputs are more like domain B than its inputs: for sure where the intervals lie apart."""
    if own.kid >= before.kid:
        return NO_NEARER
    return NEARER if own.high < before.low else PERHAPS_NEARER


def _content_sentences(scores: pd.DataFrame, model: str) -> list[str]:
    photos = _count(len(scores_of(scores, "class_iou", model, scenes=False)), "test picture")
    kept, places, edges = (_mean(scores, metric.name, model, scenes=False) for metric in CONTENT_METRICS)
    if kept is None or places is None or edges is None:
        return []
    return [
        f"On {photos} the parser's classes in input and output agree at an IoU of {kept:.3f} (1 is the same), over "
        f"{_share(places)} of the picture; the F1 of edges is {edges:.3f}."
    ]


def _likeness_sentences(own: SetScores | None, before: SetScores | None, scores: pd.DataFrame, model: str) -> list[str]:
    if own is None or before is None:
        return ["Too few pictures, or no network to compare them by: how near it comes to domain B is not known."]
    said = [
        f"Its kernel distance to domain B is {own.kid:.4f} ({own.low:.4f} to {own.high:.4f}), that of the unchanged inputs "
        f"{before.kid:.4f} ({before.low:.4f} to {before.high:.4f})."
    ]
    of_set = scores[(scores["photo_id"] == TEST_SET) & (scores["metric"] == "colour_distance")]
    colours = of_set.set_index("method")["value"].astype(float).to_dict()
    if model in colours and INPUT in colours:
        said.append(f"Its colours lie {colours[model]:.3f} from domain B's, those of the inputs {colours[INPUT]:.3f}.")
    return said


def _softness(scores: pd.DataFrame, model: str) -> SoftnessRow | None:
    table = compare_softness(scores, [model])
    return next((row for row in table.rows if row.method == model), None) if table else None


def _failure(softness: SoftnessRow | None) -> tuple[Verdict, str] | None:
    """The verdict on a model that fails as models do."""
    if softness is not None and softness.changes_nothing:
        return "bad", "Blurs nothing: backgrounds stay as sharp as they were"
    if softness is not None and softness.blurs_everything:
        return "bad", "Blurs everything, the subject too"
    return None


def _verdict(change: float, ssim: float | None, smoothing_is_better: bool) -> tuple[Verdict, str]:
    if change >= 0:
        return "bad", "Does not come closer to the true lens"
    closer = "Comes closer to the true lens" if change <= -GOAL_REDUCTION else "Comes a little closer to the true lens"
    if ssim is None:
        return "mixed", f"{closer}; the subject could not be scored"
    if ssim < SUBJECT_KEPT_SSIM:
        return "mixed", f"{closer} but changes the subject"
    if smoothing_is_better:
        return "mixed", f"{closer} and keeps the subject; plain smoothing comes closer still"
    return "good" if change <= -GOAL_REDUCTION else "mixed", f"{closer} and keeps the subject"


def _without_truth(scores: pd.DataFrame, model: str, ssim: float | None) -> Headline:
    softness, rival = _softness(scores, model), _nearest_baseline(scores)
    sentences = [_photo_sentence(scores, model, ssim), *_softness_sentences(scores, softness)]
    unknown = "Without scenes of known truth nobody can say whether the blur is that of a lens."
    if softness is None or softness.distance is None:
        left = _mean(scores, "background_sharpness", model, scenes=False)
        verdict, words = _failure(softness) or _verdict_on_subject(ssim, left)
        figure, caption = "–" if left is None else _share(left), "of the background's sharpness is left"
        return Headline(figure, caption, verdict, words, [*sentences, unknown])
    verdict, words = _failure(softness) or _verdict_on_softness(softness, ssim, rival)
    caption = "distance to domain B in the softness of backgrounds, against doing nothing"
    return Headline(_signed_percent(softness.distance - 1.0), caption, verdict, words, [*sentences, unknown])


def _verdict_on_subject(ssim: float | None, left: float | None) -> tuple[Verdict, str]:
    """What can be said where the softness of backgrounds cannot be compared with B's."""
    if ssim is not None and ssim < SUBJECT_KEPT_SSIM:
        return "bad", "Changes the subject"
    if left is not None and left > NOTHING_LEFT:
        return "bad", "Blurs nothing: backgrounds stay as sharp as they were"
    return "mixed", "Whether its blur is right is not known"


def _verdict_on_softness(softness: SoftnessRow, ssim: float | None, rival: SoftnessRow | None) -> tuple[Verdict, str]:
    above = softness.above.value if softness.above else 0.5
    if softness.is_close and SOFT_CHANCE <= above <= SHARP_CHANCE:
        words = "Backgrounds are about as soft as domain B's"
    elif above < SOFT_CHANCE:
        words = "Blurs more than domain B is blurred"
    elif above > SHARP_CHANCE:
        words = "Blurs less than domain B is blurred"
    else:
        words = "Blurs, but not as domain B is blurred"
    if ssim is None:
        return "mixed", f"{words}; the subject could not be scored"
    if ssim < SUBJECT_KEPT_SSIM:
        return "bad", f"{words}, and the subject is changed"
    if rival is not None and (rival.distance or 0.0) < (softness.distance or 0.0):
        return "mixed", f"{words}, and the subject is kept; a blur of one width comes closer still"
    is_good = softness.is_close and softness.unknown is None
    return "good" if is_good else "mixed", f"{words}, and the subject is kept"


def _softness_sentences(scores: pd.DataFrame, softness: SoftnessRow | None) -> list[str]:
    """How near the backgrounds come to domain B, and how near the nearest baseline does."""
    if softness is None:
        return []
    if softness.distance is None:
        table = compare_softness(scores, [])
        return [] if table is None else table.limits[-1:]
    figures = ", ".join(
        f"{name} {one.value:.2f} ({one.low:.2f} to {one.high:.2f})"
        for name, one in (("relative to contrast", softness.gap), ("across scales", softness.scales))
        if one
    )
    rival = _nearest_baseline(scores)
    words = f"; the nearest baseline, {_in_sentence(rival.label)}, has {rival.distance:.2f} on the mean" if rival else ""
    told = [f"Of the distance to domain B in softness there is left, 1 for doing nothing: {figures}{words}."]
    if softness.unknown:
        told.append(
            f"{softness.unknown.capitalize()} inputs and domain B do not differ for sure, so that what is left there is not "
            "known; a disc of one size can close the other distance alone."
        )
    return told


def _nearest_baseline(scores: pd.DataFrame) -> SoftnessRow | None:
    table = compare_softness(scores, [])
    known = [row for row in table.rows if row.method in BASELINES and row.distance is not None] if table else []
    return min(known, key=lambda row: row.distance or 0.0, default=None)


def _photo_sentence(scores: pd.DataFrame, model: str, ssim: float | None) -> str:
    known = [scores_of(scores, name, model, scenes=False).dropna().index for name in (SUBJECT.name, BLUR.name)]
    photos = _count(len(known[0].union(known[1])), "test photo")
    sharpness = _mean(scores, "background_sharpness", model, scenes=False)
    if ssim is None:
        subject = "the subject could not be scored"
    elif ssim >= SUBJECT_KEPT_SSIM:
        subject = f"the subject is kept at an SSIM of {ssim:.3f} (1 is unchanged)"
    else:
        subject = f"the subject is changed, to an SSIM of {ssim:.3f} (1 is unchanged)"
    if sharpness is None:
        return f"On {photos} {subject}; the background could not be scored."
    return f"On {photos} {subject}, and the background has {_share(sharpness)} of its sharpness."


def _better_baseline(scores: pd.DataFrame) -> tuple[str, float] | None:
    """The baseline with the lower background error, and the error."""
    errors = [(name, _mean(scores, "truth_background_l1", name, scenes=True)) for name in BASELINES]
    return min(((name, error) for name, error in errors if error is not None), key=lambda pair: pair[1], default=None)


def _baseline_sentence(name: str, error: float, before: float) -> str:
    words = _in_sentence(METHOD_LABELS[name])
    return f"The best of the baselines, {words}, lies {_percent(error / before - 1.0)} doing nothing."


def _in_sentence(label: str) -> str:
    return label.replace(" + subject pasted", " with the subject pasted back")


def _percent(change: float) -> str:
    return f"{_share(abs(change))} {'below' if change < 0 else 'above'}"


def _signed_percent(change: float) -> str:
    return f"{'−' if change < 0 else '+'}{_share(abs(change))}"


def _share(share: float) -> str:
    return f"{share * 100:.0f}\N{NO-BREAK SPACE}%"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _mean(scores: pd.DataFrame, metric: str, method: str, scenes: bool) -> float | None:
    values = scores_of(scores, metric, method, scenes).dropna()
    return float(values.mean()) if len(values) else None
