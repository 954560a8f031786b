"""Each metric against an oracle."""

import numpy as np
import pytest
import scipy.linalg
import torch
from scipy.spatial import distance

from evaluation import metrics


def test_fid_equals_the_formula_with_scipys_root():
    generator = np.random.default_rng(0)
    a = generator.normal(size=(3000, 20)) @ generator.normal(size=(20, 20))
    b = generator.normal(size=(3000, 20)) @ generator.normal(size=(20, 20)) + 0.5
    sa, sb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(sa + sb - 2 * scipy.linalg.sqrtm(sa @ sb).real)
    found = metrics.fid(torch.from_numpy(a).float(), torch.from_numpy(b).float())
    assert found == pytest.approx(expected, rel=1e-3)


def test_kid_equals_the_unbiased_estimator():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(500, 8, generator=generator), torch.randn(500, 8, generator=generator) * 1.2 + 0.3

    def kernel(x, y):
        return (x.double() @ y.double().T / 8 + 1) ** 3

    n = 500
    within = sum((kernel(x, x).sum() - kernel(x, x).diagonal().sum()) / (n * (n - 1)) for x in (a, b))
    expected = (within - 2 * kernel(a, b).mean()).item()
    assert metrics.kid(a, b) == pytest.approx(expected, rel=0.05)  # the mean over random halves, which are unbiased too


def test_the_subsets_of_kid_are_smaller_than_the_set(monkeypatch):
    """Else all of them would be the same one."""
    sizes = []

    class Spy(metrics.KernelInceptionDistance):
        def __init__(self, *given, subset_size, **keywords):
            sizes.append(subset_size)
            super().__init__(*given, subset_size=subset_size, **keywords)

    monkeypatch.setattr(metrics, "KernelInceptionDistance", Spy)
    for count in (100, 1000, 3000):
        metrics.kid(torch.randn(count, 4), torch.randn(count, 4))
    assert sizes == [50, 500, 1000]


def test_inception_score_of_sure_and_unsure_logits():
    sure = 50 * torch.eye(10).repeat(100, 1)
    assert metrics.inception_score(
        sure[torch.randperm(1000, generator=torch.Generator().manual_seed(0))]
    ) == pytest.approx(10, rel=0.06)
    assert metrics.inception_score(torch.zeros(1000, 10)) == pytest.approx(1)
    assert metrics.inception_score(50 * torch.eye(10)[:1].repeat(1000, 1)) == pytest.approx(1)


def test_the_published_check_of_precision_recall_density_coverage():
    """Two samples of N(0, I) in 1000 dimensions, n = 10,000, k = 5."""
    generator = torch.Generator().manual_seed(0)
    real, fake = (torch.randn(10_000, 1000, generator=generator) for _ in range(2))
    found = metrics.neighbourhoods(real, fake, k=5)
    assert found["precision"] == pytest.approx(0.48, abs=0.04)
    assert found["recall"] == pytest.approx(0.47, abs=0.04)
    assert found["density"] == pytest.approx(1.06, abs=0.06)
    assert found["coverage"] == pytest.approx(0.97, abs=0.02)


def test_what_two_samples_of_one_distribution_give():
    """Naeem et al. 2020: the density's expectation is 1, and the coverage's has a closed form, near 1 - 2⁻ᵏ; for any
    distribution. Precision and recall, which have none, against their definitions, point by point."""
    generator, n, k = torch.Generator().manual_seed(0), 2000, 5
    real, fake = (torch.randn(n, 8, generator=generator) for _ in range(2))
    found = metrics.neighbourhoods(real, fake, k=k)
    assert found["density"] == pytest.approx(1, abs=0.04)
    missed = np.prod([(n - i) / (2 * n - i) for i in range(1, k + 1)])
    assert found["coverage"] == pytest.approx(1 - missed, abs=0.01)

    def inside(points: np.ndarray, others: np.ndarray) -> float:
        radii = np.sort(distance.cdist(others, others), axis=1)[:, k]  # column 0 is a point itself
        return (distance.cdist(points, others) <= radii).any(1).mean()

    real, fake = real.double().numpy(), fake.double().numpy()
    assert found["precision"] == pytest.approx(inside(fake, real), abs=0.002)
    assert found["recall"] == pytest.approx(inside(real, fake), abs=0.002)
    assert 0.5 < found["precision"] < 0.99


def test_neighbourhoods_by_hand():
    real = torch.tensor([[0.0], [1.0], [2.0], [10.0]])
    fake = torch.tensor([[0.5], [3.0], [30.0], [31.0]])
    found = metrics.neighbourhoods(real, fake, k=1)
    # radii of real: 1, 1, 1, 8. 0.5 lies in the balls of 0 and 1; 3 in those of 2 and 10; 30 and 31 in none
    assert found["precision"] == pytest.approx(0.5)
    assert found["density"] == pytest.approx(4 / (1 * 4))
    assert found["coverage"] == pytest.approx(1.0)
    # radii of fake: 2.5, 2.5, 1, 1, which reach 0, 1, 2 and not 10
    assert found["recall"] == pytest.approx(0.75)


def test_nearest_by_hand():
    distance, index = metrics.nearest(torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([[1.0, 1.0], [0.0, 0.2]]))
    assert index.tolist() == [1, 0]
    assert distance.tolist() == pytest.approx([0.2 / np.sqrt(2), 0.0])
