"""The fixture `lastbit` of pytest: the assertions of `lastbit.testing`, with a folder for their studies.

pytest imports this whenever it starts, so that neither PyTorch nor the rest of lastbit is imported before a test asks
for the fixture.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from lastbit.studies.trace.final_growth import TwinGrowth
    from lastbit.testing import Reproduced, Trained

__all__ = ["LastbitFixture", "lastbit"]


class LastbitFixture:
    """The assertions of `lastbit.testing`, whose studies stay in the folder of the test.

    Args:
        folder: takes a folder for each study: `study-1`, `study-2`, ...
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._studies = 0

    def assert_reproducible(self, fn: Trained, **settings: Any) -> Reproduced:
        """Assert that two runs with the same seed are equal, bit for bit: see `lastbit.testing.assert_reproducible`."""
        __tracebackhide__ = True
        from lastbit.testing import assert_reproducible

        return assert_reproducible(fn, **{"out": self._next(), **settings})

    def assert_last_bit_stable(self, fn: Trained, growth_at_most: float = 1e3, **settings: Any) -> TwinGrowth:
        """Assert that a last bit grows by no more than a factor: see `lastbit.testing.assert_last_bit_stable`."""
        __tracebackhide__ = True
        from lastbit.testing import assert_last_bit_stable

        return assert_last_bit_stable(fn, growth_at_most, **{"out": self._next(), **settings})

    def _next(self) -> Path:
        self._studies += 1
        return self.folder / f"study-{self._studies}"


@pytest.fixture
def lastbit(tmp_path_factory: pytest.TempPathFactory) -> LastbitFixture:
    """Assertions about trainings: `lastbit.assert_reproducible(train)`, `lastbit.assert_last_bit_stable(train)`."""
    return LastbitFixture(tmp_path_factory.mktemp("lastbit"))
