"""The reference of the command line, from the commands themselves: a page for each, with a table for each panel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer.main

from lastbit.cli.app import app

__all__ = ["command_pages"]


def command_pages() -> dict[str, str]:
    """Return the pages by their names: `cli-audit`, `cli-pde-window`, and `cli` of what stands before a command."""
    found = commands((), typer.main.get_command(app))
    return {"-".join(["cli", *words]): page(words, command) for words, command in found}


def commands(words: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield a command and those under it, each with the words after `lastbit` that call it."""
    if not command.hidden:
        yield words, command
        for name, one in getattr(command, "commands", {}).items():
            yield from commands((*words, name), one)


def page(words: tuple[str, ...], command: Any) -> str:
    """Return the page of one command."""
    full = " ".join(["lastbit", *words])
    arguments = [one for one in command.params if not one.opts[0].startswith("-")]
    panels: dict[str, list[Any]] = {}
    for one in command.params:
        if not one.hidden and one.opts[0].startswith("-"):
            panels.setdefault(one.rich_help_panel or "Options", []).append(one)
    below = getattr(command, "commands", {})
    usage = [full, "[OPTIONS]", *(shown(one) for one in arguments), *(["COMMAND"] * bool(below))]
    lines = [f"# {full}", "", str(command.help), "", "```text", " ".join(usage), "```", ""]
    if arguments:
        rows = [(shown(one), kind(one, of_argument=True), str(one.help or "")) for one in arguments]
        lines += table("Arguments", ("argument", "value", "what it is"), rows)
    for title, options in panels.items():
        rows = [(", ".join(flags(one)), kind(one), str(one.help or "")) for one in options]
        lines += table(title, ("option", "value", "what it does"), rows)
    if below:
        rows = [(name, "", str(one.help).split("\n\n")[0]) for name, one in below.items() if not one.hidden]
        links = [(f"[{name}](cli-{'-'.join([*words, name])}.md)", said) for name, _, said in rows]
        lines += ["## Commands", "", "| command | the question it answers |", "| --- | --- |"]
        lines += [f"| {link} | {cell(said)} |" for link, said in links]
    if command.epilog:
        lines += ["", str(command.epilog)]
    return "\n".join([*lines, ""])


def shown(argument: Any) -> str:
    """Return an argument as a usage line has it."""
    name = str(argument.metavar or argument.name.upper())
    return name if argument.required else f"[{name}]"


def flags(option: Any) -> list[str]:
    """Return the spellings of an option, the long one first, with the one that takes it back."""
    return sorted([*option.opts, *option.secondary_opts], key=lambda flag: (len(flag) < 3, flag.startswith("--no-")))


def kind(parameter: Any, of_argument: bool = False) -> str:
    """Return what a parameter takes in a word; an argument is called by its own."""
    if getattr(parameter, "is_flag", False):
        return ""
    called = "" if of_argument else parameter.metavar
    name = str(called or parameter.type_descriptor.annotation.__name__.lower()).strip("<>")
    return {"str": "text", "int": "number", "float": "number", "path": "path"}.get(name, name)


def table(title: str, head: tuple[str, str, str], rows: list[tuple[str, str, str]]) -> list[str]:
    """Return a section with a table, whose first two columns are code."""
    body = [f"| {code(one)} | {code(two)} | {cell(three)} |" for one, two, three in rows]
    return [f"## {title}", "", f"| {' | '.join(head)} |", "| --- | --- | --- |", *body, ""]


def code(text: str) -> str:
    """Return each part of a cell's text as code."""
    return ", ".join(f"`{cell(part)}`" for part in text.split(", ")) if text else ""


def cell(text: str) -> str:
    """Return text that stays within its cell."""
    return " ".join(text.split()).replace("|", "\\|")
