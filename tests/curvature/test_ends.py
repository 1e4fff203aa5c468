"""Both ends of a spectrum, each certified relative to itself, against dense matrices in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lastbit.curvature import DenseOperator, HessianOperator, ModelLoss, stable_learning_rates, top_eigenpairs
from lastbit.report.formatting import certified

FLOAT = torch.float64


def rotated(spectrum, seed):
    generator = torch.Generator().manual_seed(seed)
    basis, _ = torch.linalg.qr(torch.randn(len(spectrum), len(spectrum), dtype=FLOAT, generator=generator))
    matrix = basis @ torch.diag(torch.as_tensor(spectrum, dtype=FLOAT)) @ basis.mT
    return (matrix + matrix.mT) / 2


@given(decades=st.floats(0, 4), size=st.integers(10, 60), seed=st.integers(0, 99), flip=st.booleans())
@settings(deadline=None, max_examples=60)
def test_each_end_is_certified_relative_to_itself(decades, size, seed, flip):
    rng = np.random.default_rng(seed)
    spectrum = np.r_[-(10**decades), rng.uniform(-0.5, 0.5, size), 1.0]
    matrix = rotated(-spectrum if flip else spectrum, seed)
    true = torch.linalg.eigvalsh(matrix)
    pairs = top_eigenpairs(DenseOperator(matrix), which="both", tol=1e-2, atol=1e-12, floor=1e-4, seed=seed)
    for value, within, converged, end in zip(
        pairs.values, pairs.residuals, pairs.converged, (true[-1], true[0]), strict=True
    ):
        if converged and end == true[-1]:
            assert abs(float(value / end) - 1) <= 1e-2
        shown = certified(float(value), float(within))
        if shown != "not resolved":
            digits = len(shown.split("e")[0].replace("-", "").replace(".", "").lstrip("0"))
            assert abs(float(shown) - float(end)) <= 1.5 * abs(float(end)) * 10.0 ** (1 - digits)


def quadratic(spectrum, seed=3):
    matrix = rotated(spectrum, seed)
    model = torch.nn.Linear(len(spectrum), 1, bias=False).double()
    return model, ModelLoss(lambda model, batch: 0.5 * model.weight[0] @ matrix @ model.weight[0]), torch.zeros(1, 1)


@pytest.mark.parametrize(("low", "high"), [(-0.0103, 20.0), (-50.0, 1.0), (-1e-3, 40.0)])
def test_the_stable_decay_ends_where_the_smallest_eigenvalue_is_or_is_not_resolved(low, high):
    model, loss_fn, batch = quadratic(np.r_[low, np.linspace(low / 2, 0.3 * high, 50), high])
    row = stable_learning_rates(model, loss_fn, batch, torch.optim.SGD(model.parameters(), lr=0.01)).whole
    assert row.converged
    assert row.sharpness == pytest.approx(high, rel=1e-3)
    found = row.decay_interval[0]
    assert found is None or found == pytest.approx(-low, rel=1e-2)
    assert found is not None or row.smallest_within > 0.01 * abs(row.smallest)


def test_rounding_is_no_decay():
    model, loss_fn, batch = quadratic(np.r_[np.zeros(5), 1.0, 2.0, 4.0])
    row = stable_learning_rates(model, loss_fn, batch, torch.optim.SGD(model.parameters(), lr=0.1)).whole
    assert row.decay_interval[0] == 0
    assert certified(row.smallest, max(row.smallest_within, 1e-15)) == "not resolved"


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
@pytest.mark.parametrize("weight_decay", [0.0, 5.0])
def test_ratio_sharpness_and_limit_are_one_statement(kind, weight_decay):
    model, loss_fn, batch = quadratic(np.r_[0.5, 3.0, 7.63])
    optimizer = kind(model.parameters(), lr=0.05, weight_decay=weight_decay)
    if kind is torch.optim.AdamW:
        loss_fn(model, batch).backward()
        optimizer.step()
        (state,) = optimizer.state.values()
        state["exp_avg_sq"].fill_(1.0)
        state["step"].fill_(1_000_000)
    row = stable_learning_rates(model, loss_fn, batch, optimizer, tol=1e-8).whole
    assert row.sharpness == pytest.approx(7.63, rel=1e-6)
    assert row.ratio == pytest.approx(row.lr / row.max_lr, rel=1e-6)
    if kind is torch.optim.SGD:
        assert row.limit == pytest.approx(40 - weight_decay)
        assert row.ratio == pytest.approx((7.63 + weight_decay) / 40, rel=1e-6)


def test_a_concave_loss_bears_any_rate():
    model, loss_fn, batch = quadratic(np.r_[-3.0, -2.0, -1.0])
    row = stable_learning_rates(model, loss_fn, batch, torch.optim.SGD(model.parameters(), lr=0.1)).whole
    assert row.max_lr == np.inf
    assert row.decay_interval[0] == pytest.approx(3.0)


class Tied(torch.nn.Module):
    def __init__(self, sparse, tied):
        super().__init__()
        self.emb = torch.nn.Embedding(5, 3, sparse=sparse)
        self.head = torch.nn.Linear(3, 5, bias=False)
        if tied:
            self.head.weight = self.emb.weight

    def forward(self, x):
        return self.head(self.emb(x).tanh())


@pytest.mark.parametrize("tied", [True, False])
def test_a_sparse_embedding_is_measured_as_the_dense_one(tied):
    torch.manual_seed(0)
    dense = Tied(False, tied).double()
    sparse = Tied(True, tied).double()
    sparse.load_state_dict(dense.state_dict())
    batch = torch.randint(0, 5, (8,)), torch.randint(0, 5, (8,))
    found, want = (HessianOperator(m, torch.nn.functional.cross_entropy, batch).dense() for m in (sparse, dense))
    torch.testing.assert_close(found, want)
    assert len(want) == (15 if tied else 30)
