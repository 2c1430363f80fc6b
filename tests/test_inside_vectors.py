"""Measures on sets of vectors, each on what it must be by definition."""

import numpy as np
import pytest

import gridless as gl
from gridless.reports.inside.vectors import (
    by_distance,
    centred_cosine,
    explained_by,
    linear_probe,
    nearest_vectors,
    principal_components,
    shared,
    tsne,
)

RNG = np.random.default_rng
RNG = np.random.default_rng


def test_cosine_is_symmetric_and_blind_to_what_all_share():
    vectors = RNG(0).normal(size=(9, 5))
    matrix = centred_cosine(vectors)
    assert np.allclose(matrix, matrix.T) and np.allclose(np.diag(matrix), 1) and (np.abs(matrix) <= 1).all()
    assert np.allclose(matrix, centred_cosine(vectors + 100.0)) and matrix[~np.eye(9, dtype=bool)].min() < -0.1


def test_similarity_by_distance_sees_a_falling_similarity():
    positions = gl.grid(6, 6).numpy()
    similarity = np.exp(-3 * np.linalg.norm(positions[:, None] - positions, axis=-1))
    distance, mean = by_distance(similarity, positions)
    assert (np.diff(distance) > 0).all() and (np.diff(mean) < 0).all()
    assert np.allclose(mean, np.exp(-3 * distance), atol=0.02)


@pytest.mark.parametrize("shape", [(40, 6), (4, 9)], ids=["many", "few"])
def test_components_keep_distances_and_share_the_variance(shape):
    vectors = RNG(0).normal(size=shape) * np.arange(1, shape[1] + 1)
    found = principal_components(vectors)
    assert found.scores.shape == (shape[0], min(shape)) and found.explained.sum() == pytest.approx(1)
    assert (np.diff(found.explained) <= 1e-12).all()
    between = [np.linalg.norm(x[:, None] - x, axis=-1) for x in (vectors, found.scores)]
    assert np.allclose(*between)
    n = found.reaching(0.9)
    assert found.explained[:n].sum() >= 0.9 > found.explained[: n - 1].sum()
    assert np.array_equal(found.scores, principal_components(vectors.copy()).scores)


def test_components_of_a_line_are_one():
    line = np.linspace(0, 1, 20)[:, None] * np.array([3.0, 0, 4.0])
    assert principal_components(line).reaching(0.95) == 1
    assert not principal_components(np.ones((5, 3))).explained.any()


def test_tsne_keeps_clusters_and_is_the_same_twice():
    vectors = np.concatenate([RNG(0).normal(size=(20, 8)), RNG(1).normal(size=(20, 8)) + 30])
    layout = tsne(vectors)
    distance = np.linalg.norm(layout[:, None] - layout, axis=-1) + np.diag([np.inf] * 40)
    assert ((distance.argmin(1) < 20) == (np.arange(40) < 20)).all()
    assert np.array_equal(layout, tsne(vectors.copy()))


@pytest.mark.parametrize("vectors", [RNG(0).normal(size=(5, 4)), np.ones((7, 3)), RNG(0).normal(size=(6, 1))])
def test_tsne_of_few_or_equal_vectors_is_finite(vectors):
    assert tsne(vectors).shape == (len(vectors), 2) and np.isfinite(tsne(vectors)).all()


def test_tsne_refuses_four():
    with pytest.raises(ValueError, match="at least 5 vectors, got 4"):
        tsne(np.zeros((4, 2)))


def test_neighbours_are_the_most_alike_of_the_allowed():
    angle = np.deg2rad([0, 5, 10, 90, 180, 270])
    vectors = np.stack([np.cos(angle), np.sin(angle)], -1)
    vectors = np.concatenate([vectors, -vectors])  # mean zero
    similarity, nearest = nearest_vectors(vectors, 0, 2)
    assert nearest[0] == 10 and nearest[1] == 1 and similarity[0] == pytest.approx(1)  # 10: minus the one at 180°
    allowed = np.ones(12, bool)
    allowed[[1, 10]] = False
    assert nearest_vectors(vectors, 0, 1, allowed)[1].tolist() == [2]


def test_what_is_shared_between_sets():
    place, noise = RNG(0).normal(size=(400, 6)), RNG(1).normal(size=(3, 400, 6))
    assert shared(np.stack([place] * 3)) == pytest.approx(1)
    assert shared(noise) < 0.05
    assert shared(place + noise) == pytest.approx(0.5, abs=0.05)
    with pytest.raises(ValueError, match="two sets"):
        shared(noise[:1])


def test_what_a_cause_explains():
    cause, other = RNG(0).normal(size=(2, 500, 2))
    mixed = cause @ RNG(2).normal(size=(2, 7))
    assert explained_by(mixed + 5, cause) == pytest.approx(1)
    assert explained_by(mixed, other) < 0.05


def test_a_probe_of_separate_classes_and_of_chance():
    labels = np.repeat(["cat", "dog", "owl"], 30)
    centres = RNG(0).normal(size=(3, 8)) * 20
    result = linear_probe(np.repeat(centres, 30, 0) + RNG(1).normal(size=(90, 8)), labels)
    assert result.accuracy == 1 and result.purity == 1 and (result.train, result.test, result.classes) == (63, 27, 3)
    assert result.chance == pytest.approx(1 / 3) and result.purity_chance == pytest.approx(29 / 89)
    noise = RNG(2).normal(size=(90, 8))
    random = linear_probe(noise, labels)
    assert abs(random.accuracy - 1 / 3) < 0.25 and abs(random.purity - 1 / 3) < 0.1
    assert random == linear_probe(noise, labels)


def test_a_probe_says_what_it_needs():
    with pytest.raises(ValueError, match="N labels"):
        linear_probe(np.zeros((4, 2)), [0, 1])
    with pytest.raises(ValueError, match="two classes of four"):
        linear_probe(np.zeros((6, 2)), [0, 0, 0, 0, 1, 1])
