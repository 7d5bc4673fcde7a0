"""How well a model's two generators undo each other, and leave alone what is as it should be: unweighted errors.

Training reports the same terms, weighted nowhere, but of pictures that it trains on, under the overlay where a recipe
has one, and of a span of 2; these are of plain generators on the same pictures for every model, in [0, 1].
"""

from collections.abc import Callable, Mapping

import numpy as np

Translate = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""uint8 [n, height, width, 3] and the subjects' alpha [n, height, width] to float32 of the pictures' shape in [0, 1]."""
Pictures = tuple[np.ndarray, np.ndarray]
"""What a `Translate` takes."""


def cycle_scores(generators: Mapping[str, Translate], real_a: Pictures, real_b: Pictures) -> dict[str, float]:
    """Mean absolute errors, 0 to 1, of pictures of both domains.

    `cycle_l1_a`: from A to B, rounded to 8 bits, and back; `identity_l1_a`: the generator to A on pictures of A; likewise
    b. NaN where a generator, `a_to_b` or `b_to_a`, or the pictures of a domain are missing, or an output is no picture.
    """
    a_to_b, b_to_a = (generators.get(direction) for direction in ("a_to_b", "b_to_a"))
    return {
        "cycle_l1_a": _cycle(a_to_b, b_to_a, real_a),
        "cycle_l1_b": _cycle(b_to_a, a_to_b, real_b),
        "identity_l1_a": _error(b_to_a, real_a, real_a[0]),
        "identity_l1_b": _error(a_to_b, real_b, real_b[0]),
    }


def _cycle(there: Translate | None, back: Translate | None, real: Pictures) -> float:
    if there is None or back is None or not len(real[0]):
        return float("nan")
    generated = there(*real)
    if not np.isfinite(generated).all():
        return float("nan")
    return _error(back, (np.round(generated * 255).astype(np.uint8), real[1]), real[0])


def _error(generator: Translate | None, seen: Pictures, real: np.ndarray) -> float:
    if generator is None or not len(real):
        return float("nan")
    rgb, alpha = seen
    errors = [_difference(generator(rgb[i : i + 1], alpha[i : i + 1]), real[i : i + 1]) for i in range(len(real))]
    return float(np.mean(errors))


def _difference(output: np.ndarray, real: np.ndarray) -> float:
    return float(np.abs(np.asarray(output, np.float64) - real / 255.0).mean())
