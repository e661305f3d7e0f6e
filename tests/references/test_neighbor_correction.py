import numpy as np
import pytest

from kerasdml.references import NeighborCorrection

MEANS = np.array([[1, 0], [1, 1], [0, 2.0]])
VARIANCES = np.array([[1, 1], [0.5, 0.5], [0.1, 0.3]])
SIZES = np.array([2, 4, 6])


def test_value_worked_by_hand():
    # Of class 0: Dm = 1 and sqrt(17), Dv = sqrt(0.5) and sqrt(1.3), hence the weights
    # 4 exp(-0.75) and 6 exp(-9.15); its neighbours vary by (0.49987, 0.49993), all
    # classes by (0.38333, 0.48333), and 1 / (1 + log(1.1)) = 0.91298 of it is theirs.
    correction = NeighborCorrection(neighbors=2, distances="raw")
    corrected = correction(MEANS, VARIANCES, SIZES)[0]
    np.testing.assert_allclose(corrected, [0.5327460, 0.5419313], atol=1e-7)


@pytest.mark.parametrize(
    "size, doubt",
    [(1, 1), (2, 0.9129834), (5, 0.7482385), (11, 0.5906161), (40, 0.3862144), (41, 0)],
)
def test_larger_classes_are_trusted_more(size, doubt):
    # The class varies by 0 and all others by 1, so that the doubt is what it becomes.
    variances, sizes = np.array([[0.0], [1], [1]]), np.array([size, 10**9, 10**9])
    correction = NeighborCorrection(global_share=0.0)
    corrected = correction(np.array([[1.0], [2], [3]]), variances, sizes)
    np.testing.assert_allclose(corrected[0], doubt, atol=1e-7)


def formula(means, variances, sizes, k, neighbors, scaled):
    """The definition, of one class."""
    others = [i for i in range(len(sizes)) if i != k and sizes[i] >= 2]
    dm = np.array([np.linalg.norm(means[i] ** 2 - means[k] ** 2) for i in others])
    dv = np.array([np.linalg.norm(variances[i] - variances[k]) for i in others])
    if scaled:
        dm, dv = ((x - x.min()) / (x.max() - x.min()) for x in (dm, dv))
    near = np.argsort(dm)[:neighbors]
    weights = [sizes[others[i]] * np.exp(-(dm[i] ** 2 + dv[i] ** 2) / 2) for i in near]
    mine = np.average([variances[others[i]] for i in near], axis=0, weights=weights)
    some = sizes >= 2
    everywhere = np.average(variances[some], axis=0, weights=sizes[some])
    doubt = 1 / (1 + np.log(1 + 0.1 * (sizes[k] - 1)))
    blend = 0.9 * mine + 0.1 * everywhere
    return (1 - doubt) * variances[k] + doubt * blend


@pytest.mark.parametrize("distances", ["raw", "scaled"])
def test_agrees_with_the_definition(distances):
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 9, 30)
    means, variances = rng.normal(size=(30, 4)), rng.uniform(0.1, 1, size=(30, 4))
    correction = NeighborCorrection(neighbors=5, distances=distances)
    corrected = correction(means, variances, sizes)
    for k in range(30):
        expected = formula(means, variances, sizes, k, 5, distances == "scaled")
        np.testing.assert_allclose(corrected[k], expected, rtol=1e-10)
    assert (corrected >= variances.min(axis=0)).all()
    assert (corrected <= variances.max(axis=0)).all()


def test_classes_without_embeddings_or_neighbours_are_finite():
    correction = NeighborCorrection()
    corrected = correction(MEANS, VARIANCES, np.array([0, 1, 6]))
    np.testing.assert_array_equal(corrected[0], VARIANCES[0])
    # The only class with a variance lends it, and keeps it.
    np.testing.assert_allclose(corrected[1:], VARIANCES[[2, 2]])
    assert np.isfinite(correction(1e6 * MEANS, VARIANCES, SIZES)).all()


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"neighbors": 0}, "`neighbors` must be an integer of at least 1"),
        ({"small_class": 0}, "`small_class` must be an integer of at least 1"),
        ({"distrust": -1}, "`distrust` must be at least 0"),
        ({"global_share": 1.1}, r"`global_share` in \[0, 1\]"),
        ({"mean_width": 0}, "`mean_width` and `variance_width` must be positive"),
        ({"distances": "log"}, "`distances` must be 'scaled' or 'raw'"),
    ],
)
def test_rejects_what_it_cannot_do(bad, message):
    with pytest.raises(ValueError, match=message):
        NeighborCorrection(**bad)
