import numpy as np
import pytest

from kerasdml.metrics import gaussian_mixture


def points(d=3, seed=0):
    rng = np.random.default_rng(seed)
    stretch = np.diag(np.linspace(0.5, 2.0, d)) + 0.3 * np.eye(d, k=1)
    far = rng.normal(size=(90, d)) @ stretch + 6.0
    return np.concatenate([rng.normal(size=(110, d)), far])


def log_likelihood(x, labels, covariance):
    """Of Gaussians fitted to the examples of each component, one at a time."""
    total = np.zeros(len(x))
    for k in np.unique(labels):
        own = x[labels == k]
        spread = np.cov(own.T, bias=True)
        if covariance == "diagonal":
            spread = np.diag(np.diag(spread))
        away = x - own.mean(axis=0)
        squares = [a @ np.linalg.inv(spread) @ a for a in away]
        _, log_volume = np.linalg.slogdet(2 * np.pi * spread)
        density = np.exp(-0.5 * (np.array(squares) + log_volume))
        total += len(own) / len(x) * density
    return np.log(total).sum()


@pytest.mark.parametrize("covariance, parameters", [("full", 19), ("diagonal", 13)])
def test_two_clouds_are_told_apart_and_bic_is_that_of_their_gaussians(
    covariance, parameters
):
    # Of 3 dimensions: 2 × (3 means + 6 or 3 of the covariance) and a weight.
    x = points()
    labels, bic = gaussian_mixture(x, 2, covariance=covariance)
    assert set(labels[:110]) != set(labels[110:])
    assert len(set(labels[:110])) == len(set(labels[110:])) == 1
    expected = parameters * np.log(200) - 2 * log_likelihood(x, labels, covariance)
    np.testing.assert_allclose(bic, expected, rtol=1e-4)


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_the_criterion_finds_the_number_of_clouds(covariance):
    x = points() if covariance == "full" else points() * [1, 1, 0] + [0, 0, 1]
    x = x + np.random.default_rng(1).normal(scale=0.1, size=x.shape)
    found = [gaussian_mixture(x, k, covariance=covariance)[1] for k in (1, 2, 3, 4)]
    assert np.argmin(found) == 1


def test_a_wide_and_a_narrow_cloud_are_split_where_the_narrow_one_ends():
    # k-means would cut half way, at 2.
    rng = np.random.default_rng(0)
    x = np.append(rng.normal(scale=0.05, size=300), 4 + rng.normal(size=300))[:, None]
    labels, _ = gaussian_mixture(x, 2)
    assert (labels[300:] == labels[-1]).mean() > 0.99
    assert (x[300:] < 2).any(), "some of the wide one are nearer to the narrow one"


def test_points_on_a_line_have_a_mixture():
    x = np.linspace(0, 1, 20)[:, None] * np.ones((1, 4))
    labels, bic = gaussian_mixture(x, 2)
    assert np.isfinite(bic) and set(labels) == {0, 1}


def test_rejects_an_unknown_covariance():
    with pytest.raises(ValueError, match="must be 'full' or 'diagonal'"):
        gaussian_mixture(points(), 2, covariance="tied")
