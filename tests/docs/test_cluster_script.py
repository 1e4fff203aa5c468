"""The script for SLURM, with stand-ins for its tools: Ray and lastbit are real, the nodes are this machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "cluster" / "audit.sbatch"
STAND_INS = {
    "scontrol": "#!/bin/sh\necho 127.0.0.1\n",
    "srun": '#!/bin/bash\nwhile [[ $1 == --* ]]; do shift; done\nexec "$@"\n',
    "lastbit": f'#!/bin/sh\nexec {sys.executable} -m lastbit "$@"\n',
    "ray": f'#!/bin/sh\nexec {sys.executable} -c "from ray.scripts.scripts import main; main()" "$@"\n',
}


@pytest.fixture
def job(tmp_path):
    for name, text in STAND_INS.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    told = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "one", "SLURM_JOB_NUM_NODES": "1", "SLURM_CPUS_PER_TASK": "1"}
    told |= {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "RAY_PORT": "6411", "STUDY": str(tmp_path / "study")}
    told |= {"RAY_USAGE_STATS_ENABLED": "0"}

    def run(*words, **more):
        environment = {**os.environ, **told, **more}
        return subprocess.run(
            ["bash", SCRIPT, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=400
        )

    return run


@pytest.mark.evidence
def test_the_script_runs_an_audit_and_ends_with_its_code(job, tmp_path):
    pytest.importorskip("ray")
    ended = job("--seeds", "2", "--perturbations", "2", "--epochs", "1")
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert (tmp_path / "study" / "result.json").exists()
    assert not list(tmp_path.glob("*.token"))
    # Submitted again it resumes, and what is not in the study is refused with the code of bad input.
    assert job().returncode == 0
    assert job("--seeds", "0", STUDY=str(tmp_path / "other")).returncode == 2


@pytest.mark.evidence
def test_a_cluster_that_does_not_come_up_is_no_success(job, tmp_path):
    # symmetric-run returns 0 where the head cannot start.
    (tmp_path / "bin" / "ray").write_text("#!/bin/sh\nexit 0\n")
    assert job("--seeds", "2").returncode == 1
    assert not (tmp_path / "study").exists()
    assert not list(tmp_path.glob("*.token"))
