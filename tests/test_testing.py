"""The assertions of `lastbit.testing`: what passes, what fails with which words, and what is refused."""

import inspect
import itertools
import sys
import tempfile
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr
from torch.nn.utils import parameters_to_vector

import lastbit as lb
from lastbit.core.errors import LastbitError
from lastbit.studies.trace.final_growth import largest_growth
from lastbit.testing import InThisProcess, assert_last_bit_stable, assert_reproducible


def data():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(16, 6, generator=generator), torch.randn(16, 4, generator=generator)


def steps(model, lr=0.1, number=5):
    inputs, targets = data()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for step in range(number):
        optimizer.zero_grad()
        yield step, inputs, lambda outputs: (outputs - targets).square().mean().backward()
        optimizer.step()


def train(seed):
    model = torch.nn.Linear(6, 4)
    for _, inputs, learn in steps(model):
        learn(model(inputs).tanh())
    return model.weight.sum().item()


def draws(seed):
    model, unseeded = torch.nn.Linear(6, 4), torch.Generator()
    unseeded.seed()
    for step, inputs, learn in steps(model):
        noise = torch.randn(16, 6, generator=unseeded) if step == 2 else 0  # the planted line
        learn(model(inputs + noise))


def explode(seed, lr=3.0):
    """Every step multiplies the weights by about -2."""
    weight = torch.nn.Parameter(torch.rand(50) + 0.5)
    optimizer = torch.optim.SGD([weight], lr=lr)
    for _ in range(20):
        optimizer.zero_grad()
        (weight.square().sum() / 2).backward()
        optimizer.step()


def overflows(seed):
    explode(seed, lr=1e30)


def nothing(seed):
    return 1.0


def line_of(function, mark):
    lines, first = inspect.getsourcelines(function)
    return first + next(place for place, line in enumerate(lines) if mark in line)


def one_line(text):
    return "\n" not in text and text.strip() == text


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_training_that_repeats_passes_and_says_what_was_compared(temporary):
    found = assert_reproducible(train, in_process=True)
    # Weights and gradients of float32, after every step.
    assert (found.steps, found.tensors, found.bytes) == (5, 2, 5 * 2 * 4 * (24 + 4))
    assert found.in_this_process
    assert found.settings["deterministic"] == "True"
    assert not list(temporary.glob("lastbit-*"))


def test_the_message_is_the_doctors(monkeypatch):
    monkeypatch.chdir(Path(__file__).parent)
    with pytest.raises(AssertionError, match=r"draws is not reproducible: .* differ \(in this process\)") as caught:
        assert_reproducible(draws, in_process=True)
    told = dict(line.split(": ", 1) for line in str(caught.value).splitlines()[1:])
    short = Path(__file__).name
    assert list(told) == ["Step", "Tensor", "Where it arose", "Line", "Likely cause", "Its line", "Cure"]
    assert told["Step"].startswith("step 3,")
    assert told["Tensor"] == "gradient of weight"
    assert "aten.randn.generator" in told["Where it arose"]
    assert told["Line"].startswith(f"{short}:{line_of(draws, 'planted')}, in draws: noise")
    assert told["Its line"].startswith(f"{short}:{line_of(draws, 'unseeded.seed()')}, in draws")
    assert "manual_seed" in told["Cure"]


def test_what_is_returned_is_compared_without_addresses():
    count = itertools.count()

    def counts(seed):
        train(seed)
        return next(count)

    with pytest.raises(AssertionError, match=r"train the same weights, .* but return 0 and 1"):
        assert_reproducible(counts, in_process=True)

    def model(seed):
        train(seed)
        return object()

    assert assert_reproducible(model, in_process=True).steps == 5


def test_a_training_that_goes_on_longer_the_second_time_fails():
    count = itertools.count(3)

    def longer(seed):
        model = torch.nn.Linear(6, 4)
        for _, inputs, learn in steps(model, number=next(count)):
            learn(model(inputs))

    with pytest.raises(AssertionError, match="longer is not reproducible"):
        assert_reproducible(longer, in_process=True)


def test_a_task_of_lastbits_runs_in_this_process_too():
    found = assert_reproducible("digits", in_process=True, epochs=1, train_size=128)
    assert found.steps == 4


def test_what_cannot_travel_runs_in_this_process_and_says_so():
    with pytest.warns(InThisProcess, match=r"function cannot travel .*at the top of a module, or say in_process=True"):
        found = assert_reproducible(lambda seed: train(seed))
    assert found.in_this_process


