"""Products against dense Hessians and finite differences in float64, over a table of modules."""

import copy
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lastbit.core.errors import LastbitError
from lastbit.curvature import DenseOperator, GaussNewtonOperator, HessianOperator, ModelLoss
from lastbit.curvature.operators import PreconditionedOperator, ShiftedOperator
from lastbit.curvature.parameters import blocks_by_group, blocks_by_module, blocks_by_tensor

FLOAT = torch.float64


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(4, 12)
        self.out = nn.Linear(4, 3)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, -1)
        return self.out(F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0].mean(1))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.encode = nn.Linear(5, 4, bias=False)
        self.decode = nn.Linear(4, 5, bias=False)
        self.decode.weight = nn.Parameter(self.encode.weight.detach().T.contiguous())
        self.again = nn.Linear(5, 4, bias=False)
        self.again.weight = self.encode.weight
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(torch.tanh(self.again(self.decode(torch.tanh(self.encode(x))))))


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.rnn = kind(4, 3, batch_first=True)
        self.head = nn.Linear(3, 3)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


def frozen():
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))
    model[0].weight.requires_grad_(False)
    return model


def conv(norm):
    return nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), norm(), nn.SiLU(), nn.Flatten(), nn.Linear(2 * 9, 3))


def encoder():
    layer = nn.TransformerEncoderLayer(4, 2, dim_feedforward=5, dropout=0.0, activation="gelu", batch_first=True)
    return nn.Sequential(layer, nn.Flatten(), nn.Linear(12, 3))


MODULES = {
    "linear": (lambda: nn.Sequential(nn.Linear(5, 3)), (7, 5)),
    "mlp": (lambda: nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)), (7, 5)),
    "layer norm": (lambda: nn.Sequential(nn.Linear(5, 6), nn.LayerNorm(6), nn.GELU(), nn.Linear(6, 3)), (7, 5)),
    "batch norm 1d": (lambda: nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3)), (9, 5)),
    "batch norm 2d": (lambda: conv(lambda: nn.BatchNorm2d(2)), (6, 1, 5, 5)),
    "group norm": (lambda: conv(lambda: nn.GroupNorm(1, 2)), (6, 1, 5, 5)),
    "instance norm": (lambda: conv(lambda: nn.InstanceNorm2d(2, affine=True)), (6, 1, 5, 5)),
    "attention": (Attention, (5, 3, 4)),
    "encoder layer": (encoder, (5, 3, 4)),
    "tied": (Tied, (7, 5)),
    "frozen": (frozen, (7, 5)),
    "dropout": (lambda: nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Dropout(0.4), nn.Linear(8, 3)), (7, 5)),
    "lstm": (lambda: Recurrent(nn.LSTM), (4, 3, 4)),
    "gru": (lambda: Recurrent(nn.GRU), (4, 3, 4)),
    "spectral norm": (
        lambda: nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(5, 4)), nn.Tanh(), nn.Linear(4, 3)),
        (7, 5),
    ),
}


def built(name, training):
    make, shape = MODULES[name]
    torch.manual_seed(3)
    model = make().to(FLOAT)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm | nn.LayerNorm) and module.weight is not None:
            nn.init.normal_(module.weight, 1.0, 0.3)
            nn.init.normal_(module.bias, 0.0, 0.3)
    model.train(training)
    inputs = torch.randn(shape, dtype=FLOAT)
    return model, (inputs, torch.randint(0, 3, (shape[0],)))


def trainable(model):
    return [p for p in model.parameters() if p.requires_grad]


def gradient_at(model, batch, flat, state):
    """Oracle: the flat gradient of a deep copy with weights `flat`, under the generator state of the measurement."""
    twin = copy.deepcopy(model)
    torch.nn.utils.vector_to_parameters(flat, trainable(twin))
    torch.set_rng_state(state)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        loss = F.cross_entropy(twin(batch[0]), batch[1])
    return torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, trainable(twin))])


# In train mode spectral norm moves its power iteration by the weights, outside of autograd: finite differences see
# that, a Hessian-vector product by definition does not.
TABLE = [
    (name, training) for name in MODULES for training in (True, False) if (name, training) != ("spectral norm", True)
]


