"""Statistics of Pathfinder images that two generators must share, and tests of whether they do."""

from __future__ import annotations

import numpy as np
from scipy import ndimage, stats

from lra.pathfinder.generator import PathfinderParameters
from lra.pathfinder.stamps import marker_stamps

GREY_BINS = np.array([0, 1, 16, 64, 112, 128, 160, 192, 224, 255, 256])
DASH = 95  # brighter pixels belong to a dash, not to the ringing of the resize filter
NEIGHBORS = np.ones((3, 3))


def image_statistics(images: np.ndarray, parameters: PathfinderParameters) -> dict[str, np.ndarray]:
    """Each statistic of each image, (B,) float64, from `images` (B, S, S) uint8 alone."""
    size = parameters.size
    flat = images.reshape(len(images), -1)
    distance = np.minimum(np.arange(size), np.arange(size)[::-1])
    ring = np.minimum.outer(distance, distance)
    outer, inner = ring < parameters.padding + 2, ring >= size // 4
    columns = {
        "mean": flat.mean(axis=1) / 255,
        "std": flat.std(axis=1) / 255,
        "lit (> 0)": (flat > 0).mean(axis=1),
        "bright (> 127)": (flat > 127).mean(axis=1),
        "border mean": images[:, outer].mean(axis=1) / 255,
        "border bright": (images[:, outer] > 127).mean(axis=1),
        "center mean": images[:, inner].mean(axis=1) / 255,
        "pieces": np.array([ndimage.label(image > DASH, NEIGHBORS)[1] for image in images]),
    }
    stamp = marker_stamps(parameters.marker_radius, parameters.antialias_scale)
    core = stamp[len(stamp) // 2, len(stamp) // 2] >= 250
    markers = [marker_statistics(image, core) for image in images]
    for name in markers[0]:
        columns[name] = np.array([m[name] for m in markers])
    return {name: np.asarray(values, np.float64) for name, values in columns.items()}


def marker_statistics(image: np.ndarray, core: np.ndarray) -> dict[str, float]:
    """Where the two markers seem to be in one image, from the full pixels of a marker, `core` (n, n) bool.

    Their brightness is not known beforehand, as the stretch depends on the brightest dash: a place is scored
    by the darkest pixel under the core, and the two best places that are a marker apart are taken.
    """
    rows, columns = np.nonzero(core)
    core = core[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    reach = max(core.shape)
    score = ndimage.grey_erosion(image, footprint=core, mode="constant")
    found = []
    remaining = score.copy()
    for _ in range(2):
        y, x = np.unravel_index(np.argmax(remaining), remaining.shape)
        found.append((y, x))
        remaining[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1] = 0
    (y0, x0), (y1, x1) = found
    level = score[y0, x0]
    labels, _ = ndimage.label(image >= 0.9 * level, NEIGHBORS)
    return {
        "marker brightness": float(level),
        "second marker brightness": float(score[y1, x1]),
        "marker size": float((labels == labels[y0, x0]).sum()),
        "marker distance": float(np.hypot(y0 - y1, x0 - x1)),
        "marker farthest out": float(np.hypot(*(np.array(found) - (image.shape[0] - 1) / 2).T).max()),
    }


def compare(
    ours: np.ndarray,
    theirs: np.ndarray,
    our_labels: np.ndarray,
    their_labels: np.ndarray,
    parameters: PathfinderParameters,
    rng: np.random.Generator,
) -> dict[str, tuple[float, float, float]]:
    """Statistic → (mean of ours, mean of theirs, p-value of the hypothesis that there is no difference)."""
    a, b = image_statistics(ours, parameters), image_statistics(theirs, parameters)
    report = {name: (a[name].mean(), b[name].mean(), stats.ks_2samp(a[name], b[name]).pvalue) for name in a}
    report["grey levels"] = (
        float(len(np.unique(ours))),
        float(len(np.unique(theirs))),
        histogram_p_value(grey_counts(ours), grey_counts(theirs), rng),
    )
    for label in (0, 1):
        distances = [s["marker distance"][y == label] for s, y in ((a, our_labels), (b, their_labels))]
        report[f"marker distance, label {label}"] = (
            *(d.mean() for d in distances),
            stats.ks_2samp(*distances).pvalue,
        )
    table = [np.bincount(labels, minlength=2) for labels in (our_labels, their_labels)]
    report["label 1"] = (our_labels.mean(), their_labels.mean(), stats.chi2_contingency(table).pvalue)
    return report


def grey_counts(images: np.ndarray) -> np.ndarray:
    """(B, bins): how many pixels of each image fall into each bin of grey."""
    bins = np.digitize(np.arange(256), GREY_BINS) - 1
    return np.stack([np.bincount(bins[image.ravel()], minlength=len(GREY_BINS) - 1) for image in images])


def histogram_p_value(ours: np.ndarray, theirs: np.ndarray, rng: np.random.Generator, rounds: int = 499) -> float:
    """Permutation test of the χ² distance of pooled histograms: images are independent, pixels are not."""
    pooled = np.concatenate([ours, theirs])

    def distance(order):
        first, second = pooled[order[: len(ours)]].mean(axis=0), pooled[order[len(ours) :]].mean(axis=0)
        return ((first - second) ** 2 / (first + second + 1e-9)).sum()

    observed = distance(np.arange(len(pooled)))
    exceeded = sum(distance(rng.permutation(len(pooled))) >= observed for _ in range(rounds))
    return (1 + exceeded) / (1 + rounds)
