"""A command made from a function and from the fields of settings classes: names, types and help stand there, once."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import typer
from typer.core import TyperCommand

from lastbit.core.errors import LastbitError
from lastbit.core.keywords import Keyword

__all__ = ["COMMAND", "SeveralValues", "command_from", "completing", "join_values", "option"]

_FLAG = re.compile(r"--|-[a-z]")

COMMAND = "lastbit.command"
"""Where the context of a command keeps the words after `--`; absent where there is no `--`."""


def option(help: str, panel: str) -> Any:
    """Return an option whose help says its default itself."""
    return typer.Option(help=help, rich_help_panel=panel, show_default=False)


def completing(words: Iterable[str]) -> Callable[[str], list[str]]:
    """Return what a shell is told: those of `words` that go on from what stands there already.

    Example:
        >>> completing(["sgd", "adam", "adamw"])("ad")
        ['adam', 'adamw']
    """

    # typer reads the type of the parameter, and knows no names of types that are imported for type checkers alone.
    def complete(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return complete


class SeveralValues(TyperCommand):
    """A command whose flags for several values take them side by side: `--lr 0.1 0.2`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Join the values of a flag into one word, as the parser knows them; behind `--` stands the user's command."""
        if "--" in args:
            ctx.meta[COMMAND] = args[args.index("--") + 1 :]
            args = args[: args.index("--")]
        return super().parse_args(ctx, self.joined(args))

    def joined(self, args: list[str]) -> list[str]:
        """Return the words with the values of a flag as one."""
        # Those that show it: a flag that is only repeated takes one value each time.
        return join_values(args, {flag for one in self.params if str(one.metavar).endswith("...") for flag in one.opts})


def join_values(words: Sequence[str], flags: Collection[str]) -> list[str]:
    """Join the values of a flag that takes several: `--lr 0.1 0.2` becomes `--lr 0.1,0.2`.

    Beside flags these commands take a study file alone, so every other word up to the next flag belongs to the flag
    before it.

    Args:
        words: what follows the command's name.
        flags: those that take several values.

    Example:
        >>> join_values(["--lr", "0.1", "0.2", "study.toml", "--quiet"], {"--lr"})
        ['--lr', '0.1,0.2', 'study.toml', '--quiet']
    """
    found: list[str] = []
    flag, values = "", 0
    for word in words:
        if _FLAG.match(word):
            flag, values = word, 0
        elif flag in flags and not word.endswith(".toml"):
            values += 1
            if values > 1:
                found[-1] += f",{word}"
                continue
        else:
            flag = ""
        found.append(word)
    return found


def command_from(function: Callable[..., Any], settings: Iterable[Keyword]) -> Callable[..., Any]:
    """Return `function` with an option for each of `settings` in place of its `**settings`.

    Register it with `app.command(name, cls=SeveralValues)`. The function's own parameters stay as they are: what comes
    before the settings (a positional argument) and the keyword-only ones behind them (`--json`, `--quiet`). It gets the
    settings that the user gave and no others, so defaults are those of the fields; a field of several values (a tuple)
    takes `--name 1 2`, `--name 1,2`, or `none` for an empty one. Nothing is validated here but what the parser must
    read as a number: the rest is for whoever builds the settings.

    Args:
        function: called with its own parameters and the settings that were given; its docstring is the help.
        settings: those of the command, of `keywords`.

    Example:
        >>> from lastbit.core.config import Config
        >>> from lastbit.core.keywords import keywords
        >>> class Settings(Config):
        ...     lr: float = 0.1
        >>> def train(*, quiet: bool = False, **settings): return settings
        >>> command_from(train, keywords(Settings))(quiet=True, lr=0.5)
        {'lr': 0.5}
    """
    options = {one.name: one for one in settings}
    own = inspect.signature(function, eval_str=True).parameters.values()
    first = [parameter for parameter in own if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    last = [parameter for parameter in own if parameter.kind is parameter.KEYWORD_ONLY]

    def command(**parameters: Any) -> Any:
        given = {
            name: _given(options[name], value) if name in options and isinstance(value, list) else value
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
    values = [_kind(get_args(part)[0]) for part in _members(one.annotation) if get_origin(part) is tuple]
    option = typer.Option(
        *flags,
        help=one.help,
        rich_help_panel=one.panel or None,
        show_default=False,
        metavar=None if not values else "<text>" if one.verbatim else f"<{values[0].__name__}>...",
        autocompletion=completing(one.words) if one.words else None,
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
    """Return the types of a union, or the type itself, without what only a validator needs to know."""
    parts = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return tuple(get_args(part)[0] if get_origin(part) is Annotated else part for part in parts)


def _given(one: Keyword, words: Sequence[str]) -> tuple[str, ...]:
    return tuple(words) if one.verbatim else _values(one.name, words)


def _values(name: str, words: Sequence[str]) -> tuple[str, ...]:
    """Return the values of a flag that was given once or more, with commas or without."""
    values = tuple(part.strip() for word in words for part in word.split(","))
    if "" in values:
        raise LastbitError(f"--{name.replace('_', '-')} names no value: write one or several, with spaces or commas")
    return () if values == ("none",) else values
