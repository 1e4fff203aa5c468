"""The claims there are, by id."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from lastbit.core.errors import choose
from lastbit.studies.paper.settings import IDS

if TYPE_CHECKING:
    from lastbit.studies.paper.claim import Claim

__all__ = ["claim", "claims"]


def claim(name: str) -> Claim[Any]:
    """Return a claim by its id, in either case.

    Raises:
        LastbitError: there is none of this id.
    """
    chosen = choose(name.upper(), IDS, "claim")
    found: Claim[Any] = import_module(f"lastbit.studies.paper.claims.c{int(chosen[1:]):02d}").CLAIM
    return found


def claims(names: Iterable[str]) -> list[Claim[Any]]:
    """Return the claims of these ids in their order, each once; `all` stands for every one.

    Raises:
        LastbitError: there is no claim of an id.
    """
    asked = [one for name in names for one in (IDS if name.lower() == "all" else (name,))]
    found = {one.id: one for one in map(claim, asked)}
    return [found[id_] for id_ in IDS if id_ in found]
