"""Programs put onto one another: silent where nothing differs; what was planted is read off where it was planted."""

import sys
from pathlib import Path

import numpy as np
import pytest

from lastbit.core.errors import LastbitError
from lastbit.launch.forced.run import Exchange, Follow, Side, run_against, run_forced, run_staircase
from lastbit.launch.forced.table import Role
from lastbit.launch.settings import Launch, LaunchSettings

PROGRAM = [sys.executable, str(Path(__file__).parents[1] / "programs" / "changed.py")]


def launch(folder, **settings):
    return Launch(settings=LaunchSettings(**{"threads": 1} | settings), folder=folder, timeout=300)


def forced(tmp_path, *planted, program=PROGRAM, env=(), **options):
    options = {"jitters": 0, "double": False, "control": False} | options
    sides = Side(program), Side([*program, *planted], dict(env))
    run = run_forced(*sides, launch(tmp_path), **options)
    assert not (tmp_path / "exchange").exists()
    return run


def column(table, role, name):
    (place,) = (place for place in table.of(role) if table.tensors[place].name == name)
    return place


def unequal(table):
    """What differs anywhere, by role and name."""
    found = np.flatnonzero((table.unequal > 0).any(axis=0))
    return {(str(table.tensors[place].role), table.tensors[place].name) for place in found}


def test_one_scaled_gradient_is_read_exactly_and_in_its_tensor_only(tmp_path):
    run = forced(tmp_path, "--scale", "1.0001", jitters=1, control=True)
    assert run.control.equal
    assert run.control.steps.tolist() == list(range(1, 13))
    table = run.candidate
    assert unequal(table) == {("gradient", "1.weight")}
    place = column(table, Role.GRADIENT, "1.weight")
    np.testing.assert_allclose(table.projection[:, place] / table.size[:, place] ** 2, 1e-4, rtol=1e-2)
    np.testing.assert_allclose(table.difference[:, place] / table.size[:, place], 1e-4, rtol=1e-2)
    (jitter,) = run.jitters
    moved = [jitter.difference[:, one] / jitter.size[:, one] for one in jitter.of(Role.GRADIENT)]
    assert 1e-9 < np.median(moved) < 1e-5
    assert set(jitter.of(Role.WEIGHT)) == set()


HARMLESS = {"control": [], "workers": ["--workers", "2"], "foreach": ["--foreach"]}

PLANTED = {
    "decayed": ["--decay-biases", "0.1"],
    "epsilon": ["--eps", "1e-6"],
    "dropout": ["--dropout", "0.101"],
    "momentum": ["--momentum", "0.101"],
    "average": ["--ema-misses", "5"],
    "swapped": ["--swap", "4"],
    "drawn": ["--extra-draw", "3"],
    "schedule": ["--late", "6"],
    "seed": ["--seed", "1"],
    "longer": ["--epochs", "4"],
    "shorter": ["--epochs", "2"],
}


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """One reference, and everything that is planted put onto it at once."""
    folder = tmp_path_factory.mktemp("planted")
    every = HARMLESS | PLANTED
    follows = [Follow(name, Side([*PROGRAM, *words]), light=False) for name, words in every.items()]
    with Exchange(folder, every=1, objects=(), keeps=False) as exchange:
        ran = exchange.run(Side(PROGRAM), follows, launch(folder))
    assert all(not run.troubles for run in ran.became.values())
    return ran.tables


def whats(table):
    return {one.what for one in table.mismatches}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["control", "foreach"])
def test_the_same_program_is_equal_bit_for_bit(tables, name):
    table = tables[name]
    assert table.equal
    assert {table.tensors[place].name for place in table.of(Role.COPY)} > {"copy 1: 1.weight", "copy 1: 2.running_var"}
    assert len(table.of(Role.BUFFER)) == 2
    assert len(table.of(Role.STATE)) == 2 * len(table.of(Role.WEIGHT)) == 16
    compared = table.unequal >= 0
    assert compared[:, table.of(Role.LOSS)].all()
    assert compared.all()


