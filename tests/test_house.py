"""Rules of the house: no number is worded outside `report/formatting`, and long parameter lists have a reason."""

import ast
import itertools
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "lastbit"
WORDING = SOURCE / "report" / "formatting"

_NUMERIC = re.compile(r"[.,+]|[deEfFgGn%]$")
_NAME = re.compile(r"0\d+[dx]$")
"""A number padded with zeros is part of a name."""


def numeric_formats(source: str) -> list[tuple[int, str]]:
    """Lines and format specs that round a number or put its thousands apart, however they are written."""
    found = []
    for node in ast.walk(ast.parse(source)):
        specs: list[str] = []
        if isinstance(node, ast.FormattedValue) and isinstance(node.format_spec, ast.JoinedStr):
            # A part that is computed stands for a digit.
            specs = [
                "".join(
                    getattr(part, "value", "") if isinstance(part, ast.Constant) else "1"
                    for part in node.format_spec.values
                )
            ]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "format" and len(node.args) == 2:
            specs = [str(getattr(node.args[1], "value", ""))]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "format":
            template = getattr(getattr(node.func, "value", None), "value", "")
            specs = re.findall(r"\{[^{}:]*:([^{}]+)\}", str(template))
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and isinstance(node.left, ast.Constant):
            specs = re.findall(r"%[-+ #0]*\d*(\.\d+)?[eEfFgGd]", str(node.left.value)) and [".1f"]
        found += [(node.lineno, spec) for spec in specs if _NUMERIC.search(spec) and not _NAME.match(spec)]
    return found


def _files() -> dict[str, str]:
    rooms = [path for room in ("studies", "report", "cli") for path in sorted((SOURCE / room).rglob("*.py"))]
    return {str(path.relative_to(SOURCE)): path.read_text() for path in rooms if path.parent != WORDING}


def test_numbers_are_worded_in_one_place():
    worded = {name: found for name, text in _files().items() if (found := numeric_formats(text))}
    assert not worded, f"word these numbers by functions of report/formatting: {worded}"


@pytest.mark.parametrize(
    "code",
    [
        'f"{x:.3g}"',
        'f"{x:,}"',
        'f"{x:.0%}"',
        'f"{x:g}"',
        'f"{x:+.2f}"',
        'f"{x:.{d}g}"',
        'f"{x:>8.3g}"',
        'f"{x:{d}g}"',
        'f"{x:d}"',
        'format(x, ".3g")',
        '"{:.3g}".format(x)',
        '"%.3g" % x',
    ],
)
def test_every_way_to_word_a_number_is_seen(code):
    assert numeric_formats(code)


@pytest.mark.parametrize(
    "code", ['f"{x}"', 'f"{x:<10}"', 'f"run-{x:03d}"', 'f"{x!r:>{w}}"', '"{}".format(x)', "x % 3", 'f"{d:%Y-%m}"']
)
def test_text_and_widths_are_no_numbers(code):
    assert not numeric_formats(code)


_COUNTED = re.compile(
    r" (?:\w+ )?(?:seeds|steps|runs|twins|measurements|examples|epochs|trainings|perturbations|processes|threads|"
    r"degrees|samples|layers|outputs|points|parameters|weights|trials)\b"
)
NEVER_ONE = {
    "kind": "a word",
    "init": "a word",
    "number(low)": "a rate",
    "count(last.step)": "the number of a step",
    "NO_SPREAD": "a word",
    "steps": "a share",
    "rate": "a rate",
    "_MOST_SEEDS": "a million",
    "seeds": "three or more",
    "count": "more than are drawn",
    "count(len(runs))": "more than are shown",
    "width": "said above 1 alone",
    "total.n": "two seeds or more",
    "sigma.n": "two seeds or more",
    "n": "ten or more",
    "len(members)": "a sweep's",
    "count(len(cells))": "a sweep's",
}
"""Numbers before a plural that cannot be 1, as they are written, with the reason."""


def numbers_before_plurals(source: str) -> list[str]:
    """Expressions that stand before a plural in a text and are not worded by `plural`."""
    texts = [node.values for node in ast.walk(ast.parse(source)) if isinstance(node, ast.JoinedStr)]
    pairs = [pair for values in texts for pair in itertools.pairwise(values)]
    return [
        ast.unparse(one.value)
        for one, rest in pairs
        if isinstance(one, ast.FormattedValue) and isinstance(rest, ast.Constant) and _COUNTED.match(str(rest.value))
    ]


def test_one_of_something_is_not_several():
    found = {
        f"{path.relative_to(SOURCE)}: {number}"
        for path in SOURCE.rglob("*.py")
        if "pde" not in path.parts and path.name != "pde.py"
        for number in numbers_before_plurals(path.read_text("utf-8"))
        if number not in NEVER_ONE
    }
    assert not found, f"word these by plural(number, noun): {found}"


