"""What a set of vectors says: who is like whom, how many directions it fills, whether it knows its labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

import numpy as np
from jaxtyping import Bool, Float, Int


def centred_cosine(vectors: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N N"]:
    """Cosine of every two vectors after the mean vector was taken off, without which all vectors look alike."""
    unit = _unit(vectors)
    return np.clip(unit @ unit.T, -1, 1)


def by_distance(
    similarity: Float[np.ndarray, "M M"], positions: Float[np.ndarray, "M d"]
) -> tuple[Float[np.ndarray, " K"], Float[np.ndarray, " K"]]:
    """Mean distance and mean similarity of pairs of two different items, in steps of an even grid's pitch; steps of
    fewer than M / 2 pairs are left out."""
    distance = np.linalg.norm(positions[:, None] - positions, axis=-1)
    pairs = np.triu_indices(len(positions), 1)
    step = len(positions) ** (-1 / positions.shape[1])
    ring = np.rint(distance[pairs] / step).astype(int)
    count = np.bincount(ring)
    sums = (np.bincount(ring, values[pairs], len(count)) for values in (distance, similarity))
    many = count >= len(positions) / 2
    mean_distance, mean_similarity = (total[many] / count[many] for total in sums)
    return mean_distance, mean_similarity


def explained_by(vectors: Float[np.ndarray, "N D"], cause: Float[np.ndarray, "N c"]) -> float:
    """Share of the vectors' variance that a linear map of `cause` (and a constant) gives, on the same vectors."""
    centred = vectors - vectors.mean(0)
    basis, _ = np.linalg.qr(cause - cause.mean(0))
    return float(((basis.T @ centred) ** 2).sum() / max(float((centred**2).sum()), 1e-30))


def shared(groups: Float[np.ndarray, "P N D"]) -> float:
    """Share of the variance over the N places that is common to all P sets: an unbiased estimate (one-way analysis of
    variance), 1 where every set holds the same N vectors, about 0 where they have nothing in common."""
    sets = len(groups)
    if sets < 2:
        raise ValueError(f"what is shared shows between two sets or more, got {sets}")
    own = groups.var(0, ddof=1).sum(-1).mean()  # at one place, from set to set
    between = groups.mean(0).var(0, ddof=1).sum() - own / sets
    return float(np.clip(between / max(between + own, 1e-30), 0, 1))


def nearest_vectors(
    vectors: Float[np.ndarray, "N D"], query: int, count: int, allowed: Bool[np.ndarray, " N"] | None = None
) -> tuple[Float[np.ndarray, " N"], Int[np.ndarray, " n"]]:
    """Centred cosine of vector `query` with all, and the `count` most similar others (of the `allowed`)."""
    unit = _unit(vectors)
    similarity = np.clip(unit @ unit[query], -1, 1)
    allowed = np.ones(len(unit), bool) if allowed is None else allowed.copy()
    allowed[query] = False
    order = np.argsort(-similarity, kind="stable")
    return similarity, order[allowed[order]][:count]


@dataclass(frozen=True, eq=False)
class Components:
    """Principal components: the vectors on them, and each one's share of the variance, largest first."""

    scores: Float[np.ndarray, "N K"]
    explained: Float[np.ndarray, " K"]

    def reaching(self, share: float) -> int:
        """How many components hold this share of the variance."""
        return min(len(self.explained), int(np.searchsorted(self.explained.cumsum(), share - 1e-12)) + 1)


def principal_components(vectors: Float[np.ndarray, "N D"]) -> Components:
    """PCA, all min(N, D) components. A component's sign is that of its largest loading, so that it is the same twice."""
    centred = vectors - vectors.mean(0)
    variance, axes = np.linalg.eigh(centred.T @ centred)
    keep = slice(None, None, -1) if len(vectors) >= vectors.shape[1] else slice(-1, -1 - len(vectors), -1)
    variance, axes = np.clip(variance[keep], 0, None), axes[:, keep]
    axes = axes * np.where(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])] < 0, -1, 1)
    total = variance.sum()
    return Components(centred @ axes, variance / total if total else variance)


