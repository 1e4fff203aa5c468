"""Metrics in what a program prints: by a name, by a pattern, and what there is to choose from.

Conventions read, each as programs print it: `key: value` and `key=value`, JSON lines, printed dictionaries (Hugging
Face's Trainer), tables with rules (Lightning), progress bars (Keras, tqdm), `Acc@1 0.00 ( 0.1)` (the ImageNet example
of PyTorch), `Accuracy: 9910/10000 (99%)` (its MNIST example). A list of names with regular expressions, one group each,
is SageMaker's form: https://docs.aws.amazon.com/sagemaker/latest/dg/training-metrics.html.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from lastbit.core.errors import LastbitError
from lastbit.launch.metrics.hits import Form, Hit, Printed, all_hits, end_of, named_hits, pattern_hits
from lastbit.launch.metrics.likely import is_no_result, likelihood
from lastbit.launch.metrics.series import MetricSeries, series_of
from lastbit.launch.metrics.spec import quoted

__all__ = ["Candidate", "found", "matched", "named"]

SHOWN = 20
"""Candidates that are shown at most."""

TEXT_LIMIT = 2 << 20
"""Characters, the last of an output (of a file, bytes), that candidates are looked for in."""

_MONTHS_AND_DAYS = r"jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec|mon|tue|wed|thu|fri|sat|sun"
_NO_NAMES = re.compile(
    rf"a|about|after|all|an|and|are|at|by|for|from|in|is|of|on|only|or|over|than|the|to|up|was|with|{_MONTHS_AND_DAYS}"
)


@dataclass(frozen=True)
class Candidate:
    """A number in an output that could be the metric.

    Attributes:
        name: what it stands behind.
        flag: what to add to the command line.
        count: how many values there are.
        value: the last one as printed, with its unit.
        line: the line of the last one, shortened.
    """

    name: str
    flag: str
    count: int
    value: str
    line: str


def named(text: Printed, name: str, stderr: Printed = "") -> MetricSeries:
    r"""Return the numbers that stand behind a name in a text; where none does, in what was printed as errors.

    Raises:
        LastbitError: there are none, or lines of different forms carry the name; it shows what can be written.

    Example:
        >>> series = named("epoch 1 loss 0.2 val_acc: 91.0%\nepoch 2 loss 0.1 val_acc: 93.5%\n", "val_acc")
        >>> series.values, series.unit, series.digits
        ((91.0, 93.5), '%', (3, 3))
    """
    hits, stream = named_hits(text, name), "stdout"
    if not hits and (others := named_hits(stderr, name)):
        hits, text, stream = others, stderr, "stderr"
    if not hits:
        raise LastbitError(f"the output has no number behind the name {name!r}: {_instead(text, name, stderr)}")
    forms = _by_form(hits)
    if len(forms) > 1:
        shown = list(forms.values())[:3]
        flags = [flag for of_one in shown if (flag := _flag_of(text, of_one))]
        choice = " or ".join(flags) or "a pattern between slashes that only one of them matches"
        carry = f"{len(forms)} different lines carry {name!r}"
        if len({of_one[-1].line for of_one in shown}) < len(shown):
            carry = f"{name!r} stands for {len(forms)} different numbers"
        raise LastbitError(f"{carry} ({_each_shown(shown)}): choose one, by {choice}")
    return series_of([hit.number for hit in hits], _where(hits, stream))


def matched(text: Printed, pattern: str, stderr: Printed = "") -> MetricSeries:
    r"""Return the numbers that the group of a pattern holds, wherever it matches within a line; as `named` does.

    What stands before the match on its line must be of one form; a pattern that begins with `.*` takes that in.

    Raises:
        LastbitError: the pattern is none, matches nothing, no number, or lines of different forms, or takes too long.

    Example:
        >>> matched("acc=0.5\nacc=0.75\n", r"acc=(\S+)").values
        (0.5, 0.75)
    """
    stream = "stdout"
    try:
        hits = pattern_hits(text, pattern)
        if not hits and stderr and (others := pattern_hits(stderr, pattern)):
            hits, text, stream = others, stderr, "stderr"
    except ValueError as error:
        raise LastbitError(
            f"--metric '/{pattern}/' holds {str(error)[:60]!r}, which is no number: let its group (...) hold "
            "the number alone"
        ) from None
    if not hits:
        raise LastbitError(f"--metric '/{pattern}/' matches no line of the output: {_instead(text, pattern, stderr)}")
    forms = _by_form(hits)
    if len(forms) > 1:
        raise LastbitError(
            f"--metric '/{pattern}/' matches {len(forms)} different lines ({_each_shown(list(forms.values())[:3])}): "
            "write more of the line that is meant into it, or .* at its beginning to take them all"
        )
    return series_of([hit.number for hit in hits], _where(hits, stream))


def found(printed: Printed, limit: int = SHOWN) -> tuple[Candidate, ...]:
    r"""Return the numbers of an output that have names, with flags that read them; likely metrics first.

    Every flag has been tried on this output, or on the end of a long one. What counts (epochs, steps), the time, and
    what was set beforehand (learning rates, seeds) are no results, and are left out; a flag that asks for one reads it.

    Example:
        >>> [candidate.flag for candidate in found("epoch 1 val_acc: 0.5\nepoch 2 val_acc: 0.6\n")]
        ['--metric val_acc']
    """
    return _candidates(printed, limit, lambda name, hits: not is_no_result(name, hits))


def _candidates(
    printed: Printed, limit: int, offered: Callable[[str, Sequence[Hit]], bool] = lambda name, hits: True
) -> tuple[Candidate, ...]:
    text = end_of(printed, TEXT_LIMIT)
    groups: dict[tuple[str, Form], list[Hit]] = {}
    for hit in all_hits(text):
        if _NO_NAMES.fullmatch(hit.name.lower()):
            continue
        groups.setdefault((hit.name, hit.form), []).append(hit)
    ranked = sorted(groups.items(), key=lambda item: -likelihood(item[0][0], item[0][1], len(item[1])))
    candidates: list[Candidate] = []
    for (name, _), hits in ranked:
        if len(candidates) == limit:
            break
        if offered(name, hits) and (flag := _flag_of(text, hits)):
            last = hits[-1].number
            candidates.append(Candidate(name, flag, len(hits), last.text + last.unit, _short(hits[-1])))
    return tuple(candidates)


def _by_form(hits: Sequence[Hit]) -> dict[Form, list[Hit]]:
    forms: dict[Form, list[Hit]] = {}
    for hit in hits:
        forms.setdefault(hit.form, []).append(hit)
    return forms


def _flag_of(text: Printed, hits: Sequence[Hit]) -> str | None:
    """Return the first flag that reads exactly these hits, or None."""
    wanted = _as_printed(hits)
    for name in _names_of(hits[-1]):
        if _as_printed(named_hits(text, name)) == wanted:
            return f"--metric {quoted(name)}"
    for pattern in _patterns_of(hits):
        try:
            read = pattern_hits(text, pattern)
        except (LastbitError, ValueError):
            continue
        if _as_printed(read) == wanted:
            return f"--metric {quoted(f'/{pattern}/')}"
    return None


def _as_printed(hits: Sequence[Hit]) -> list[tuple[str, str]]:
    # No nan equals another.
    return [(hit.number.text, hit.number.unit) for hit in hits]


def _names_of(hit: Hit) -> Iterator[str]:
    yield hit.name
    # The word before it, where nothing else stands between them: "val acc".
    near = hit.line[max(0, hit.start - 60) : hit.start]
    if before := re.search(r"(?<![\w./@+-])([^\W\d][\w.@-]{0,40})[^\S\n]{1,8}$", near):
        yield f"{before[1]} {hit.name}"


def _patterns_of(hits: Sequence[Hit]) -> Iterator[str]:
    hit = hits[-1]
    if hit.form.sign == "{}":
        leaf = re.escape(hit.name.rpartition(".")[2])
        yield rf'^\s*{{.*"{leaf}": ?([^,}}]+)'
        return
    after = hit.line[hit.start + len(hit.name) :]
    sign = after[: after.find(hit.number.text)]
    # Another run may pad its columns otherwise, and a dot for a quotation mark spares the shell's.
    between = r"\s+" if not sign.strip() else re.sub(r"['\"]", ".", re.escape(sign.strip())) + r"\s*"
    between = r"\s*" + between if sign.strip() and sign[0].isspace() else between
    rest = after[len(sign) + len(hit.number.text) :]
    group = r"([^\s,;|]+)" if re.match(r"[,;|]\S", rest) else r"(\S+)"
    end = rf"\b{re.escape(hit.name)}{between}{group}"
    words = hit.form.before
    if not words:
        yield rf"^[\W\d_]*{end}"
        return
    start = "^" if all(one.line.startswith(words[0]) for one in hits) else r"^[\W\d_]*"
    yield rf"{start}{words[0]}\b.*{end}"
    yield rf"{start}{words[0]}\b.*?{end}"
    yield rf"\b{words[-1]}\b.*{end}"


def _instead(text: Printed, name: str, stderr: Printed) -> str:
    # A counter is offered to who asks for something like it.
    every = _candidates(text, SHOWN) or _candidates(stderr, SHOWN)
    same = [one for one in every if one.name.lower() == name.lower()]
    close = get_close_matches(name, [one.name for one in every], n=5)
    alike = [one for one in every if one.name in close or name in re.split(r"[\W_]+", one.name)]
    candidates = same or alike or found(text) or found(stderr)
    if not candidates:
        return f"it has no {'results' if every else 'numbers'} with names; print one, as in 'val_acc: 0.91'"
    return "write " + " or ".join(one.flag for one in candidates[:5])


def _each_shown(series: Sequence[Sequence[Hit]]) -> str:
    """Show where each of several series stands: by their lines, or by their places in a line that they share."""
    lines = [_short(hits[-1]) for hits in series]
    if len({hits[-1].line for hits in series}) < len(series) or len(set(lines)) < len(lines):
        lines = [_place(hits[-1]) for hits in series]
    return ", ".join(map(repr, lines))


def _place(hit: Hit) -> str:
    """The number of a hit with its name and, of the 40 characters before, two whole words."""
    end = hit.line.find(hit.number.text, hit.start) + len(hit.number.text)
    before = hit.line[max(0, hit.start - 40) : hit.start]
    words = re.search(r"(?:\S+\s+){0,2}$", before)
    return ((words[0] if words else "") + hit.line[hit.start : max(end, hit.start)])[:60].strip()


def _short(hit: Hit) -> str:
    """The line of a hit; of a long one its beginning and the place of the hit, about 60 characters."""
    line = hit.line.strip()
    if len(line) <= 60:
        return line
    place = _place(hit)
    head = " ".join(line[:24].split(" ")[:-1]) or line[:24]
    return f"{line[: line.find(place)]}{place} …" if line.find(place) <= len(head) + 1 else f"{head} … {place}"


def _where(hits: Sequence[Hit], stream: str) -> str:
    lines = "1 line" if len(hits) == 1 else f"{len(hits)} lines like"
    return f"{stream}, {lines} {_short(hits[-1])!r}"