def test_a_module_that_no_search_finds_cannot_travel(monkeypatch):
    module = ModuleType("of_no_path")
    exec(compile(inspect.getsource(nothing), "of_no_path.py", "exec"), vars(module))
    monkeypatch.setitem(sys.modules, "of_no_path", module)
    with pytest.warns(InThisProcess, match="its module of_no_path"), pytest.raises(LastbitError, match="no optimizer"):
        assert_reproducible(module.nothing)


@pytest.mark.parametrize("asserts", [assert_reproducible, assert_last_bit_stable])
@pytest.mark.parametrize(
    ("fn", "said"),
    [
        (3, r"takes a function train\(seed\), a Task, .* got 3"),
        (None, "got None"),
        ([], r"a command is a list of words, such as \['python', 'train.py'\]"),
        (["python", 3], "a command is a list of words"),
        ("python train.py", r"write \['python', 'train.py'\]"),
        (lambda: None, "a function of a seed alone"),
        ("digitz", "did you mean 'digits'"),
    ],
)
def test_what_trains_nothing_is_refused_in_one_line(asserts, fn, said):
    with pytest.raises(LastbitError, match=said) as caught:
        asserts(fn)
    assert one_line(str(caught.value))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: assert_reproducible(nothing, in_process=True), "nothing made no optimizer step"),
        (lambda: assert_last_bit_stable(nothing), "nothing made no optimizer step"),
        (lambda: assert_reproducible(["python", "x.py"], in_process=True), "leave it out"),
        (lambda: assert_reproducible(train, in_process=True, timeout=3), "leave timeout out"),
        (lambda: assert_reproducible(train, in_process=True, runs=3), "leave runs out"),
        (lambda: assert_reproducible(train, in_process=True, epochs=3), "set it in your function"),
        *[
            (lambda bound=bound: assert_last_bit_stable(train, bound), "write a factor above 0, such as 1e3")
            for bound in (0, -1.0, float("nan"), float("inf"), True, "9")
        ],
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(call, said, temporary):
    with pytest.raises(LastbitError, match=said) as caught:
        call()
    assert one_line(str(caught.value))


def test_an_error_of_the_training_is_its_own():
    def fails(seed):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        assert_reproducible(fails, in_process=True)
    with pytest.raises(LastbitError, match=r"fails.*mine"):
        assert_last_bit_stable(fails)


def test_the_growth_is_that_of_the_weights(temporary):
    """The runs are made once more by hand, and the distances taken of the weights themselves."""

    kept = []

    def seeded(seed):
        torch.manual_seed(seed)
        model = torch.nn.Linear(6, 4)
        for _, inputs, learn in steps(model):
            kept.append(parameters_to_vector(model.parameters()).detach().double())
            learn(model(inputs).tanh())
        kept.append(parameters_to_vector(model.parameters()).detach().double())

    def run(k):
        kept.clear()
        with lb.perturbed("rescale", k=k):
            seeded(0)
        return torch.stack(kept)[1:]

    found = assert_last_bit_stable(seeded, twins=2, perturb="rescale")
    twin = int(found.twin.removeprefix("twin"))
    growths = []
    for k in (3, 5):
        distances = (run(k) - run(1)).norm(dim=1)
        growths.append(float(distances[-1] / distances[0]))
    assert found.low < growths[twin - 1] < found.high
    assert (found.first_step, found.last_step, found.passed_step) == (1, 5, None)
    assert found.low == pytest.approx(found.factor * 0.8527832 / 1.2091277, rel=1e-5)
    assert not list(temporary.glob("lastbit-*"))


def test_too_much_growth_says_how_much_where_and_when(temporary):
    with pytest.raises(AssertionError, match="explode: a difference in the last bit grew by a factor of") as caught:
        assert_last_bit_stable(explode, 100)
    lines = str(caught.value).splitlines()
    told = dict(line.split(": ", 1) for line in lines[1:])
    assert "more than growth_at_most = 100" in lines[0]
    assert "with 95% certainty" in lines[0]
    assert told["Where"].endswith("holds 100% of the final difference")
    # A factor of two a step, from a first distance to which each step adds another rounding.
    assert told["When"] in [f"above 100 from step {step} of 20 on" for step in (6, 7, 8)]
    assert lb.open_study(told["All of it"].removeprefix("lastbit report ")).result.kind == "trace"
    assert assert_last_bit_stable(explode, 1e9).factor > 2**17


