"""The built-in networks against their definitions and published sizes."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lastbit.core.errors import LastbitError
from lastbit.tasks.models import ACTIVATIONS, MODELS, NORMS, build_model
from lastbit.tasks.models.layers import Swish, kept_init, norm_layer
from lastbit.tasks.models.networks import ResidualBlock, resnet


def make(name="cnn", shape=(1, 8, 8), classes=10, width=4, norm="batch", activation="relu"):
    torch.manual_seed(0)
    return build_model(name, shape, classes, width=width, norm=norm, activation=activation)


def count(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "published"),
    # He et al. (2016), table 6: 0.27 and 0.85 million parameters.
    [("resnet20", 0.27e6), ("resnet56", 0.85e6)],
)
def test_resnets_have_the_published_size(name, published):
    assert count(make(name, (3, 32, 32), width=16)) == pytest.approx(published, rel=0.02)


def test_vgg11_has_the_convolutions_of_configuration_a():
    # Weights and biases of the eight convolutions of configuration A (Simonyan and Zisserman, 2015), 9,220,480 in all.
    convs = [m for m in make("vgg11", (3, 32, 32), width=64, norm="none").modules() if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in convs] == [64, 128, 256, 256, 512, 512, 512, 512]
    assert sum(count(m) for m in convs) == 9_220_480


@pytest.mark.parametrize(
    ("name", "layers"), [("resnet8", 8), ("resnet20", 20), ("resnet56", 56), ("vgg11", 9), ("cnn", 4), ("mlp", 3)]
)
def test_depth_counts_the_layers_with_weights(name, layers):
    model = make(name)
    assert sum(isinstance(m, (nn.Conv2d, nn.Linear)) for m in model.modules()) == layers


@given(
    name=st.sampled_from(["mlp", "cnn", "resnet8", "vgg11"]),
    channels=st.integers(1, 4),
    side=st.sampled_from([8, 16, 28]),
    classes=st.integers(2, 12),
    width=st.sampled_from([2, 3, 4, 6]),
    norm=st.sampled_from(NORMS),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
)
@settings(deadline=None, max_examples=20)
def test_any_channels_classes_and_choices_give_finite_outputs_and_gradients(
    name, channels, side, classes, width, norm, activation
):
    model = make(name, (channels, side, side), classes, width, norm, activation)
    outputs = model(torch.randn(3, channels, side, side))
    assert outputs.shape == (3, classes)
    outputs.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", MODELS)
def test_a_layer_has_a_bias_only_where_nothing_normalises_it(name, norm):
    *hidden, head = [m for m in make(name, norm=norm, width=8).modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert all((layer.bias is None) == (norm != "none") for layer in hidden)
    assert head.bias is not None


@pytest.mark.parametrize("beta", [0.5, 1.0, 4.0])
def test_swish_and_its_slope_follow_the_formula(beta):
    x = torch.linspace(-8, 8, 41, dtype=torch.float64, requires_grad=True)
    s = 1 / (1 + torch.exp(-beta * x))
    torch.testing.assert_close(Swish(beta)(x), x * s)
    (slope,) = torch.autograd.grad(Swish(beta)(x).sum(), x)
    torch.testing.assert_close(slope, s + beta * x * s * (1 - s))


@given(channels=st.integers(1, 70))
@settings(deadline=None, max_examples=70)
def test_groups_divide_the_channels_and_hold_four_or_more(channels):
    norm = norm_layer("group", channels)
    size = channels // norm.num_groups
    assert size * norm.num_groups == channels
    assert norm.num_groups <= 8
    assert size >= 4 or norm.num_groups == 1


def test_the_shortcut_of_a_wider_block_is_the_image_subsampled_with_zero_channels():
    block = ResidualBlock(2, 4, 2, "none", "relu")
    for p in block.parameters():
        nn.init.zeros_(p)
    x = torch.rand(1, 2, 4, 4)
    out = block(x)
    assert torch.equal(out[:, 1:3], x[:, :, ::2, ::2])
    assert not out[:, [0, 3]].any()


def test_the_small_cnn_is_three_convolutions_in_a_row():
    model = make("cnn", (1, 28, 28), width=4, norm="none").double()
    x = torch.randn(2, 1, 28, 28, dtype=torch.float64)
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    head = model[-1]
    y = x
    for conv, stride in zip(convs, (2, 2, 1), strict=True):
        y = F.relu(F.conv2d(y, conv.weight, conv.bias, stride, 1))
    torch.testing.assert_close(model(x), y.mean((2, 3)) @ head.weight.T + head.bias)
    assert [m.out_channels for m in convs] == [4, 8, 16]
    assert [m.stride[0] for m in make("cnn", (1, 8, 8)).modules() if isinstance(m, nn.Conv2d)] == [1, 2, 1]


def test_deterministic_algorithms_suffice():
    previous = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        for name in ("mlp", "cnn", "resnet8", "vgg11"):
            model, x = make(name, (3, 16, 16)), torch.randn(4, 3, 16, 16)
            twice = [torch.autograd.grad(model(x).square().sum(), list(model.parameters())) for _ in range(2)]
            assert all(torch.equal(a, b) for a, b in zip(*twice, strict=True))
    finally:
        torch.use_deterministic_algorithms(previous)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet8", "vgg11"])
def test_outputs_on_a_device_are_those_of_the_cpu(name):
    model, x = make(name, (3, 16, 16)).double(), torch.randn(4, 3, 16, 16, dtype=torch.float64)
    here = model(x)
    torch.testing.assert_close(model.cuda()(x.cuda()).cpu(), here)


def test_unknown_choices_are_refused():
    with pytest.raises(LastbitError, match="unknown model 'vgg'"):
        make("vgg")
    with pytest.raises(LastbitError, match="unknown norm 'layer'"):
        make(norm="layer")
    with pytest.raises(LastbitError, match="unknown activation 'maxout'"):
        make(activation="maxout")
    with pytest.raises(LastbitError, match=r"6n \+ 2 layers, got depth 18"):
        resnet((3, 32, 32), 10, depth=18, width=16, norm="batch", activation="relu")


def test_kept_weights_keep_the_size_of_signals_where_the_default_loses_it():
    # The mean square of tanh's fixed point at a gain of 5/3 is near a half; PyTorch's default loses a factor a layer.
    torch.manual_seed(0)
    x, sizes = torch.randn(256, 400), {}
    for name in ("default", "kept"):
        layers = [part for _ in range(8) for part in (nn.Linear(400, 400), nn.Tanh())]
        network = nn.Sequential(*layers) if name == "default" else kept_init(nn.Sequential(*layers), "tanh")
        with torch.no_grad():
            sizes[name] = float(network(x).square().mean())
    assert 0.3 < sizes["kept"] < 0.7
    assert sizes["default"] < 0.01
    assert not any(layer.bias.any() for layer in network if isinstance(layer, nn.Linear))
    with pytest.raises(LastbitError, match="activation"):
        kept_init(nn.Linear(2, 2), "swish")
