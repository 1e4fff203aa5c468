"""What trainers' callbacks do, driven by hand: no trainer's library is needed here."""

import sys
import warnings
from importlib import import_module

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import lastbit as lb
from lastbit.core.errors import LastbitError
from lastbit.integrations.trainers import Perturbing, Sketching, Watching
from lastbit.studies.trace.sketch_file import read_sketch_file


@pytest.mark.parametrize(
    ("name", "library", "line"),
    [
        ("lightning", "lightning", "needs Lightning: pip install 'lastbit[lightning]'"),
        ("huggingface", "transformers", "needs transformers and accelerate: pip install 'lastbit[transformers]'"),
        ("huggingface", "accelerate", "needs transformers and accelerate: pip install 'lastbit[transformers]'"),
    ],
)
def test_a_missing_extra_is_one_line(monkeypatch, name, library, line):
    module = f"lastbit.integrations.{name}"
    for one in [one for one in sys.modules if one == module or one.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, one)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(LastbitError) as refused:
        import_module(module)
    assert str(refused.value) == f"{module} {line}"
    assert isinstance(refused.value, ImportError)


@pytest.mark.parametrize(
    ("perturb", "index", "parameters", "line"),
    [
        ("rescle", None, {}, "unknown perturbation 'rescle' (did you mean 'rescale'?)"),
        ("identity", None, {}, "unknown perturbation 'identity'"),
        ("rescale", None, {"k": 6}, "k = 6: write an odd number"),
        ("rescale", None, {"seed": 1}, "seed"),
        ("rounding", None, {"seed": -1}, "seed = -1: write a whole number of at least 0"),
        ("rounding", -1, {}, "index = -1: write a whole number of at least 0"),
        ("rescale", 2, {"k": 5}, "k and index are given: index = 2 says which one, leave k out"),
        ("reorder", None, {}, "reorder needs the model and its batches"),
    ],
)
def test_a_perturbation_that_does_not_exist_is_refused(perturb, index, parameters, line):
    with pytest.raises(LastbitError) as refused:
        Perturbing(perturb, index, parameters)
    assert line in str(refused.value)


EXAMPLES = (torch.ones(4, 3), torch.ones(4, 2))


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"loss_fn": None}, "loss_fn is a NoneType: give a function loss_fn(outputs, targets)"),
        ({"probe_batch": ()}, "the batch holds no tensor"),
        ({"probe_batch": (torch.ones(0, 3), torch.ones(0, 2))}, "the batch holds 0 examples"),
        ({"prefix": 3}, "prefix = 3: write the beginning of the logged names"),
        ({"options": {"evry": 3}}, "unknown setting of the monitor 'evry' (did you mean 'every'?)"),
        ({"options": {"sinks": [print]}}, "unknown setting of the monitor 'sinks'"),
        ({"options": {"every": 0}}, "every = 0: give the number of steps between measurements"),
        ({"options": {"budget": 0}}, "budget = 0: give a share of training time"),
        ({"options": {"tol": 2}}, "tol = 2: give the relative residual wanted"),
        ({"options": {"growing": -1}}, "growing = -1: give how many growing directions"),
        ({"options": {"micro_batch": 0}}, "micro_batch = 0: give a positive number of examples"),
    ],
)
def test_a_watch_that_cannot_be_is_refused(given, line):
    usual = {"loss_fn": F.mse_loss, "probe_batch": EXAMPLES, "prefix": "", "options": {}}
    with pytest.raises(LastbitError) as refused:
        Watching(**(usual | given))
    assert line in str(refused.value)


@pytest.mark.parametrize(
    ("path", "every", "line"),
    [
        ("weights.txt", 1, "path = 'weights.txt': name a file that ends in .npz"),
        (3, 1, "path = '3': name a file that ends in .npz"),
        ("nowhere/weights.npz", 1, "there is no folder nowhere for weights.npz: make it first"),
        ("weights.npz", 0, "every = 0: write the number of steps between sketches, at least 1"),
        ("weights.npz", True, "every = True: write the number of steps"),
    ],
)
def test_a_file_that_cannot_be_is_refused(tmp_path, monkeypatch, path, every, line):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LastbitError) as refused:
        Sketching(path, every)
    assert line in str(refused.value)


def network():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
    return net, torch.optim.Adam(net.parameters(), lr=0.05)


def steps(net, optimizer, count, before=lambda: None, after=lambda: None):
    for _ in range(count):
        optimizer.zero_grad()
        F.mse_loss(net(EXAMPLES[0]), EXAMPLES[1]).backward()
        before()
        optimizer.step()
        after()


def bits(net):
    return torch.cat([weight.detach().reshape(-1) for weight in net.parameters()]).numpy().tobytes()