def test_a_training_that_diverges_grows_without_bound():
    with pytest.raises(AssertionError, match=r"grew without bound .* the weights are not finite"):
        assert_last_bit_stable(overflows, 1e30)


def test_of_what_does_not_repeat_no_growth_is_named():
    with pytest.raises(AssertionError, match="draws: not reproducible") as caught:
        assert_last_bit_stable(draws, 1e-9)
    assert "factor" not in str(caught.value)
    assert "assert_reproducible says why" in str(caught.value)


def test_where_no_perturbation_lands_no_growth_is_named():
    def still(seed):
        model = torch.nn.Linear(6, 4)
        for _, inputs, learn in steps(model, lr=0.0):
            learn(model(inputs))

    with pytest.raises(AssertionError, match="the perturbation changed no weight in any twin") as caught:
        assert_last_bit_stable(still, 1e-9)
    assert "factor" not in str(caught.value)


def test_a_task_has_exact_distances(tmp_path):
    found = assert_last_bit_stable("digits", twins=2, epochs=1, train_size=128, out=tmp_path / "kept")
    arrays = lb.open_study(tmp_path / "kept").to_xarray()["all_l2"].values[1:]
    assert found.factor == pytest.approx((arrays[:, -1] / arrays[:, 1]).max(), rel=1e-12)
    assert found.low == found.factor == found.high


class Traced:
    """A trace of one optimizer, of which the distances are known."""

    def __init__(self, all_l2, interval=None):
        self.result = SimpleNamespace(members=[SimpleNamespace(name="one")])
        self.data = xr.Dataset(
            {
                "all_l2": (("twin", "step"), np.array(all_l2)),
                "l2": (("twin", "step", "tensor"), np.stack([0.6 * np.array(all_l2), 0.8 * np.array(all_l2)], axis=-1)),
            },
            {"twin": ["repeat", "twin1", "twin2"], "step": [0, 1, 2, 4], "tensor": ["a", "b"]},
            {} if interval is None else {"distance_interval": interval},
        )

    def to_xarray(self, member):
        return self.data


def test_the_largest_growth_begins_where_a_twin_first_differs():
    trace = Traced([[0, 0, 0, 0], [0, 1, 2, 3], [0, 0, 2, 8]], (0.5, 2.0))
    found = largest_growth(trace, 3.0)
    assert (found.twin, found.factor, found.first_step, found.last_step, found.passed_step) == ("twin2", 4.0, 2, 4, 4)
    assert (found.low, found.high) == (1.0, 16.0)
    assert (found.tensor, found.tensor_share) == ("b", pytest.approx(0.64))


def test_without_a_difference_there_is_no_growth():
    assert largest_growth(Traced([[0, 0, 0, 0]] * 3), 3.0) is None


@pytest.mark.slow
def test_a_command_is_run_in_processes_of_its_own(temporary, monkeypatch):
    monkeypatch.chdir(temporary)
    body = inspect.getsource(data) + inspect.getsource(steps) + inspect.getsource(draws)
    (temporary / "train.py").write_text(f"import torch\n{body}torch.manual_seed(0)\ndraws(0)\n")
    with pytest.raises(AssertionError, match=r"train is not reproducible: .*\(run at once\)\.\nStep: step 3") as caught:
        assert_reproducible([sys.executable, "train.py"])
    lines = str(caught.value).splitlines()
    assert "train.py" in next(line for line in lines if line.startswith("Line: "))
    folder = lines[-1].removeprefix("All of it: lastbit report ")
    assert lb.open_study(folder).result.finding.step == 3
    (temporary / "train.py").write_text(f"import torch\n{body}".replace("unseeded.seed()", "") + "draws(0)\n")
    with pytest.raises(AssertionError, match=r"train is not reproducible: .*\nStep: step 1"):
        assert_reproducible([sys.executable, "train.py"])
    (temporary / "train.py").write_text(
        f"import torch\n{body}torch.manual_seed(0)\ndraws(0)\n".replace("unseeded.seed()", "")
    )
    found = assert_reproducible([sys.executable, "train.py"])
    assert (found.steps, found.in_this_process) == (5, False)
    grown = assert_last_bit_stable([sys.executable, "train.py"], twins=1)
    assert grown.low < grown.factor < grown.high
