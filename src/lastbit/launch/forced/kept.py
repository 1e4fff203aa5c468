"""The messages of a reference that are kept as a record: of ever fewer steps, so that they stay within a bound."""

from __future__ import annotations

from pathlib import Path

from lastbit.launch.forced.moment import is_sent

__all__ = ["Keeper"]

MOST = 512 << 20
"""Bytes that are kept of a process."""


class Keeper:
    """Keeps the messages of one process.

    Args:
        folder: takes them.
        every: steps between two that are compared; it doubles where there is too much.
    """

    def __init__(self, folder: Path, every: int) -> None:
        folder.mkdir(parents=True)
        self._folder, self.every = folder, every
        self._steps: dict[int, tuple[Path, int]] = {}
        self._note()

    def _note(self) -> None:
        (self._folder / "every").write_text(str(self.every), encoding="utf-8")

    def keep(self, name: str, path: Path) -> None:
        """Keep a message, or remove it."""
        kind, _, number = name.partition("-")
        if kind == "step" and not is_sent(int(number), self.every):
            path.unlink()
            return
        kept = path.replace(self._folder / name)
        if kind == "step":
            self._steps[int(number)] = (kept, kept.stat().st_size)
            while len(self._steps) > 4 and sum(size for _, size in self._steps.values()) > MOST:
                self._thin()

    def _thin(self) -> None:
        self.every *= 2
        for step in [step for step in self._steps if not is_sent(step, self.every)]:
            self._steps.pop(step)[0].unlink()
        self._note()