@pytest.mark.parametrize("by_hand", [False, True], ids=["hooked", "called"])
@pytest.mark.parametrize(("perturb", "parameters"), [("rescale", {"k": 3}), ("rounding", {"seed": 2})])
def test_perturbing_in_two_parts_is_perturbing_the_loop(perturb, parameters, by_hand):
    net, optimizer = network()
    plain = bits(net)
    lb.perturb_optimizer(optimizer, perturb, **parameters)
    steps(net, optimizer, 12)
    expected = bits(net)

    net, optimizer = network()
    assert bits(net) == plain
    perturbing = Perturbing(perturb, None, parameters)
    taken = []
    for count in (5, 7):
        perturbing.resume(taken)
        perturbing.begin([optimizer])
        if by_hand:
            perturbing.unhook()
            assert not optimizer._optimizer_step_post_hooks
            steps(net, optimizer, count, perturbing.before, perturbing.after)
        else:
            steps(net, optimizer, count)
        taken = perturbing.steps
        perturbing.end()
        assert not optimizer._optimizer_step_pre_hooks
        assert perturbing.steps == taken
        perturbing = Perturbing(perturb, None, parameters)
    assert taken == [12]
    assert bits(net) == expected


def test_other_optimizers_than_those_of_the_checkpoint_are_refused():
    _, optimizer = network()
    perturbing = Perturbing("auto", None, {})
    perturbing.resume([4, 4])
    with pytest.raises(LastbitError, match="perturbation of 2 optimizers, the training has 1"):
        perturbing.begin([optimizer])
    empty = torch.optim.SGD([nn.Parameter(torch.ones(2, dtype=torch.complex64))], lr=0.1)
    perturbing.resume([])
    with pytest.raises(LastbitError, match="cannot perturb complex"):
        perturbing.begin([optimizer, empty])
    assert not optimizer._optimizer_step_pre_hooks


def test_a_perturbation_that_fails_in_a_step_is_told_and_rests(monkeypatch):
    net, optimizer = network()
    steps(net, optimizer, 3)
    plain = bits(net)

    def wrong(*_):
        raise LastbitError("the direction leads elsewhere")

    monkeypatch.setattr("lastbit.perturb.update._check_directions", wrong)
    net, optimizer = network()
    perturbing = Perturbing("rescale", None, {"k": 3})
    perturbing.begin([optimizer])
    with pytest.warns(UserWarning, match="perturbation ends here, and the training goes on: the direction") as told:
        steps(net, optimizer, 3)
    assert len(told) == 1
    assert bits(net) == plain


def watching(**options):
    return Watching(F.mse_loss, EXAMPLES, "lastbit/", {"every": 3, "budget": None, **options})


def test_a_watch_has_news_once_and_goes_on_where_it_would_have_been():
    net, optimizer = network()
    watch = watching(per_layer=True)
    watch.begin(net, optimizer)
    news = []
    steps(net, optimizer, 4, after=lambda: (watch.step(), news.append(watch.news())))
    assert [bool(one) for one in news] == [False, False, True, False]
    record = watch.monitor.latest
    layers = {f"lastbit/ratio/{name}" for name in record.layers}
    assert news[2].keys() == {"lastbit/ratio", "lastbit/sharpness", "lastbit/limit"} | layers
    assert news[2]["lastbit/ratio"] == record.ratio == pytest.approx(record.sharpness / record.limit)

    later = watching()
    later.steps = watch.steps
    later.begin(net, optimizer)
    steps(net, optimizer, 5, after=later.step)
    assert [one.step for one in later.monitor.records] == [6, 9]
    assert later.steps == 9


def test_numbers_that_are_not_finite_are_left_out():
    net, optimizer = network()
    watch = watching(every=1)
    watch.begin(net, optimizer)
    optimizer.param_groups[0]["lr"] = 0.0  # as a warm-up begins
    steps(net, optimizer, 1, after=watch.step)
    assert watch.news().keys() == {"lastbit/ratio", "lastbit/sharpness"}


def test_a_training_that_is_short_is_measured_at_its_end():
    net, optimizer = network()
    watch = watching(every=100)
    watch.begin(net, optimizer)
    steps(net, optimizer, 2, after=watch.step)
    assert watch.news() == {}
    watch.end()
    assert watch.news()["lastbit/ratio"] > 0


@pytest.mark.parametrize(
    ("network_of", "told", "line"),
    [
        (lambda net: net, {"whole": False}, "the weights are spread over processes"),
        (lambda net: nn.Sequential(net, nn.SyncBatchNorm(2)), {"processes": 2}, "SyncBatchNorm waits for the other"),
    ],
)
def test_what_one_process_cannot_measure_is_told(network_of, told, line):
    net, optimizer = network()
    watch = watching()
    with pytest.warns(UserWarning, match=f"measuring stability ends here, and the training goes on: {line}"):
        watch.begin(network_of(net), optimizer, **told)
    steps(net, optimizer, 3, after=watch.step)
    assert watch.news() == {}


