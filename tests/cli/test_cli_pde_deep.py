"""`lastbit pde stability deep` and `lastbit pde complexity`, against the closed form of linear one-channel networks."""

import io
import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lastbit import pde_complexity, pde_stability
from lastbit.cli.app import main
from lastbit.cli.output import write_json
from lastbit.cli.pde import progress_bar
from lastbit.core.errors import LastbitError
from lastbit.pde.cnn.images import make_image
from lastbit.pde.deep import initial_kernels
from lastbit.pde.deep.network import deep_problem

LINEAR = {"activation": "linear", "width": 1, "image_size": 6, "images": 2}


def flags(settings):
    return [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", value)]


def run(capsys, *words):
    code = main(["pde", *map(str, words)])
    said = capsys.readouterr()
    assert code == 0, said.err
    return said.out


def refused(capsys, *words):
    code = main(["pde", *map(str, words)])
    said = capsys.readouterr()
    assert code == 2
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err


def read(path):
    return json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} in the JSON"))


def closed_form(depth, kernel, seed=0):
    """Eigenvalues of the whole Hessian that are not 0, and the one of each layer's block, by hand.

    A linear network of one channel is `p = m·Πσ`, with m an image's mean and σ the sums of the kernels.
    """
    problem = deep_problem(depth=depth, kernel=kernel, **LINEAR)
    sigma = [float(part.sum()) for part in problem.split(initial_kernels(problem, seed=seed))]
    M = np.zeros((depth, depth))
    for i, label in enumerate((0.0, 1.0)):
        m = make_image("noise", size=6, channels=1, seed=i).mean().item()
        s = 1 / (1 + math.exp(-m * math.prod(sigma)))
        for a in range(depth):
            for b in range(depth):
                others = math.prod(x for c, x in enumerate(sigma) if c not in (a, b))
                both = (m * math.prod(sigma)) ** 2 / (sigma[a] * sigma[b])
                M[a, b] += (s * (1 - s) * both + (a != b) * (s - label) * m * others) / 2
    return kernel**2 * np.linalg.eigvalsh(M), kernel**2 * np.diag(M)


@pytest.mark.parametrize(
    ("scheme", "momentum", "limit"), [("euler", None, 2.0), ("heavy-ball", 0.5, 3.0), ("nesterov", 0.5, 1.5)]
)
def test_stability_of_a_deep_network_is_its_closed_form(capsys, tmp_path, scheme, momentum, limit):
    whole, blocks = closed_form(depth=2, kernel=3)
    decay = -float(whole[0]) + 0.1
    words = ["--depth", 2, "--kernel", 3, *flags(LINEAR), "--weight-decay", decay, "--dt", 0.5, "--scheme", scheme]
    words += [] if momentum is None else ["--momentum", momentum]
    said = run(capsys, "stability", "deep", *words, "--json", tmp_path / "a.json", "--plot", tmp_path / "a.png")
    found = read(tmp_path / "a.json")
    assert said.splitlines()[0] == found["verdict"]
    assert said.startswith("Yes: dt = 0.5 is stable at random weights (seed 0) for 2 layers, 18 weights, ")
    assert found["problem"] == "deep"
    assert found["sharpness"] == pytest.approx(whole[-1], rel=1e-6)
    assert found["alpha_min"] == pytest.approx(-whole[0], rel=1e-6)
    assert found["alpha_max"] == pytest.approx(limit / 0.5 - whole[-1], rel=1e-6)
    assert found["edge_lr"] == pytest.approx(limit / (whole[-1] + decay), rel=1e-6)
    assert [layer["sharpness"] for layer in found["layers"]] == pytest.approx(blocks, rel=1e-6)
    rows = [line.split() for line in said.splitlines() if line.split()[:1] in (["1"], ["2"], ["all"])]
    assert [row[0] for row in rows] == ["1", "2", "all"]
    assert [float(row[2]) for row in rows] == pytest.approx([*blocks, whole[-1]], rel=1e-4)
    assert [float(row[4]) for row in rows] == pytest.approx(limit / 0.5 - np.array([*blocks, whole[-1]]), rel=1e-4)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width > 400


