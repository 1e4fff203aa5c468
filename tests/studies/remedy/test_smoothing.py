"""ReLU modules become smooth in place, and what cannot be reached is named."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import lastbit as lb
from lastbit.core.errors import LastbitError
from lastbit.studies.remedy.smoothing import functional_relus

X = torch.linspace(-4, 8, 25, dtype=torch.float64)


@pytest.mark.parametrize(
    ("to", "formula"),
    [
        ("gelu", lambda x: 0.5 * x * (1 + torch.erf(x / 2**0.5))),
        ("silu", lambda x: x / (1 + torch.exp(-x))),
    ],
)
@pytest.mark.parametrize("old", [nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6()])
def test_the_new_activation_is_its_formula_and_leaves_its_input(old, to, formula):
    model = nn.Sequential(nn.Identity(), old)
    assert lb.remedies.smooth(model, to=to) == ["1"]
    inputs = X.clone()
    torch.testing.assert_close(model(inputs), formula(X), rtol=1e-12, atol=1e-12)
    assert torch.equal(inputs, X)


def network():
    torch.manual_seed(0)
    relu = nn.ReLU()
    block = nn.Sequential(nn.Linear(5, 5), nn.ReLU())
    return nn.ModuleDict(
        {
            "stem": nn.Sequential(nn.Linear(3, 5), relu, nn.LeakyReLU(), nn.Linear(5, 5), relu),
            "first": block,
            "again": block,
            "head": nn.ModuleList([nn.ReLU6(), nn.Linear(5, 2)]),
        }
    )


def test_a_shared_module_is_replaced_everywhere_by_one():
    model = network()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    drawn = torch.get_rng_state()
    assert lb.remedies.smooth(model) == ["stem.1", "stem.4", "first.1", "again.1", "head.0"]
    assert model["stem"][1] is model["stem"][4]
    assert model["first"] is model["again"]
    assert len({id(each) for each in model.modules() if isinstance(each, nn.GELU)}) == 3
    assert isinstance(model["stem"][2], nn.LeakyReLU)
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn)


def test_hooks_mode_and_handles_pass_over():
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    seen = []
    handles = [
        model[1].register_forward_hook(lambda module, inputs, output: seen.append(("after", type(module).__name__))),
        model[1].register_forward_pre_hook(lambda module, inputs, kwargs: seen.append("before"), with_kwargs=True),
        model[1].register_full_backward_hook(lambda *_: seen.append("backward")),
    ]
    model[1].eval()
    lb.remedies.smooth(model)
    assert not model[1].training
    assert model.training
    model(torch.ones(2, 3)).sum().backward()
    assert seen == ["before", ("after", "GELU"), "backward"]
    for handle in handles:
        handle.remove()
    model(torch.ones(2, 3)).sum().backward()
    assert len(seen) == 3


def test_a_transformer_computes_the_same_with_and_without_gradients():
    """Without gradients it takes one fused operation, which knows ReLU and GELU by a mark of its own."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, activation=nn.ReLU(), batch_first=True)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    for to in ("silu", "gelu"):
        tried = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
        assert lb.remedies.smooth(tried, to=to) == ["layers.0.activation", "layers.1.activation"]
        inputs = torch.randn(3, 4, 8)
        with torch.no_grad():
            fused = tried(inputs)
            assert (fused - model(inputs)).abs().max() > 1e-3
        torch.testing.assert_close(fused, tried(inputs).detach())


class Called(nn.Module):
    def __init__(self, function, child=None):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.child = child
        self.function = function

    def forward(self, x):
        return self.function(self.linear(x))


class ByName(nn.Module):
    def forward(self, x):
        return [F.relu(each) for each in x]


class ByMethod(nn.Module):
    def forward(self, x):
        return x.relu()


class ByChild(nn.Module):
    def __init__(self):
        super().__init__()
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(x)


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (ByName(), ["(root)"]),
        (nn.Sequential(nn.Identity(), ByMethod()), ["1"]),
        (Called(torch.relu, ByName()), ["(root)", "child"]),
        (Called(F.gelu), []),
        (ByChild(), []),
        (nn.Sequential(nn.Linear(2, 2), nn.ReLU()), []),
        (nn.TransformerEncoderLayer(8, 2, 16), ["(root)"]),
        (nn.TransformerEncoderLayer(8, 2, 16, activation=nn.ReLU()), []),
    ],
)
def test_functions_are_found_without_running_anything(model, names):
    assert functional_relus(model) == names


def test_where_both_are_the_modules_are_replaced_and_the_function_is_named():
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), Called(F.relu))
    with pytest.warns(UserWarning, match=r"2 seems to call it as a function.*write F\.silu\(x\) there"):
        assert lb.remedies.smooth(model, to="silu") == ["1"]


def test_wrappers_are_looked_through():
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    assert lb.remedies.smooth(nn.DataParallel(model)) == ["1"]
    assert isinstance(model[1], nn.GELU)


class Own(nn.ReLU):
    def forward(self, x):
        return x**2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lb.remedies.smooth(nn.Linear(2, 2)), "has no nn.ReLU or nn.ReLU6 module.*F.relu is out of reach"),
        (lambda: lb.remedies.smooth(nn.Sequential(Own(), nn.LeakyReLU())), "has no nn.ReLU or nn.ReLU6 module"),
        (lambda: lb.remedies.smooth(Called(F.relu)), r"\(root\) seems to call it as a function"),
        (lambda: lb.remedies.smooth(nn.ReLU()), r"is a ReLU itself: write GELU\(\) in its place"),
        (lambda: lb.remedies.smooth(network(), to="glu"), "unknown activation 'glu' .*choose one of gelu, silu"),
        (lambda: lb.remedies.smooth(network(), to=nn.GELU), "choose one of gelu, silu"),
        (lambda: lb.remedies.smooth("resnet"), "expected a torch.nn.Module, got str"),
    ],
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(LastbitError, match=message) as raised:
        call()
    assert "\n" not in str(raised.value)


kinds = st.sampled_from([nn.ReLU, nn.ReLU6, nn.Tanh, nn.LeakyReLU, nn.Identity])
trees = st.recursive(
    kinds.map(lambda kind: kind()),
    lambda children: st.lists(children, min_size=1, max_size=3).map(lambda parts: nn.Sequential(*parts)),
    max_leaves=8,
).filter(lambda tree: isinstance(tree, nn.Sequential))


@given(trees)
def test_all_that_has_a_kink_of_these_kinds_is_replaced_and_nothing_else(model):
    before = [(name, type(each)) for name, each in model.named_modules(remove_duplicate=False)]
    wanted = [name for name, kind in before if kind in (nn.ReLU, nn.ReLU6)]
    if wanted:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert lb.remedies.smooth(model) == wanted
    after = [(name, type(each)) for name, each in model.named_modules(remove_duplicate=False)]
    assert after == [(name, nn.GELU if name in wanted else kind) for name, kind in before]
    with pytest.raises(LastbitError, match="to replace: a function such as F"):
        lb.remedies.smooth(model)