@pytest.mark.slow
def test_what_augmentation_draws_in_other_processes_is_named(tables):
    assert "batch" in whats(tables["workers"])
    assert tables["workers"].mismatches[0].step == 1


@pytest.mark.slow
def test_weight_decay_on_biases_is_seen_in_biases_only(tables):
    table = tables["decayed"]
    assert {name.rpartition(".")[2] for role, name in unequal(table) if role == "weight"} == {"bias"}
    assert {role for role, _ in unequal(table)} == {"weight", "state"}
    assert all(one.name.startswith("weight_decay of ") and "weight," not in one.name for one in table.mismatches)
    assert {(one.reference, one.candidate) for one in table.mismatches} == {("0.0", "0.1")}


@pytest.mark.slow
def test_another_epsilon_moves_weights_alone(tables):
    table = tables["epsilon"]
    assert {role for role, _ in unequal(table)} == {"weight"}
    assert np.nanmax(table.worst) > 1
    assert {one.name for one in table.mismatches} == {"eps"}


@pytest.mark.slow
def test_a_learning_rate_that_is_late_is_a_hyper_parameter_and_a_bias(tables):
    table = tables["schedule"]
    place = column(table, Role.WEIGHT, "6.weight")
    assert not (table.unequal[:6] > 0).any()
    np.testing.assert_allclose(table.bias[6:, place], 1 / 0.9 - 1, rtol=1e-4)
    assert {(one.what, one.name) for one in table.mismatches} == {("hyper-parameter", "lr")}
    assert min(one.step for one in table.mismatches) == 7


@pytest.mark.slow
def test_a_buffer_and_a_copy_are_found_in_themselves_only(tables):
    assert {role for role, _ in unequal(tables["momentum"])} == {"buffer"}
    table = tables["average"]
    assert {role for role, _ in unequal(table)} == {"copy"}
    assert table.steps[(table.unequal > 0).any(axis=1)].tolist() == [5]
    place = column(table, Role.COPY, "copy 1: 6.weight")
    np.testing.assert_allclose(table.difference[4, place], table.change[4, place], rtol=1e-6)
    np.testing.assert_allclose(table.bias[4, place], -1, rtol=1e-6)


@pytest.mark.slow
def test_other_data_other_draws_and_other_masks_are_told_at_their_step(tables):
    swapped = tables["swapped"]
    assert swapped.steps[(swapped.unequal > 0).any(axis=1)].tolist() == [4]
    assert not whats(swapped)  # what the loader gave was the same
    drawn = tables["drawn"]
    assert [(one.step, one.what, one.name) for one in drawn.mismatches] == [(3, "generator", "torch")]
    assert drawn.steps[(drawn.unequal > 0).any(axis=1)].tolist() == [3]
    dropout = tables["dropout"]
    assert (dropout.unequal[:, column(dropout, Role.GRADIENT, "6.weight")] > 0).all()


@pytest.mark.slow
def test_other_initial_weights_are_named_and_put_back(tables):
    table = tables["seed"]
    initial = {one.name for one in table.mismatches if one.what == "initial weights"}
    assert {"0.weight", "1.weight", "6.weight", "6.bias", "copy 1: 6.bias"} <= initial
    assert {one.step for one in table.mismatches if one.what == "initial weights"} == {0}
    assert not (table.unequal > 0).any()


@pytest.mark.slow
def test_a_program_that_ends_early_or_goes_on_is_told_from_its_last_step_on(tables):
    longer, shorter = tables["longer"], tables["shorter"]
    assert [(one.step, one.what) for one in longer.mismatches] == [(13, "length")]
    assert longer.mismatches[0].candidate == "went on"
    assert [(one.step, one.what) for one in shorter.mismatches] == [(9, "length")]
    assert shorter.mismatches[0].candidate == "ended at step 8"


