"""The example of docs/reproducible-ci.md passes in a pytest of its own."""

import re
from pathlib import Path

import pytest

pytest_plugins = "pytester"

PAGE = Path(__file__).parents[2] / "docs" / "reproducible-ci.md"


@pytest.mark.slow
def test_the_example_passes(pytester):
    example = re.search(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)[1]
    pytester.makepyfile(test_training=example)
    plugin = ("-p", "no:lastbit", "-p", "lastbit.integrations.pytest_plugin")
    ran = pytester.runpytest_subprocess(*plugin, "-q", "-W", "error")
    ran.assert_outcomes(passed=3)