@pytest.mark.parametrize(("name", "training"), TABLE)
def test_products_match_finite_differences_and_leave_no_trace(name, training):
    model, batch = built(name, training)
    for p in trainable(model):
        p.grad = torch.randn_like(p)
    torch.manual_seed(11)
    random.seed(11)
    np.random.seed(11)  # noqa: NPY002
    before = {key: value.clone() for key, value in model.state_dict().items()}
    grads = [p.grad.clone() for p in trainable(model)]
    held = [p.grad for p in trainable(model)]
    modes = [m.training for m in model.modules()]
    generators = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002

    operator = HessianOperator(model, F.cross_entropy, batch)
    block = torch.randn(operator.size, 3, dtype=FLOAT, generator=torch.Generator().manual_seed(0))
    products = operator @ block
    assert operator.products == 3

    assert torch.equal(torch.get_rng_state(), generators[0])
    assert random.getstate() == generators[1]
    assert (np.random.get_state()[1] == generators[2]).all()  # noqa: NPY002
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(p.grad is h and torch.equal(p.grad, g) for p, h, g in zip(trainable(model), held, grads, strict=True))
    assert [m.training for m in model.modules()] == modes

    flat = torch.nn.utils.parameters_to_vector(trainable(model)).detach()
    step = 1e-5
    state = generators[0]
    for column in range(3):
        v = block[:, column]
        ahead = gradient_at(model, batch, flat + step * v, state)
        behind = gradient_at(model, batch, flat - step * v, state)
        expected = (ahead - behind) / (2 * step)
        # Central differences err by O(step^2) and the rounding of the gradient over the step: 1e-16/1e-5.
        torch.testing.assert_close(
            products[:, column], expected, rtol=2e-6, atol=2e-8 * float(expected.abs().max()) + 1e-9
        )
    gradient = operator.loss_and_gradient()[1]
    torch.testing.assert_close(gradient, gradient_at(model, batch, flat, state), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ["mlp", "layer norm", "tied", "frozen", "attention"])
def test_the_dense_hessian_is_that_of_autograd(name):
    model, batch = built(name, training=False)
    names = [n for n, p in model.named_parameters() if p.requires_grad]
    shapes = [p.shape for p in trainable(model)]

    def loss_of(flat):
        parts = flat.split([s.numel() for s in shapes])
        state = {n: part.view(s) for n, part, s in zip(names, parts, shapes, strict=True)}
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            return F.cross_entropy(torch.func.functional_call(model, state, (batch[0],)), batch[1])

    flat = torch.nn.utils.parameters_to_vector(trainable(model)).detach()
    expected = torch.autograd.functional.hessian(loss_of, flat)
    dense = HessianOperator(model, F.cross_entropy, batch).dense()
    torch.testing.assert_close(dense, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(dense, dense.mT, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("operator", [HessianOperator, GaussNewtonOperator])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("micro_batch", [1, 3, 7, 100])
def test_micro_batches_add_up_to_the_full_batch(operator, reduction, micro_batch):
    model, batch = built("layer norm", training=True)
    loss_fn = nn.CrossEntropyLoss(reduction=reduction)
    whole = operator(model, loss_fn, batch)
    parts = operator(model, loss_fn, batch, micro_batch=micro_batch)
    v = torch.randn(whole.size, 2, dtype=FLOAT)
    torch.testing.assert_close(parts @ v, whole @ v, rtol=1e-12, atol=1e-13)
    if operator is HessianOperator:
        for left, right in zip(parts.loss_and_gradient(), whole.loss_and_gradient(), strict=True):
            torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["mlp", "batch norm 2d", "attention", "frozen"])
def test_gauss_newton_is_the_sandwich_of_the_jacobian(name):
    model, batch = built(name, training=True)
    operator = GaussNewtonOperator(model, F.cross_entropy, batch)
    outputs = HessianOperator(model, F.cross_entropy, batch).snapshot
    graph, _ = next(outputs.graphs())
    rows = [
        torch.cat([g.reshape(-1) for g in torch.autograd.grad(z, graph.leaves, retain_graph=True)])
        for z in graph.outputs.reshape(-1)
    ]
    jacobian = torch.stack(rows)
    middle = torch.autograd.functional.hessian(
        lambda z: F.cross_entropy(z.view_as(graph.outputs), batch[1]), graph.outputs.detach().reshape(-1)
    )
    torch.testing.assert_close(operator.dense(), jacobian.mT @ middle @ jacobian, rtol=1e-9, atol=1e-12)


def test_for_a_linear_network_gauss_newton_is_the_hessian():
    model, batch = built("linear", training=True)
    hessian = HessianOperator(model, F.cross_entropy, batch).dense()
    torch.testing.assert_close(
        GaussNewtonOperator(model, F.cross_entropy, batch).dense(), hessian, rtol=1e-10, atol=1e-13
    )


def test_blocks_are_diagonal_blocks_of_the_whole():
    model, batch = built("layer norm", training=True)
    operator = HessianOperator(model, F.cross_entropy, batch)
    dense = operator.dense()
    optimizer = torch.optim.SGD([{"params": [*model[0].parameters()]}, {"params": [*model[3].parameters()]}], lr=0.1)
    places = dict(zip(operator.space.names, operator.space.unflatten(torch.arange(operator.size)), strict=True))
    for blocks in (
        blocks_by_tensor(operator.space),
        blocks_by_module(operator.space),
        blocks_by_group(operator.space, model, optimizer),
    ):
        for names in blocks.values():
            where = torch.cat([places[name].flatten() for name in names])
            expected = dense[where][:, where]
            torch.testing.assert_close(operator.block(names).dense(), expected, rtol=1e-10, atol=1e-13)
    assert list(blocks_by_module(operator.space)) == ["0", "1", "3"]
    assert blocks_by_group(operator.space, model, optimizer) == {
        "group 0": ("0.weight", "0.bias"),
        "group 1": ("3.weight", "3.bias"),
    }


def test_preconditioned_and_shifted_are_what_they_say():
    matrix = torch.randn(6, 6, dtype=FLOAT)
    matrix = matrix + matrix.mT
    diagonal = torch.rand(6, dtype=FLOAT) + 0.1
    operator = PreconditionedOperator(ShiftedOperator(DenseOperator(matrix), 0.3), diagonal)
    scale = torch.diag(diagonal.rsqrt())
    torch.testing.assert_close(operator.dense(), scale @ (matrix + 0.3 * torch.eye(6, dtype=FLOAT)) @ scale)
    shift = torch.rand(6, dtype=FLOAT)
    torch.testing.assert_close(ShiftedOperator(DenseOperator(matrix), shift).dense(), matrix + torch.diag(shift))
    diagonal[2] = torch.inf
    still = PreconditionedOperator(DenseOperator(matrix), diagonal).dense()
    assert (still[2] == 0).all()


def test_the_operator_keeps_describing_the_weights_it_was_built_at():
    model, batch = built("batch norm 2d", training=True)
    operator = HessianOperator(model, F.cross_entropy, batch)
    v = torch.randn(operator.size, dtype=FLOAT)
    first = operator @ v
    micro, _ = HessianOperator(model.eval(), F.cross_entropy, batch, micro_batch=2), model.train()
    held = micro @ v
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1.0)
        model[1].running_mean.add_(1.0)
    assert torch.equal(operator @ v, first)
    assert torch.equal(micro @ v, held)


