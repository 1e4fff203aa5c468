"""One trained comparison that the tests share, and tables to compare."""

import pytest

from lastbit import audit, compare


@pytest.fixture(scope="session")
def trained(task_file, tmp_path_factory):
    """Two tasks of 3 seeds with 2 runs each: one learns, the other does not."""
    out = tmp_path_factory.mktemp("studies") / "trained"
    arms = f"{task_file}:still", f"{task_file}:calm"
    return compare(*arms, seeds=3, perturbations=2, perturb="rounding", workers=1, out=out, quiet=True)


@pytest.fixture(scope="session")
def audited(task_file, tmp_path_factory):
    """An audit of 3 seeds with 2 runs each and an exact repeat of each."""
    out = tmp_path_factory.mktemp("studies") / "audited"
    return audit(f"{task_file}:calm", seeds=3, perturbations=2, perturb="rounding", workers=1, out=out, quiet=True)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder of one's own with two tables."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("seed,value\n1,97.1\n2,97.4\n3,96.9\n")
    (tmp_path / "b.csv").write_text("seed,value\n3,98.3\n1,98.0\n2,98.4\n")
    return tmp_path
