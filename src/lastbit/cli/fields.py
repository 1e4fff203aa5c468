"""A command made from a function and from the fields of settings classes: names, types and help stand there, once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from typer.core import TyperCommand

from lastbit.cli.values import join_values
from lastbit.core.config import Config
from lastbit.core.keywords import Keyword, keywords

__all__ = ["SeveralValues", "command_from"]


class SeveralValues(TyperCommand):
    """A command whose flags for several values take them side by side: `--lr 0.1 0.2`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Join the values of a flag into one word, as the parser knows them."""
        several = {flag for one in self.params if getattr(one, "multiple", False) for flag in one.opts}
        return super().parse_args(ctx, join_values(args, several))


def command_from(function: Callable[..., Any], *configs: type[Config]) -> Callable[..., Any]:
    """Return `function` with an option for each field of `configs` in place of its `**settings`.

    Register it with `app.command(name, cls=SeveralValues)`. The function's own parameters stay as they are: what comes
    before the settings (a positional argument) and the keyword-only ones behind them (`--json`, `--quiet`). It gets the
    settings that the user gave and no others, so defaults are those of the fields; a field of several values (a tuple)
    takes `--name 1 2`, `--name 1,2`, or `none` for an empty one. Nothing is validated here but what the parser must
    read as a number: the rest is for whoever builds the settings.

    Args:
        function: called with its own parameters and the settings that were given; its docstring is the help.
        *configs: settings classes; a name that stands in several is one option.

    Example:
        >>> class Settings(Config):
        ...     lr: float = 0.1
        >>> def train(*, quiet: bool = False, **settings): return settings
        >>> command_from(train, Settings)(quiet=True, lr=0.5)
        {'lr': 0.5}
    """
    options = {one.name: one for one in keywords(*configs)}
    own = inspect.signature(function, eval_str=True).parameters.values()
    first = [parameter for parameter in own if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    last = [parameter for parameter in own if parameter.kind is parameter.KEYWORD_ONLY]

    def command(**parameters: Any) -> Any:
        given = {
            name: _values(value) if isinstance(value, list) else value
            for name, value in parameters.items()
            if name not in options or value not in (None, [])
        }
        return function(**given)

    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in [*first, *map(_parameter, options.values()), *last]
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__doc__, command.__name__ = function.__doc__, function.__name__
    return command


def _parameter(one: Keyword) -> inspect.Parameter:
    """Return an option that is None where it was not given; its help says the default itself."""
    flags = one.flags or (f"--{one.name.replace('_', '-')}",)
    if bool in _members(one.annotation):
        flags = one.flags or (f"{flags[0]}/--no{flags[0][1:]}",)
    values = [get_args(part)[0].__name__ for part in _members(one.annotation) if get_origin(part) is tuple]
    option = typer.Option(
        *flags,
        help=one.help,
        rich_help_panel=one.panel or None,
        show_default=False,
        metavar=f"<{values[0]}>..." if values else None,
    )
    default = inspect.Parameter.empty if one.required else None
    kind = _kind(one.annotation) if one.required else _kind(one.annotation) | None
    annotation = Annotated[kind, option]  # type: ignore[valid-type]
    return inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _kind(annotation: Any) -> Any:
    """Return the type that the parser reads: a number, a path, yes or no, words for a tuple, else a word."""
    members = _members(annotation)
    for kind in (bool, int, float, Path):
        if kind in members:
            return float if float in members else kind
    return list[str] if any(get_origin(member) is tuple for member in members) else str


def _members(annotation: Any) -> tuple[Any, ...]:
    """Return the types of a union, or the type itself."""
    return (annotation,) if get_origin(annotation) in (None, tuple, Literal) else get_args(annotation)


def _values(words: Sequence[str]) -> tuple[str, ...]:
    """Return the values of a flag that was given once or more, with commas or without."""
    values = tuple(part.strip() for word in words for part in word.split(","))
    return () if values == ("none",) else values