def test_the_verdict_turns_at_the_edge_and_at_the_least_decay():
    whole, _ = closed_form(depth=2, kernel=3)
    decay = -float(whole[0]) + 0.1
    edge = 2 / (float(whole[-1]) + decay)
    verdicts = {
        (0.99 * edge, decay): "is stable",
        (1.01 * edge, decay): "is unstable",
        (1e-3 * edge, decay - 0.2): "is unstable",
    }
    for (dt, alpha), verdict in verdicts.items():
        assert verdict in pde_stability("deep", dt=dt, weight_decay=alpha, depth=2, **LINEAR).verdict
    said = pde_stability("deep", weight_decay=decay, depth=2, **LINEAR).verdict
    assert said.startswith("At random weights (seed 0): 2 layers")
    assert f"the edge is at lr = {edge:.6g}" in said


def test_descent_before_the_answer_and_a_network_of_one_weight(capsys):
    words = ["--image-size", 4, "--images", 2, "--width", 2, "--train-steps", 3, "--lr", 1e-3, "--quiet"]
    said = run(capsys, "stability", "deep", *words)
    assert "after 3 steps of descent from seed 0" in said
    assert said.count("\n") == 1
    one = pde_stability("deep", dt=0.1, depth=1, kernel=1, image="checkerboard", image_size=4, weight_decay=1.0)
    assert one.bounds.parameters == 1
    assert "for 1 layer, 1 weight, euler" in one.verdict
    assert one.bounds.converged


def test_complexity_is_the_closed_form_at_every_size_and_seed(capsys, tmp_path):
    kernels, decay = (1, 2, 4), 0.05
    words = ["--depths", "none", "--widths", "none", "--kernels", "1,2,4", "--depth", 2, "--seeds", 3]
    words += ["--weight-decay", decay, *flags(LINEAR)]
    said = run(capsys, "complexity", *words, "--json", tmp_path / "a.json", "--plot", tmp_path / "a.png")
    found = read(tmp_path / "a.json")
    assert said.splitlines()[0] == found["verdict"]
    assert said.startswith("Around depth 2, width 1, kernel 3, over 3 seeds: with kernel the stable learning rate ")
    (trend,) = found["trends"]
    ends = [[closed_form(2, kernel, seed)[0] for kernel in kernels] for seed in range(3)]
    edges = np.array([[2 / (whole[-1] + decay) for whole in row] for row in ends])
    assert np.array(trend["edge_lr"]) == pytest.approx(edges, rel=1e-4)
    # Kernels of more taps than one have directions along which nothing bends: eigenvalue 0.
    flat = [math.inf if kernel == 1 else 0.0 for kernel in kernels]
    lowest = np.array([[min(whole[0], zero) for whole, zero in zip(row, flat, strict=True)] for row in ends])
    assert np.array(trend["lowest"]) == pytest.approx(lowest, rel=1e-4, abs=1e-9)
    slopes = [np.polyfit(np.log(kernels), np.log(row), 1)[0] for row in edges]
    assert trend["exponent"] == pytest.approx(np.mean(slopes), rel=1e-4)
    rows = [line.split() for line in said.splitlines() if line.split()[-5:-4] in (["1"], ["2"], ["4"])]
    assert [float(row[-4]) for row in rows] == pytest.approx(np.median(edges, axis=0), rel=1e-3)
    assert [float(row[-3]) for row in rows] == pytest.approx(edges.min(axis=0), rel=1e-3)
    assert [float(row[-2]) for row in rows] == pytest.approx(edges.max(axis=0), rel=1e-3)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width > 200


