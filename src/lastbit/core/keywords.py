"""The fields of settings classes as keyword arguments: of a Python function and, from the same data, of a command.

Name, type, default, range and description of a setting stand in its field, once; `setting` makes a field that says more
about how it is shown. A class may hold in its `model_config` a `title`, the word for it where several classes of a
command differ, and in `json_schema_extra` a `panel` for the fields that no other class of the command has.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from types import MappingProxyType
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import Field
from pydantic.fields import FieldInfo

from lastbit.core.config import Config
from lastbit.core.words import typed

__all__ = ["Keyword", "default_words", "keywords", "setting", "several", "takes"]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class Keyword:
    """One setting, of one settings class or of several that share its name.

    Attributes:
        name: in Python and, with hyphens, on the command line.
        annotation: its type; of several classes any of theirs.
        default: None too where the classes differ, for each has its own.
        required: whether there is no default.
        help: description, choices, default and range in words.
        panel: heading in a command's help, "" for none.
        flags: on the command line, where they are not `--name`.
        words: values that a shell can complete.
        verbatim: whether several values are given by the flag once for each, and may hold commas and spaces.
    """

    name: str
    annotation: Any
    default: Any
    required: bool
    help: str
    panel: str
    flags: tuple[str, ...]
    words: tuple[str, ...] = ()
    verbatim: bool = False


def setting(
    description: str,
    default: Any = ...,
    *,
    panel: str = "",
    shown: str = "",
    flags: Sequence[str] = (),
    words: Iterable[str] = (),
    remarks: Mapping[str, str] = MappingProxyType({}),
    verbatim: bool = False,
    **bounds: Any,
) -> Any:
    """Return a field of a settings class.

    Args:
        description: what it means, in a few words without a stop.
        default: left out where a value must be given.
        panel: heading that a command's help puts it under.
        shown: its default in words, where it is None.
        flags: its flags on the command line, where they are not `--name`.
        words: values that a shell can complete, where its type does not say them.
        remarks: on single words that it takes, in place of which is the default.
        verbatim: whether several values are given by the flag once for each, and may hold commas and spaces.
        **bounds: `ge`, `gt`, `le`, `lt`.
    """
    told: dict[str, Any] = {"panel": panel, "shown": shown, "flags": list(flags), "words": list(words)}
    told |= {"remarks": dict(remarks), "verbatim": verbatim}
    extra = {name: value for name, value in told.items() if value}
    return Field(default, description=description, json_schema_extra=extra, **bounds)


def keywords(*configs: type[Config], shown: Mapping[str, str] = MappingProxyType({})) -> list[Keyword]:
    """Return the settings of all classes, in the order of their fields, each name once.

    Args:
        *configs: the classes.
        shown: defaults in words, by name, of settings whose default is worked out later.
    """
    names = dict.fromkeys(name for config in configs for name in config.model_fields)
    return [_keyword(name, configs, shown.get(name)) for name in names]


def several(one: Keyword) -> Keyword:
    """Return a setting that takes several values, which make a sweep."""
    kinds = [part for part in get_args(one.annotation) or (one.annotation,) if part is not type(None)]
    return replace(one, annotation=tuple[reduce(or_, kinds), ...] | None, panel="Several values make a sweep")  # type: ignore[misc]


def takes(settings: Iterable[Keyword]) -> Callable[[F], F]:
    """Let `help()` show `settings` as the keyword arguments that a function's `**settings` stand for.

    They are added to its signature, those apart that it names itself, and described in its docstring where that says
    `**settings: …`.
    """

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        added = [one for one in settings if one.name not in signature.parameters]
        of_settings = [
            inspect.Parameter(
                one.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if one.required else one.default,
                annotation=one.annotation,
            )
            for one in added
        ]
        first = [p for p in own if p.kind is not p.KEYWORD_ONLY]
        last = [p for p in own if p.kind is p.KEYWORD_ONLY]
        function.__signature__ = signature.replace(parameters=[*first, *of_settings, *last])  # type: ignore[attr-defined]
        told = "\n".join(f"    {one.name}: {one.help}" for one in added)
        text = inspect.cleandoc(function.__doc__ or "")
        function.__doc__ = re.sub(r"(?m)^    \*\*settings: .*$", lambda _: told, text, count=1)
        return function

    return decorate


def default_words(value: Any) -> str:
    """Return a default as a user would write it; "" for None.

    Example:
        >>> default_words(0.5), default_words(True), default_words((1, 2)), default_words(None)
        ('0.5', 'on', '1 2', '')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    values = value if isinstance(value, tuple) else (value,)
    return " ".join(map(typed, values))


