"""How alike two sets of pictures are, by the features that a network gives them; and how sure a figure is.

Features are float [n, dimensions]. Whose they are belongs to the caller, and must be named beside every figure:
distances of different networks cannot be compared.
"""

import numpy as np

from pipeline.intervals import Interval, percentiles

NEIGHBOURS = 3
RESAMPLES = 1000
"""Each takes a time that grows with the square of the number of pictures."""
MIN_FID_PICTURES = 2000
"""Of each set."""


def kid(real: np.ndarray, fake: np.ndarray) -> float:
    """Kernel distance, unbiased: about 0 for two sets of one kind (it may be a little below), larger if they differ.

    Bińkowski et al., "Demystifying MMD GANs" (2018): squared maximum mean discrepancy under the polynomial kernel
    (x·y / dimensions + 1)³. Over whole sets, of any two sizes, rather than over subsets.
    `real` and `fake` are features, float [pictures, dimensions], of one network.
    """
    return _mmd(_kernel(real, real), _kernel(fake, fake), _kernel(real, fake))


def kid_interval(real: np.ndarray, fake: np.ndarray, resamples: int = RESAMPLES) -> Interval:
    """The interval of `kid`: the fakes are drawn anew with replacement, the real set is given.

    A drawn picture that comes twice must not meet itself as if it were another one, so pairs of equal draws are left
    out.
    """
    generator = np.random.default_rng(0)
    between, among = _kernel(real, fake).mean(axis=0), _kernel(fake, fake)
    fixed = _mean_of_pairs(_kernel(real, real))
    drawn = []
    for _ in range(resamples):
        chosen = generator.integers(len(fake), size=len(fake))
        other = chosen[:, None] != chosen[None]
        drawn.append(fixed + among[np.ix_(chosen, chosen)][other].mean() - 2 * between[chosen].mean())
    return percentiles(np.array(drawn), len(fake))


def fid(real: np.ndarray, fake: np.ndarray) -> float:
    """Fréchet distance of two Gaussians with the sets' means and covariances, >= 0; NaN below `MIN_FID_PICTURES`.

    Heusel et al., "GANs Trained by a Two Time-Scale Update Rule" (2017). With fewer pictures its bias, which depends on
    their number, hides what it is to show.
    `real` and `fake` are features, float [pictures, dimensions], of one network.
    """
    if min(len(real), len(fake)) < MIN_FID_PICTURES:
        return float("nan")
    return frechet_distance(real, fake)


def frechet_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """`fid` of sets of any size."""
    import torch
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

    statistics = [fid_features_to_statistics(torch.from_numpy(np.asarray(part, np.float64))) for part in (real, fake)]
    return max(0.0, fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID])


def precision_recall(real: np.ndarray, fake: np.ndarray) -> tuple[float, float]:
    """Share of fakes that lie among the real ones, and of real ones that lie among the fakes; 0 to 1 each.

    Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing Generative Models" (2019), with balls to
    the third neighbour. NaN for sets without so many neighbours.
    `real` and `fake` are features, float [pictures, dimensions], of one network.
    """
    import torch
    from torch_fidelity.metric_prc import calculate_precision_recall_full

    if min(len(real), len(fake)) <= NEIGHBOURS:
        return float("nan"), float("nan")
    sets = (torch.from_numpy(np.asarray(part, np.float32)) for part in (fake, real))
    precision, recall = calculate_precision_recall_full(*sets, neighborhood=NEIGHBOURS)
    return precision, recall


def _kernel(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    return (first @ second.T / first.shape[1] + 1.0) ** 3


def _mmd(real: np.ndarray, fake: np.ndarray, between: np.ndarray) -> float:
    return float(_mean_of_pairs(real) + _mean_of_pairs(fake) - 2 * between.mean())


def _mean_of_pairs(kernel: np.ndarray) -> float:
    """Mean over pairs of two different pictures."""
    count = len(kernel)
    if count < 2:
        raise ValueError("a set of one picture has no pairs")
    return float((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))