def test_sketches_that_cannot_be_kept_are_told_once_and_nothing_is_lost(tmp_path):
    net, optimizer = network()
    path = tmp_path / "weights.npz"
    keep = Sketching(path, 1)
    keep.begin(net, 0, resumed=False)
    steps(net, optimizer, 1)
    keep.take(net, 1, last=True)
    before = path.read_bytes()
    with pytest.raises(LastbitError, match="is there already: name another file, or delete it"):
        Sketching(path, 1).begin(net, 0, resumed=False)

    other = nn.Linear(3, 3)
    again = Sketching(path, 1)
    again.begin(other, 1, resumed=True)
    with pytest.warns(UserWarning, match="of a training with other weights: name another file") as told:
        again.take(other, 2)
    again.take(other, 3, last=True)
    again.save()
    assert len(told) == 1
    assert path.read_bytes() == before


def test_a_file_compares_as_a_run_does(tmp_path):
    kept = []
    for name, k in (("plain", 1), ("three", 3)):
        net, optimizer = network()
        keep = Sketching(tmp_path / f"{name}.npz", 4)
        keep.begin(net, 0, resumed=False)
        with lb.perturb_optimizer(optimizer, "rescale", k=k):
            for step in range(1, 11):
                steps(net, optimizer, 1)
                keep.take(net, step, last=step == 10)
        kept.append([weight.detach().double() for weight in net.parameters()])
    found = lb.compare_sketches(tmp_path / "plain.npz", tmp_path / "three.npz")
    assert found["step"].values.tolist() == [0, 4, 8, 10]
    assert found["tensor"].values.tolist() == ["0.weight", "0.bias", "2.weight", "2.bias"]
    exact = [float((one - other).norm()) for one, other in zip(*kept, strict=True)]
    assert found["distance"].values[-1] == pytest.approx(exact, rel=6 / np.sqrt(128))
    assert found["differs"].values[0].tolist() == [False] * 4
    for more in ({"first_run": "twin1"}, {"first_member": "lr=0.1"}):
        with pytest.raises(LastbitError, match=r"plain.npz is a file of one run: leave out"):
            lb.compare_sketches(tmp_path / "plain.npz", tmp_path / "three.npz", **more)


def test_steps_of_several_optimizers_skip_numbers(tmp_path):
    net, _ = network()
    keep = Sketching(tmp_path / "w.npz", 5)
    keep.begin(net, 0, resumed=False)
    for step in range(2, 21, 2):
        keep.take(net, step)
    keep.save()
    assert read_sketch_file(tmp_path / "w.npz")["step"].tolist() == [0, 6, 10, 16, 20]


def test_a_long_training_thins_out_and_a_resumed_one_keeps_the_same(tmp_path):
    net = nn.Linear(1, 1)
    for name, stops in (("whole", [700]), ("resumed", [130, 90, 700])):
        at = 0
        for stop in stops:
            keep = Sketching(tmp_path / f"{name}.npz", 1)
            at = min(at, stop)
            keep.begin(net, at, resumed=at > 0)
            for step in range(at + 1, stop + 1):
                keep.take(net, step)
            keep.save()
            at = stop
    whole, resumed = (read_sketch_file(tmp_path / f"{name}.npz") for name in ("whole", "resumed"))
    assert resumed["step"].tolist() == whole["step"].tolist()
    assert 64 < len(whole["step"]) < 500


@pytest.mark.parametrize("harm", ["missing", "another", "shape", "order"])
def test_a_file_that_is_no_such_file_is_refused(tmp_path, harm):
    net, _ = network()
    path = tmp_path / "w.npz"
    keep = Sketching(path, 1)
    keep.begin(net, 0, resumed=False)
    keep.take(net, 1, last=True)
    arrays = dict(np.load(path))
    if harm == "missing":
        path.write_bytes(b"not at all")
    elif harm == "another":
        np.savez(path, weights=np.ones(3))
    elif harm == "shape":
        np.savez(path, **arrays | {"fingerprints": arrays["fingerprints"][:, :2]})
    else:
        np.savez(path, **arrays | {"step": arrays["step"][::-1]})
    with pytest.raises(LastbitError, match=r"w\.npz (cannot be read|holds no sketches of a training)"):
        lb.compare_sketches(path, path)


def test_no_bit_of_the_training_changes(tmp_path):
    plain, optimizer = network()
    steps(plain, optimizer, 6)
    drawn = torch.get_rng_state()
    net, optimizer = network()
    watch, keep = watching(per_layer=True), Sketching(tmp_path / "w.npz", 1)
    watch.begin(net, optimizer)
    keep.begin(net, 0, resumed=False)
    steps(net, optimizer, 6, after=lambda: (watch.step(), keep.take(net, watch.steps)))
    assert bits(net) == bits(plain)
    assert torch.equal(torch.get_rng_state(), drawn)


def test_ctrl_c_is_no_failed_measurement():
    def interrupted(outputs, targets):
        raise KeyboardInterrupt

    net, optimizer = network()
    watch = Watching(interrupted, EXAMPLES, "", {})
    with warnings.catch_warnings(record=True) as told, pytest.raises(KeyboardInterrupt):
        watch.begin(net, optimizer)
    assert not told