def test_dropout_draws_one_mask_for_all_products_of_a_measurement():
    model, batch = built("dropout", training=True)
    operator = HessianOperator(model, F.cross_entropy, batch, micro_batch=3)
    v = torch.randn(operator.size, dtype=FLOAT)
    first = operator @ v
    torch.rand(5)
    assert torch.equal(operator @ v, first)
    assert not torch.equal(HessianOperator(model, F.cross_entropy, batch, micro_batch=3) @ v, first)


def test_a_loss_may_take_the_model_itself_and_read_its_weights():
    model, batch = built("mlp", training=True)

    def penalised(model, batch):
        penalty = sum(p.square().sum() for p in model.parameters())
        return F.cross_entropy(model(batch["x"]), batch["y"]) + 0.35 * penalty

    operator = HessianOperator(model, ModelLoss(penalised), {"x": batch[0], "y": batch[1]})
    plain = HessianOperator(model, F.cross_entropy, batch).dense()
    torch.testing.assert_close(operator.dense(), plain + 0.7 * torch.eye(operator.size, dtype=FLOAT))


def test_a_compiled_model_is_measured_as_the_network_inside():
    model, batch = built("mlp", training=True)
    v = torch.randn(HessianOperator(model, F.cross_entropy, batch).size, dtype=FLOAT)
    expected = HessianOperator(model, F.cross_entropy, batch) @ v

    class Compiled(nn.Module):
        """What torch.compile returns: the network under `_orig_mod`, behind a forward without double backward."""

        def __init__(self, model):
            super().__init__()
            self._orig_mod = model

    for wrapped in (Compiled(model), nn.DataParallel(Compiled(model))):
        torch.testing.assert_close(HessianOperator(wrapped, F.cross_entropy, batch) @ v, expected)


def test_works_inside_no_grad_and_without_curvature():
    model, batch = built("linear", training=True)
    with torch.no_grad():
        operator = HessianOperator(model, lambda z, y: z.sum(), batch)
        assert (operator @ torch.ones(operator.size, dtype=FLOAT) == 0).all()
        curved = HessianOperator(model, F.cross_entropy, batch)
        assert (curved @ torch.ones(curved.size, dtype=FLOAT)).abs().max() >= 0
    with torch.inference_mode():
        again = HessianOperator(model, F.cross_entropy, batch)
        torch.testing.assert_close(again.dense(), curved.dense())


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return 2 * ctx.saved_tensors[0] * gradient


class OnceLayer(nn.Module):
    def forward(self, x):
        return Once.apply(x)


