"""The recipes of docs/task.md as task files."""

import pytest
from recipes import recipes


@pytest.fixture
def recipe_file(tmp_path):
    """Write the recipe of a number to a file of its own and return its reference."""

    def write(number):
        path = tmp_path / "recipe.py"
        path.write_text(recipes()[number].code)
        return f"{path}:task"

    return write