def _keyword(name: str, configs: Sequence[type[Config]], shown: str | None = None) -> Keyword:
    homes = {config: config.model_fields[name] for config in configs if name in config.model_fields}
    fields = list(homes.values())
    required = len(homes) == len(configs) and all(field.is_required() for field in fields)
    defaults = [None if field.is_required() else field.default for field in fields]
    alike = all(default == defaults[0] for default in defaults)
    kinds: list[Any] = list(dict.fromkeys(field.annotation for field in fields))
    annotation = reduce(or_, kinds)
    extra = _extra(fields[0])
    if len(homes) == 1:
        of_class = next(iter(homes)).model_config.get("json_schema_extra")
        extra = {**(of_class if isinstance(of_class, dict) else {}), **extra}
    return Keyword(
        name=name,
        annotation=annotation if alike else annotation | None,
        default=defaults[0] if alike else None,
        required=required,
        help=_help(homes, shown),
        panel=extra.get("panel", ""),
        flags=tuple(extra.get("flags", ())),
        verbatim=bool(extra.get("verbatim")),
        words=tuple(
            dict.fromkeys(word for field in fields for word in (*_choices(field), *_extra(field).get("words", ())))
        ),
    )


def _help(homes: Mapping[type[Config], FieldInfo], shown: str | None = None) -> str:
    """Return `Description (default; range).`, by class where they differ; `shown` is the default where it is given."""
    titles = {config: str(config.model_config.get("title") or config.__name__) for config in homes}
    fields = list(homes.values())
    if any(field.description != fields[0].description for field in fields):
        told = "; ".join(f"{titles[config]}: {_sentence(field)}" for config, field in homes.items())
        return f"{told}."
    defaults = {titles[config]: _default(field) for config, field in homes.items()}
    differ = len(set(defaults.values())) > 1
    default = ", ".join(f"{title} {words}" for title, words in defaults.items() if words) if differ else shown
    text = _sentence(fields[0], default, dict.fromkeys(word for field in fields for word in _choices(field)))
    return f"{text[:1].upper()}{text[1:]}."


def _sentence(field: FieldInfo, default: str | None = None, choices: Iterable[str] = ()) -> str:
    """Return the description with the default, of this field unless another is given, and the choices or the range."""
    default = _default(field) if default is None else default
    if words := list(choices or _choices(field)):
        remarks = _extra(field).get("remarks") or {default: "default"}
        shown = [f"{word} ({remarks[word]})" if word in remarks else word for word in words]
        return f"{field.description}: {', '.join(shown)}"
    inside = "; ".join(part for part in (default, _range(field)) if part)
    return f"{field.description} ({inside})" if inside else str(field.description)


def _default(field: FieldInfo) -> str:
    shown = _extra(field).get("shown")
    if shown is not None or field.is_required():
        return str(shown or "")
    # A flag that can only be given, and never taken back, is off without it.
    flags = _extra(field).get("flags")
    return "" if field.default is False and flags and "/" not in flags[0] else default_words(field.default)


def _choices(field: FieldInfo) -> list[str]:
    """Return the words that a field takes, none where it takes others too."""
    parts = (field.annotation,) if get_origin(field.annotation) is Literal else get_args(field.annotation)
    return [str(word) for part in parts if get_origin(part) is Literal for word in get_args(part)]


def _words(field: FieldInfo) -> list[str]:
    """Return the words that a shell can complete."""
    return [*_choices(field), *_extra(field).get("words", ())]


def _range(field: FieldInfo) -> str:
    """Return the bounds of a number in words."""
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    found = {name: getattr(one, name) for name in words for one in field.metadata if hasattr(one, name)}
    if found.keys() == {"ge", "le"}:
        return f"{found['ge']} to {found['le']}"
    return ", ".join(f"{words[name]} {value}" for name, value in found.items())


def _extra(field: FieldInfo) -> dict[str, Any]:
    extra = field.json_schema_extra
    return dict(extra) if isinstance(extra, Mapping) else {}
