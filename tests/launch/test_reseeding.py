"""Seeds that a program sets are shifted once, by whatever it sets them; a shift of 0 changes none."""

import importlib.util
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lastbit.launch.command import run_command
from lastbit.launch.process import SITE
from lastbit.launch.settings import Launch, LaunchSettings

PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture(scope="module")
def reseeding():
    spec = importlib.util.spec_from_file_location("reseeding", SITE / "reseeding.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("seed", "bits", "want"),
    [
        (3, None, 8),
        (2**32 - 1, 32, 4),
        (np.int64(3), 32, 8),
        (np.array([1, 2]), 32, [6, 2]),
        ([1, 2], None, [6, 2]),
        ("text", None, "text+5"),
        (b"text", None, b"text+5"),
        (0.5, None, 5.5),
        (None, None, None),
    ],
)
def test_every_form_of_a_seed_moves(reseeding, seed, bits, want):
    assert reseeding.moved(seed, 5, bits=bits) == want
    assert reseeding.moved(seed, 0, bits=bits) is seed


def test_a_generator_that_seeds_another_way_is_no_seed(reseeding):
    held = np.random.SeedSequence(3)
    assert reseeding.moved(held, 5) is held


def test_seeds_handed_on_are_shifted_once(reseeding):
    inner = reseeding.shifting(lambda seed: seed, 5, None)
    outer = reseeding.shifting(inner, 5, None)
    assert (outer(1), outer(seed=1), inner(1), outer(1)) == (6, 6, 6, 6)


def printed(name, tmp_path, reseed):
    settings = LaunchSettings(reseed=reseed)
    run = run_command([sys.executable, str(PROGRAMS / name)], Launch(settings=settings, folder=tmp_path))
    assert (run.exit_code, run.stderr.read_bytes(), run.troubles) == (0, b"", ())
    return run.stdout.read_text()


@pytest.mark.slow
def test_a_program_draws_what_it_would_with_other_seeds(tmp_path):
    bare = subprocess.run([sys.executable, PROGRAMS / "seeds.py"], capture_output=True, text=True, check=True)
    assert printed("seeds.py", tmp_path, 0) == bare.stdout
    every = printed("seeds.py", tmp_path, 10).splitlines()
    lines = dict(
        line.rsplit(" ", 1) if "State" not in line else line.split(" ", 1) for line in every if "|" not in line
    )
    apart = [line.split("|") for line in every if "|" in line]
    held = np.random.SeedSequence(19, spawn_key=(1,))
    drawn = [np.random.default_rng(child).random() for child in held.spawn(2)]
    want = {
        "PCG64": np.random.Generator(np.random.PCG64(18)).random(),
        "Philox": np.random.Generator(np.random.Philox(18)).random(),
        "random": random.Random(11).random(),
        "Random": random.Random(12).random(),
        "numpy": np.random.RandomState(13).rand(),
        "default_rng": np.random.default_rng(14).random(),
        "RandomState": f"{np.random.RandomState(15).rand()} True",
        "torch": torch.rand(1, generator=torch.Generator().manual_seed(16)).item(),
        "Generator": torch.rand(1, generator=torch.Generator().manual_seed(17)).item(),
        "plain Generator": torch.rand(
            1, generator=torch.Generator().manual_seed(torch.Generator().initial_seed() + 10)
        ).item(),
        "default_generator": True,
    }
    assert lines == {name: str(value) for name, value in want.items()}
    sequence = np.random.Generator(np.random.PCG64(held)).random()
    assert apart == [["SeedSequence", *map(str, [sequence, *drawn])], ["copied", "19", "True"]]


@pytest.mark.slow
def test_what_a_program_never_seeds_is_seeded(tmp_path):
    first, again, other = (printed("unseeded.py", tmp_path, reseed) for reseed in (1, 1, 2))
    assert first == again
    assert not set(first.split()) & set(other.split())