class Fused(nn.Module):
    def forward(self, x):
        q = x[:, None]
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.FLASH_ATTENTION):
            return F.scaled_dot_product_attention(q, q, q)[:, 0]


def spoiled(model, value):
    with torch.no_grad():
        model[0].weight[0, 0] = value
    return model


def test_bad_input_is_one_clear_line():
    model, batch = built("mlp", training=True)
    inputs, targets = batch
    cases = [
        (lambda: HessianOperator(model, lambda z, y: torch.tensor(1.0), batch).dense(), "carries no gradient"),
        (lambda: HessianOperator(model, lambda z, y: z, batch).dense(), r"shape \(7, 3\), not a scalar"),
        (lambda: HessianOperator(model, lambda z, y: z.sum() * torch.inf, batch).dense(), "the loss is -?(inf|nan)"),
        (lambda: HessianOperator(model, F.cross_entropy, (inputs[:0], targets[:0])), "0 examples"),
        (lambda: HessianOperator(model, F.cross_entropy, (inputs, targets[:2])), "different lengths"),
        (lambda: HessianOperator(model, F.cross_entropy, inputs).dense(), "not a pair"),
        (lambda: HessianOperator(model, F.cross_entropy, "x"), "holds no tensor"),
        (lambda: HessianOperator(model, F.cross_entropy, batch, micro_batch=0), "micro_batch = 0"),
        (
            lambda: HessianOperator(model, F.cross_entropy, batch, micro_batch=2, reduction="max"),
            "choose one of mean, sum",
        ),
        (
            lambda: HessianOperator(model, F.cross_entropy, batch, parameters=["7.bias"]),
            "no trainable parameter '7.bias'",
        ),
        (lambda: HessianOperator(nn.Tanh(), F.cross_entropy, batch), "no trainable parameter"),
        (
            lambda: HessianOperator(spoiled(copy.deepcopy(model), torch.nan), F.cross_entropy, batch),
            "'0.weight' holds 1 NaN",
        ),
        (lambda: GaussNewtonOperator(model, ModelLoss(lambda m, b: m(b[0]).sum()), batch), "ModelLoss hides"),
        (
            lambda: HessianOperator(
                built("batch norm 2d", True)[0], F.cross_entropy, built("batch norm 2d", True)[1], micro_batch=2
            ),
            "module '1' \\(BatchNorm2d\\) uses batch statistics",
        ),
        (lambda: HessianOperator(model, F.cross_entropy, batch) @ torch.ones(2, dtype=FLOAT), "vectors of 57 numbers"),
        (lambda: HessianOperator(model, F.cross_entropy, batch) @ torch.ones(57), "torch.float64"),
        (lambda: PreconditionedOperator(DenseOperator(torch.eye(2)), torch.zeros(2)), "positive everywhere"),
        (lambda: DenseOperator(torch.tensor([[0.0, 1.0], [0.0, 0.0]])), "not symmetric"),
    ]
    for call, message in cases:
        with pytest.raises(LastbitError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (OnceLayer, (4, 5), r"module '1' \(OnceLayer\) cannot be differentiated twice .*once_differentiable"),
        (Fused, (4, 6, 5), r"module '1' \(Fused\) cannot be differentiated twice .*math kernel"),
    ],
)
def test_a_missing_double_backward_names_the_module_and_the_cure(layer, shape, message):
    model = nn.Sequential(nn.Linear(5, 5), layer(), nn.Linear(5, 3), nn.Flatten()).to(FLOAT)
    batch = (torch.randn(shape, dtype=FLOAT), torch.zeros(shape[0], dtype=torch.int64))
    operator = HessianOperator(model, F.cross_entropy, batch)
    with pytest.raises(LastbitError, match=message) as caught:
        operator @ torch.ones(operator.size, dtype=FLOAT)
    assert "\n" not in str(caught.value)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["batch norm 2d", "attention", "dropout"])
def test_on_a_gpu_products_are_those_of_the_cpu_and_leave_no_trace(name):
    model, batch = built(name, training=name != "dropout")
    v = torch.randn(HessianOperator(model, F.cross_entropy, batch).size, dtype=FLOAT)
    expected = HessianOperator(model, F.cross_entropy, batch) @ v
    moved, there = copy.deepcopy(model).cuda(), tuple(t.cuda() for t in batch)
    generator = torch.cuda.get_rng_state()
    product = HessianOperator(moved, F.cross_entropy, there) @ v.cuda()
    torch.testing.assert_close(product.cpu(), expected, rtol=1e-9, atol=1e-11)
    assert torch.equal(torch.cuda.get_rng_state(), generator)
    for key, value in moved.state_dict().items():
        assert torch.equal(value.cpu(), model.state_dict()[key])