def tsne(vectors: Float[np.ndarray, "N D"], seed: int = 0, perplexity: float = 30) -> Float[np.ndarray, "N 2"]:
    """t-SNE (van der Maaten & Hinton 2008) of the first 50 principal components, started from the first two.

    The perplexity falls to a third of the points where there are few; ValueError with fewer than 5.
    """
    if len(vectors) < 5:
        raise ValueError(f"t-SNE needs at least 5 vectors, got {len(vectors)}")
    manifold = _sklearn("manifold")
    scores = principal_components(vectors).scores[:, :50]
    start = np.pad(scores[:, :2], ((0, 0), (0, max(0, 2 - scores.shape[1]))))
    start = 1e-4 * start / max(start[:, 0].std(), 1e-30)
    fitted = manifold.TSNE(perplexity=min(perplexity, (len(vectors) - 1) / 3), init=start, random_state=seed)
    return fitted.fit_transform(scores)


@dataclass(frozen=True)
class Probe:
    """How well vectors tell labels: accuracy of a linear classifier on unseen ones, and the mean share of a vector's
    `neighbours` nearest that carry its label; what labels alone would give stands beside each."""

    accuracy: float
    chance: float
    purity: float
    purity_chance: float
    train: int
    test: int
    classes: int
    neighbours: int


def linear_probe(
    features: Float[np.ndarray, "N D"],
    labels: Sequence | np.ndarray,
    seed: int = 0,
    test: float = 0.3,
    neighbours: int = 10,
) -> Probe:
    """Logistic regression on standardised features, a `test` share of each class held out; k-NN purity over all.

    `chance` is the accuracy of always answering the most frequent class, `purity_chance` the share of equal labels among
    pairs. ValueError where labels do not match the features, or a class has fewer than four.
    """
    features, labels = np.asarray(features, np.float64), np.asarray(labels)
    names, which, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if len(features) != len(labels) or features.ndim != 2:
        raise ValueError(f"expected features (N, D) with N labels, got {features.shape} and {len(labels)} labels")
    if len(names) < 2 or sizes.min() < 4:
        raise ValueError(
            f"a probe needs two classes of four pictures or more, got {len(names)} with {sizes.min()} in the smallest"
        )
    split = _sklearn("model_selection").train_test_split
    train, held_out = split(np.arange(len(which)), test_size=max(test, len(names) / len(which)),
                            stratify=which, random_state=seed)  # fmt: skip
    scaler = _sklearn("preprocessing").StandardScaler().fit(features[train])
    probe = _sklearn("linear_model").LogisticRegression(max_iter=2000)
    probe.fit(scaler.transform(features[train]), which[train])
    accuracy = probe.score(scaler.transform(features[held_out]), which[held_out])
    neighbours = min(neighbours, len(which) - 1)
    similarity = centred_cosine(features)
    np.fill_diagonal(similarity, -np.inf)
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :neighbours]
    chance = np.bincount(which[held_out]).max() / len(held_out)
    alike = (sizes * (sizes - 1)).sum() / (len(which) * (len(which) - 1))
    purity = (which[nearest] == which[:, None]).mean()
    return Probe(float(accuracy), float(chance), float(purity), float(alike), len(train), len(held_out), len(names),
                 neighbours)  # fmt: skip


def _unit(vectors: np.ndarray) -> np.ndarray:
    centred = vectors - vectors.mean(0)
    return centred / np.clip(np.linalg.norm(centred, axis=1, keepdims=True), 1e-30, None)


def _sklearn(room: str):
    try:
        return import_module(f"sklearn.{room}")
    except ImportError as missing:
        raise ImportError(f"looking inside needs scikit-learn ({missing}); pip install 'gridless[eval]'") from missing