def test_a_number_before_a_plural_is_seen():
    assert numbers_before_plurals('f"{n} seeds, {len(x)} test examples, {a} of {b} seeds"') == ["n", "len(x)", "b"]
    assert not numbers_before_plurals("f\"{plural(n, 'seed')} of {name}\"")


STUDY = "every setting is a keyword argument with its default, which help() shows"
PUBLIC = "a public measurement: what is measured, then options of which each has a default"
LEFT = "one call with keywords; a class for them would have one user"
TORCH = "the parameters are those of the torch operation that it stands for"

MORE_THAN_SIX = {
    "cli.compare:_compare": "what the command line has besides the settings, each an option",
    "cli.output:present": "what is written beside the report, each a keyword that may be left out",
    "cli.report:report": "what the command line has, each an option",
    "core.keywords:setting": "how a field is shown, as keywords",
    "studies.frame.make:make": "what every study takes beside its settings, as keywords",
    "curvature.stochastic:batch_sharpness": PUBLIC,
    "curvature.eigen:top_eigenpairs": PUBLIC,
    "curvature.fused:_BatchNorm.forward": TORCH,
    "curvature.fused:_BatchNormBackward.forward": TORCH,
    "curvature.fused:_batch_normalised": TORCH,
    "curvature.fused:_convolved.convolve": TORCH,
    "curvature.layers:stable_learning_rates": PUBLIC,
    "curvature.monitor:StabilityMonitor.__init__": PUBLIC,
    "launch.forced.run:run_forced": "what is run, and how often and how closely it is looked at, as keywords",
    "optimizers.registry:register": "one row of the register: what is known of an optimizer, every part optional",
    "pde.cnn.linear_flow:simulated_bounds": PUBLIC,
    "pde.cnn.phase:phase_diagram": PUBLIC,
    "pde.cnn.time_loop:simulate": PUBLIC,
    "pde.cnn.status:flow_status": "the histories that the rule reads, and its two precisions",
    "pde.cnn.window:find_window": PUBLIC,
    "pde.deep.bounds:bounds_at": PUBLIC,
    "pde.deep.bounds:deep_bounds": PUBLIC,
    "pde.deep.network:DeepProblem.of": "one parameter is one field of the problem",
    "pde.deep.network:deep_problem": PUBLIC,
    "pde.linear.simulation:simulate": PUBLIC,
    "report.figures.eos_edge:edge_curves": LEFT,
    "stats.last_bit_of_difference:last_bit_in_difference": PUBLIC,
    "stats.several_arms:_pair": LEFT,
    "stats.two_arms:_concluded": LEFT,
    "stats.two_arms:compare_arms": PUBLIC,
    "studies.remedy.step_limits:step_limit": PUBLIC,
    "train.run:run_training": "what is trained, where, and who is told of it; each listener may be left out",
}
"""Functions of more than six parameters, with the reason. It only grows where a reason does."""


def long_parameter_lists(tree: ast.AST, name: str = "") -> dict[str, int]:
    """Functions and methods with more than six parameters (self and cls not counted), by their qualified names."""
    found = {}
    for node in ast.iter_child_nodes(tree):
        scope = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        inside = f"{name}.{node.name}".lstrip(".") if scope else name
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            taken = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
            count = sum(argument.arg not in ("self", "cls") for argument in taken)
            if count > 6:
                found[inside] = count
        found |= long_parameter_lists(node, inside)
    return found


def test_more_than_six_parameters_have_a_reason():
    found = set()
    for path in SOURCE.rglob("*.py"):
        module = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        found |= {f"{module}:{name}" for name in long_parameter_lists(ast.parse(path.read_text("utf-8")))}
    new, stale = sorted(found - set(MORE_THAN_SIX)), sorted(set(MORE_THAN_SIX) - found)
    assert not new, f"take fewer parameters, or give the reason in MORE_THAN_SIX: {new}"
    assert not stale, f"these take fewer by now, or are gone: remove them from MORE_THAN_SIX: {stale}"


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("def f(a, b, c, d, e, g): pass", {}),
        ("def f(a, b, c, d, e, g, h): pass", {"f": 7}),
        ("def f(a, b, /, c, *, d, e, g, h): pass", {"f": 7}),
        ("class C:\n async def m(self, a, b, c, d, e, g): pass\n def n(self, a, b, c, d, e, g, h): pass", {"C.n": 7}),
        ("def o():\n if 1:\n  def f(a, b, c, d, e, g, h): pass", {"o.f": 7}),
    ],
)
def test_long_parameter_lists_are_seen(code, names):
    assert long_parameter_lists(ast.parse(code)) == names