def test_a_rate_without_bound_is_said_and_is_infinite_in_json(capsys, tmp_path):
    words = ["--depths", "1,2", "--widths", "none", "--kernels", "none", *flags(LINEAR), "--seeds", 2]
    target = tmp_path / "a.json"
    said = run(
        capsys, "complexity", *words, "--weight-decay", -50, "--json", target, "--plot", tmp_path / "a.svg", "--quiet"
    )
    assert "with depth no trend can be fitted" in said
    assert "nan" not in said
    assert said.count("\n") == 1
    (trend,) = read(target)["trends"]
    assert trend["exponent"] is None
    assert trend["edge_lr"] == [["inf", "inf"]] * 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["stability", "deep", "--dt", "nan"], "--dt must be a finite number, got nan"),
        (["stability", "deep", "--dx", "1"], "--dx says nothing about deep: leave it out"),
        (["stability", "deep", "--check"], "--check says nothing about deep"),
        (["stability", "cnn", "--dt", "1", "--depth", "2"], "--depth says nothing about cnn"),
        (["stability", "heat", "--width", "2"], "--width says nothing about heat"),
        (["stability", "deap", "--width", "2"], "unknown problem 'deap' (did you mean 'deep'?)"),
        (["stability", "deep", "--depth", "0"], "--depth must be at least 1, got 0"),
        (["stability", "deep", "--weight-decay", "inf"], "--weight-decay must be a finite number, got inf"),
        (["stability", "deep", "--activation", "relu"], "--activation must be 'swish' or 'linear', got 'relu'"),
        (
            ["stability", "deep", "--scheme", "adam"],
            "--scheme must be 'euler', 'heavy-ball' or 'nesterov', got 'adam'",
        ),
        (["stability", "deep", "--momentum", "0.9"], "Euler has no momentum"),
        (["stability", "deep", "--image", "checkerboard", "--images", "3"], "checkerboard is a single image"),
        (["stability", "deep", "--train-steps", "-1"], "--train-steps must be at least"),
        (["stability", "deep", "--json", "missing/a.json"], "does not exist"),
        (["complexity", "--depths", "1,two"], "--depths must be a whole number, got 'two'"),
        (["complexity", "--depths", "3"], "use --depth 3 to hold it there"),
        (["complexity", "--widths", "4,0"], "--widths 4,0: use sizes of 1 or more"),
        (["complexity", "--kernels", "3,3"], "--kernels 3,3: name each size once"),
        (["complexity", "--kernels", "3,40"], "no window may be larger than the image, 16 x 16"),
        (
            ["complexity", "--depths", "none", "--widths", "none", "--kernels", "none"],
            "are all none: give one of them two",
        ),
        (["complexity", "--seeds", "0"], "--seeds must be at least 1, got 0"),
        (["complexity", "--plot", "a.gif"], "unknown figure format 'gif'"),
        (["complexity", "--device", "gpu"], "unknown --device 'gpu': choose one of auto, cpu, cuda, cuda:N"),
        (["stability", "deep", "--device", "cuda:99"], "--device cuda"),
        (["stability", "heat", "--device", "cpu"], "--device says nothing about heat"),
    ],
)
def test_bad_words_are_refused_in_one_line(capsys, words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in refused(capsys, *words)
    assert not list(tmp_path.iterdir())


def test_studies_refuse_what_they_do_not_know():
    with pytest.raises(LastbitError, match="did you mean 'seeds'"):
        pde_complexity(seed=3)
    with pytest.raises(LastbitError, match=r"unknown setting 'kernal' \(did you mean 'kernel'\?\)"):
        pde_stability("deep", kernal=3)
    with pytest.raises(LastbitError, match="--check says nothing about deep"):
        pde_stability("deep", check=True)


def test_eigenvalues_that_did_not_converge_give_no_verdict():
    study = pde_stability("deep", dt=0.5, depth=2, weight_decay=5.0, **LINEAR)
    rough = replace(study.bounds.layers[1], converged=False)
    bounds = replace(study.bounds, converged=False, layers=(study.bounds.layers[0], rough))
    unsure = replace(study, bounds=bounds)
    assert "did not converge" in unsure.verdict
    assert "stable" not in unsure.verdict
    assert [row.cells[0] for row in unsure.table.rows] == ["1", "2 (not converged)", "all"]
    grown = pde_complexity(depths=(1, 2), widths=(), kernels=(), seeds=1, **LINEAR)
    (trend,) = grown.sweep.trends
    unsure_sweep = replace(grown, sweep=replace(grown.sweep, trends=(replace(trend, converged=False),)))
    assert unsure_sweep.verdict.endswith("; eigenvalues did not all converge over depth.")
    assert "converge" not in grown.verdict


def test_a_file_that_fills_up_is_said_with_its_flag():
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(LastbitError, match=r"cannot write /dev/full \(.+\): name another file with --json"):
        write_json(full, {"a": 1})


def test_the_bar_counts_on_a_terminal_alone(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    sizes = {"depths": (1, 2), "widths": (), "kernels": (), "seeds": 1}
    for screen, quiet, shown in ((Terminal(), False, True), (Terminal(), True, False), (io.StringIO(), False, False)):
        monkeypatch.setattr(sys, "stderr", screen)
        with progress_bar("networks", quiet) as progress:
            pde_complexity(**sizes, **LINEAR, progress=progress)
        assert ("networks" in screen.getvalue()) is shown
        assert ("2/2" in screen.getvalue()) is shown
