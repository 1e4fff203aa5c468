"""One file that is missing or damaged costs its run and no other: the study is concluded, says so, can be mended."""

import json
import shutil

import numpy as np
import pytest

import lastbit as lb
from lastbit.core.errors import LastbitError
from lastbit.store import StudyFolder

DAMAGES = {
    "missing": lambda path: path.unlink(),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "flipped": lambda path: path.write_bytes(
        path.read_bytes()[:-300] + bytes([path.read_bytes()[-300] ^ 4]) + path.read_bytes()[-299:]
    ),
}


def without_result(path):
    (path / "result.json").unlink()


@pytest.fixture(scope="module")
def finished(task_file, tmp_path_factory):
    """An audit of 3 seeds x 2 perturbations."""
    out = tmp_path_factory.mktemp("finished") / "audit"
    return lb.audit(f"{task_file}:calm", seeds=3, perturbations=2, workers=1, quiet=True, out=out).path


@pytest.fixture
def study(finished, tmp_path):
    """Its copy, for the test to damage."""
    return lb.open_study(shutil.copytree(finished, tmp_path / "audit"))


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("run", ["seed001-p000", "seed001-p001", "seed001-repeat"])
def test_an_audit_concludes_without_a_damaged_run_and_trains_it_again(study, damage, run):
    before = study.result
    damage(study.path / "arrays" / f"{run}.npz")
    # What was concluded while it was whole still holds; the page names what it cannot draw.
    whole = lb.open_study(study.path)
    assert whole.result == before
    assert "The arrays of 1 run are missing or damaged." in whole.summary()
    assert run in whole.markdown()
    without_result(study.path)
    left = lb.open_study(study.path)
    assert list(left.result.damaged) == [run]
    assert left.result.runs_finished == 8
    assert not left.result.finished
    assert left.result.verdict.startswith(f"incomplete ({run} cannot be read): 8 of 9 runs finished. ")
    assert f"lastbit audit --resume {study.path} trains it again." in left.result.advice
    assert left.result.sigma_last_bit.measured
    assert run in left.summary()
    assert left.report().exists()
    assert left.to_xarray()["status"].values.ravel().tolist().count("damaged") == (run != "seed001-repeat")
    with StudyFolder.read(study.path) as folder:
        others = [record.run for record in folder.runs() if record.run != run]
    stamps = {name: (study.path / "arrays" / f"{name}.npz").stat().st_mtime_ns for name in others}
    mended = lb.audit(resume=study.path, quiet=True)
    assert mended.result.damaged == {}
    assert mended.result.finished
    assert mended.result.verdict == before.verdict
    assert mended.result.sigma_last_bit == before.sigma_last_bit
    assert {name: (study.path / "arrays" / f"{name}.npz").stat().st_mtime_ns for name in stamps} == stamps
    with StudyFolder.read(study.path) as folder:
        assert [(event[1], event[2]) for event in folder.events()][-1:] == [(run, "damaged")]


def test_an_audit_of_which_nothing_can_be_read_says_so(study):
    for path in (study.path / "arrays").iterdir():
        path.write_bytes(b"")
    without_result(study.path)
    left = lb.open_study(study.path)
    assert left.result.verdict_kind == "no_runs"
    assert len(left.result.damaged) == 9
    assert left.report().exists()
    assert "…" in left.result.verdict


@pytest.mark.parametrize("name", ["{cell}", "{cell}-twin1"])
def test_a_trace_is_concluded_without_the_training_that_cannot_be_read(task_file, tmp_path, name):
    study = lb.trace(f"{task_file}:calm", dtype=("float32", "float64"), workers=1, quiet=True, out=tmp_path / "trace")
    first, second = (cell["name"] for cell in json.loads((study.path / "study.json").read_text())["cells"])
    before = study.result
    (study.path / "arrays" / f"{name.format(cell=first)}.npz").write_bytes(b"PK")
    assert lb.open_study(study.path).report().exists()
    without_result(study.path)
    left = lb.open_study(study.path)
    # The sketches of a run only compare studies: no conclusion draws on them.
    assert [member.name for member in left.result.members] == ([second] if name == "{cell}" else [first, second])
    assert list(left.result.damaged) == ([f"{first}-base"] if name == "{cell}" else [])
    assert left.report().exists()
    mended = lb.trace(resume=study.path, quiet=True)
    assert mended.result.damaged == {}
    assert [member.decades for member in mended.result.members] == [member.decades for member in before.members]
    assert np.load(study.path / "arrays" / f"{first}-twin1.npz").files


def test_an_edge_study_is_concluded_without_the_training_that_cannot_be_read(tmp_path):
    settings = {"lr": (0.05, 0.1), "steps": 6, "every": 3, "twins": 1, "train_size": 40, "width": 4}
    study = lb.eos("digits", **settings, workers=1, quiet=True, out=tmp_path / "eos")
    first, second = study.result.cells
    (study.path / "arrays" / f"{first.name}.npz").unlink()
    whole = lb.open_study(study.path)
    assert first.name in whole.summary()
    assert whole.report().exists()
    without_result(study.path)
    left = lb.open_study(study.path)
    assert [cell.name for cell in left.result.cells] == [second.name]
    assert first.name in left.result.verdict
    assert left.report().exists()
    mended = lb.eos(resume=study.path, quiet=True)
    assert mended.result.cells[0].sharpness == first.sharpness


def test_a_measurement_whose_arrays_are_damaged_keeps_its_result(tmp_path):
    study = lb.sharpness("digits", train_size=40, width=4, out=tmp_path / "sharpness", quiet=True)
    (study.path / "arrays" / "measurement.npz").write_bytes(b"PK")
    whole = lb.open_study(study.path)
    assert whole.result == study.result
    assert "measurement" in whole.summary()
    assert whole.report().exists()
    without_result(study.path)
    with pytest.raises(LastbitError, match=r"measurement\.npz cannot be read"):
        lb.open_study(study.path)
    assert lb.sharpness(resume=study.path, quiet=True).result.whole.sharpness == study.result.whole.sharpness


def test_a_result_that_was_changed_is_concluded_again(study):
    path = study.path / "result.json"
    told = study.result.verdict
    path.write_text(path.read_text().replace(told, "Everything is real."))
    assert lb.open_study(study.path).result.verdict == told


def test_a_damaged_checkpoint_is_dropped_and_the_run_starts_again(task_file, tmp_path, monkeypatch):
    from lastbit.store import RunFiles

    whole = lb.audit(f"{task_file}:calm", seeds=1, perturbations=2, workers=1, quiet=True, out=tmp_path / "whole")
    save, saved = RunFiles.save_checkpoint, []

    def stop(self, tensors, facts):
        save(self, tensors, facts)
        saved.append(self.checkpoint_path)
        raise KeyboardInterrupt

    out = tmp_path / "study"
    settings = {"seeds": 1, "perturbations": 2, "workers": 1, "quiet": True, "checkpoint_seconds": 0}
    with monkeypatch.context() as patch:
        patch.setattr(RunFiles, "save_checkpoint", stop)
        with pytest.raises(LastbitError, match="stopped"):
            lb.audit(f"{task_file}:calm", **settings, out=out)
    content = bytearray(saved[0].read_bytes())
    content[-9] ^= 1  # in the last tensor
    saved[0].write_bytes(content)
    mended = lb.audit(resume=out, workers=1, quiet=True)
    assert mended.result.sigma_last_bit == whole.result.sigma_last_bit
    assert not list((out / "checkpoints").iterdir())