@pytest.mark.slow
def test_a_record_stands_for_its_reference(tmp_path):
    file = tmp_path / "reference.zip"
    live = forced(tmp_path / "live", "--scale", "1.001", jitters=1, double=True, control=True, record=file)
    later = run_against(file, Side([*PROGRAM, "--scale", "1.001"]), launch(tmp_path / "later"))
    for name in ("difference", "unequal", "size", "worst"):
        mine, then = getattr(live.candidate, name), getattr(later.candidate, name)
        np.testing.assert_array_equal(mine, then)
    (mine,), (then,) = live.jitters, later.jitters
    np.testing.assert_array_equal(mine.difference, then.difference)
    assert later.control.equal
    np.testing.assert_array_equal(later.double.difference, live.double.difference)
    assert run_against(file, Side(PROGRAM), launch(tmp_path / "again")).candidate.equal
    with pytest.raises(LastbitError, match=r"other tensors.*0\.weight is 6 x 1 x 3 x 3 in the reference"):
        run_against(file, Side([*PROGRAM, "--width", "5"]), launch(tmp_path / "other"))
    file.write_bytes(b"nothing")
    with pytest.raises(LastbitError, match="is no record of a reference"):
        run_against(file, Side(PROGRAM), launch(tmp_path / "broken"))


@pytest.mark.slow
def test_only_some_steps_are_compared(tmp_path):
    table = forced(tmp_path / "live", "--scale", "1.001", every=4).candidate
    assert table.steps[(table.unequal[:, table.of(Role.WEIGHT)] == 0).all(axis=1)].tolist() == [1, 5, 9]
    assert table.steps[(table.unequal[:, table.of(Role.COPY)] == 0).all(axis=1)].tolist() == [4, 8]
    assert unequal(table) == {("gradient", "1.weight")}


@pytest.mark.slow
def test_gradients_move_by_much_more_than_a_bit_on_the_staircase(tmp_path):
    first, second = run_staircase(Side(PROGRAM), Side([*PROGRAM, "--scale", "2"]), launch(tmp_path))
    for table in (first, second):
        moved = np.nanmedian(table.difference[:, column(table, Role.GRADIENT, "6.weight")])
        assert 1e-7 < moved / np.nanmedian(table.size[:, column(table, Role.GRADIENT, "6.weight")]) < 1e-3


PROGRAMS = Path(__file__).parents[1] / "programs"

