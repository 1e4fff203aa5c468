"""Which files a command runs: its scripts and modules, and what its shell scripts name."""

import pytest

from lastbit.launch.scripts import module_folders, scripts_of
from lastbit.tasks.sources import local_sources


@pytest.fixture
def desk(tmp_path):
    (tmp_path / "pkg").mkdir()
    (tmp_path / "lib").mkdir()
    texts = {
        "train.py": "import json, helper, torch\nfrom lib_only import x",
        "helper.py": "import json",
        "json.py": "",  # beside a script it comes before Python's
        "pkg/__init__.py": "",
        "pkg/__main__.py": "from . import part",
        "pkg/part.py": "def broken(:",
        "lib/lib_only.py": "",
        "run.sh": "set -e\npython 'train.py' --lr 1; torchrun other.py\npython -m pkg\n",
        "data.json": "{}",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "scripts", "sources"),
    [
        (["python", "train.py", "data.json"], ["train.py"], ["helper.py", "json.py", "lib/lib_only.py", "train.py"]),
        (["torchrun", "--nproc-per-node", "2", "train.py"], ["train.py"], None),
        (["python", "-m", "pkg"], ["pkg/__init__.py", "pkg/__main__.py"], ["__init__", "__main__", "part"]),
        (["sh", "run.sh"], ["run.sh", "train.py", "pkg/__init__.py", "pkg/__main__.py"], None),
        (["train", "x\0y", "n" * 5000], [], []),
    ],
)
def test_what_a_command_runs(words, scripts, sources, desk):
    found = scripts_of(words, desk)
    assert [str(path.relative_to(desk)) for path in found] == scripts
    if sources is not None:
        folders = module_folders(found, desk, {"PYTHONPATH": "lib"})
        digests = local_sources(found, base=desk, folders=folders)
        assert list(digests) == [one if "." in one else f"pkg/{one}.py" for one in sources]