STAND_INS = {
    "two optimizers": (["gan.py"], 20),
    "closure": (["closure.py"], 6),
    "gradient scaler": (["scaled.py"], 2),
    "sparse and complex": (["unperturbable.py"], 36),
    "own optimizer, average": (["own_optimizer.py"], 60),
    "optimizer in backward": (["in_backward.py"], 240),
    "compiled": (["compiled.py"], 5),
    "forked child": (["forks.py"], 12),
    "spawned trainers": (["hogwild.py", "spawn"], 5),
    "two ranks": (["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "ranks.py"], 6),
}


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize(("words", "steps"), STAND_INS.values(), ids=STAND_INS)
def test_a_program_is_equal_to_itself_and_moves_with_its_weights(words, steps, tmp_path):
    side = Side([sys.executable, *(str(PROGRAMS / word) if word.endswith(".py") else word for word in words)])
    follows = [Follow("control", side, light=False), Follow("jitter-1", side, jitter=(None, 0))]
    with Exchange(tmp_path, every=1, objects=(), keeps=False) as exchange:
        ran = exchange.run(side, follows, launch(tmp_path))
    assert ran.tables["control"].equal
    assert ran.tables["control"].steps.tolist() == list(range(1, steps + 1))
    assert {run.exit_code for run in ran.became.values()} == {0}
    assert all(not run.troubles for run in ran.became.values())
    if words != ["scaled.py"]:  # half precision hides a bit
        assert (ran.tables["jitter-1"].unequal > 0).any()


NAMED = """
import sys, torch
def main(misses):
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 3)
    average = {name: param.detach().clone() for name, param in model.named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for step in range(1, 6):
        optimizer.zero_grad()
        model(torch.randn(5, 4)).square().mean().backward()
        optimizer.step()
        if step != misses:
            for name, param in model.named_parameters():
                average[name] = 0.9 * average[name] + 0.1 * param.detach()
main(int(sys.argv[1]))
"""


def test_a_named_object_is_compared_after_each_step(tmp_path):
    (tmp_path / "train.py").write_text(NAMED)
    words = [sys.executable, str(tmp_path / "train.py")]
    follows = [Follow(str(step), Side([*words, str(step)]), light=False) for step in (0, 3, 5)]
    with Exchange(tmp_path, every=1, objects=["train.py:average,other"], keeps=False) as exchange:
        tables = exchange.run(Side([*words, "0"]), follows, launch(tmp_path)).tables
    assert tables["0"].equal
    for step in (3, 5):
        table = tables[str(step)]
        assert unequal(table) == {("copy", "average.weight"), ("copy", "average.bias")}
        assert table.steps[(table.unequal > 0).any(axis=1)].tolist() == [step]
        assert (table.facts["objects"], table.facts["objects not found"]) == (["average"], ["other"])


BAD = """
import os, sys, time, torch
torch.manual_seed(0)
model = torch.nn.Linear(2, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(6):
    if step == 3:
        exec(sys.argv[1])
    if sys.argv[1] != "pass; pass":
        model(torch.ones(3, 2)).sum().backward()
        optimizer.step()
        model.weight.grad.norm()  # steps that are not made leave it there too
"""

ENDS = {
    "killed": ("os.kill(os.getpid(), 9)", r"failed by itself \(signal 9\)"),
    "raised": ("raise ValueError('planted')", r"failed by itself \(exit code 1\): ValueError: planted"),
    "no step": ("pass; pass", "made no optimizer step"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("planted", "said"), ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("first", [False, True])
def test_a_program_that_fails_is_named_in_one_line(planted, said, first, tmp_path):
    (tmp_path / "bad.py").write_text(BAD)
    words = [sys.executable, str(tmp_path / "bad.py")]
    sides = [Side([*words, "pass"]), Side([*words, planted])]
    others = int("kill" in planted)  # of whom there may be more than the one that waits
    with pytest.raises(LastbitError, match=said):
        run_forced(*(sides[::-1] if first else sides), launch(tmp_path), jitters=others, double=False, control=False)
    assert not (tmp_path / "exchange").exists()


@pytest.mark.slow
@pytest.mark.thorough
def test_a_program_that_hangs_leaves_what_it_had(tmp_path):
    (tmp_path / "bad.py").write_text(BAD)
    words = [sys.executable, str(tmp_path / "bad.py")]
    settings = Launch(settings=LaunchSettings(threads=1), folder=tmp_path, timeout=60)
    sides = Side([*words, "pass"]), Side([*words, "time.sleep(1000)"])
    run = run_forced(*sides, settings, jitters=0, double=False, control=False)
    assert run.timed_out
    assert run.candidate.steps.tolist() == [1, 2, 3]
    assert not (run.candidate.unequal > 0).any()


@pytest.mark.slow
def test_a_run_that_fails_where_weights_are_moved_is_no_measure_of_rounding(tmp_path):
    text = BAD.replace("optimizer =", "torch.nn.init.ones_(model.weight); torch.nn.init.ones_(model.bias)\noptimizer =")
    (tmp_path / "bad.py").write_text(text.replace("lr=0.1", "lr=0.25"))
    side = Side([sys.executable, str(tmp_path / "bad.py"), "assert model.weight.frac().mul(4).frac().sum() == 0"])
    with pytest.raises(LastbitError, match=r"fails where its weights are moved by a bit \(exit code 1\)"):
        run_forced(side, side, launch(tmp_path), jitters=1, double=False, control=False)
