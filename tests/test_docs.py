"""What README and docs show is what happens: each snippet runs alone, commands are understood, tables and maths render.

Pages are read by a CommonMark parser with GFM's tables. A snippet that does not run as it stands says why in its info
string: "python excerpt: REASON", one that takes seconds "python slow: REASON", and output that no test compares with a
run is "console example: REASON".
"""

import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest
import typer.main
from markdown_it import MarkdownIt
from recipes import recipes

import lastbit.studies.pde
from lastbit.cli import main
from lastbit.cli.app import app
from lastbit.integrations.log import LOGGERS
from lastbit.studies.frame.planning import plan_of
from lastbit.studies.kinds import KINDS

ROOT = Path(__file__).parents[1]
FRONT = ROOT / "README.md"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "bench").glob("*.md"))]
PROSE = [
    page
    for page in PAGES
    if page.name not in ("CHANGELOG.md", "RESULTS.md", "evidence.md", "paper.md", "paper-medium.md")
]
"""Pages whose formulas are maths; the others are records."""

PARSER = MarkdownIt("commonmark").enable("table")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
each_prose = pytest.mark.parametrize("page", PROSE, ids=lambda page: page.name)


@cache
def tokens(page):
    return PARSER.parse(page.read_text("utf-8"))


def blocks(page, language):
    """The fenced blocks of a language, each with what its info string says besides."""
    fences = [token for token in tokens(page) if token.type == "fence" and token.info.split(" ")[0] == language]
    return [(token.content, token.info.partition(" ")[2]) for token in fences]


def inline(page):
    """The parts of a page's running text and tables: text, code spans, links and images."""
    return [part for token in tokens(page) if token.type == "inline" for part in token.children]


def snippets(language):
    found = [(page, block, said) for page in PAGES for block, said in blocks(page, language)]
    return [pytest.param(*one, id=f"{one[0].name}-{i}") for i, one in enumerate(found)]


@pytest.mark.parametrize(("page", "code", "said"), snippets("python"))
def test_each_python_snippet_runs_alone(page, code, said, tmp_path, monkeypatch):
    assert re.fullmatch(r"|(excerpt|slow): \S.*", said), f"{page.name}: a mark without its reason: {said!r}"
    if not said:
        monkeypatch.chdir(tmp_path)
        # Processes are begun where a snippet runs as a file.
        monkeypatch.setattr("lastbit.train.executors.choose.default_workers", lambda: 1)
        exec(compile(code, str(page), "exec"), {"__name__": "docs"})


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize(("page", "code", "said"), snippets("python"))
def test_each_python_snippet_runs_as_a_file_of_its_own(page, code, said, tmp_path):
    (tmp_path / "copied.py").write_text(code, "utf-8")
    if not said.startswith("excerpt"):
        subprocess.run([sys.executable, "copied.py"], cwd=tmp_path, check=True, timeout=300)


def test_the_readme_shows_the_whole_example():
    code, _ = blocks(FRONT, "python")[0]
    example = (ROOT / "examples" / "my_task.py").read_text()
    assert code.strip() in example


class Understood(BaseException):
    """A command came as far as its settings, which are valid."""


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with every file that the pages name."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (tmp_path / "my_task.py").write_text((ROOT / "examples" / "my_task.py").read_text().replace("task()", "make()"))
    (tmp_path / "study.toml").write_text("lr = 0.05\n")
    (tmp_path / "recipe.py").write_text(recipes()[1].code)
    (tmp_path / "weights.safetensors").touch()
    (tmp_path / "docs" / "images").mkdir(parents=True)
    (tmp_path / "old.csv").write_text("seed,accuracy\n1,97.1\n2,97.4\n3,96.9\n4,97.2\n")
    (tmp_path / "new.csv").write_text("seed,accuracy\n1,98.0\n2,98.4\n3,98.3\n4,98.1\n")
    for name in ("DIR", "first"):
        shutil.copytree(ROOT / "tests" / "data" / "studies-format-1" / "audit", tmp_path / name)
    return tmp_path


@pytest.fixture
def until_understood(monkeypatch):
    """Let a command that would train or simulate read its settings, and stop there."""

    def make(kind, task=None, *, resume=None, from_audit=None, **settings):
        if from_audit is not None and kind.of_audit is not None:  # nothing is trained, and no setting is taken
            raise Understood
        on = ("executor", "replicas", "ray_address", "per_run_cpus", "per_run_gpus", "memory_format")
        for name in ("out", "workers", "threads", *on, "quiet", "trust", "checkpoint_seconds"):
            settings.pop(name, None)
        arms = settings.pop("arms", ())
        plan_of(kind, task, settings, arms=arms)
        raise Understood

    # First where it was imported to: who is imported here for the first time must have the real one to go back to.
    for kind in KINDS:
        import_module(f"lastbit.studies.{kind}.kind")
    for kind in ("compare", "remedy", "same"):
        monkeypatch.setattr(f"lastbit.studies.{kind}.kind.make", make)
    monkeypatch.setattr("lastbit.studies.frame.make.make", make)

    def understood(*told, **more):
        raise Understood

    for name in ("joined", "gate_status"):  # a session that is joined has valid settings and programs
        monkeypatch.setattr(f"lastbit.studies.gate.gate.{name}", understood)
    for name in LOGGERS:
        monkeypatch.setattr(f"lastbit.integrations.{name}.send", understood)
    monkeypatch.setattr("lastbit.studies.gate.contender.Contender.check", lambda one: None)
    for name in ("run.resolve_device", "run.paper_report", "listing.listed"):  # by then claims and settings are valid
        monkeypatch.setattr(f"lastbit.studies.paper.{name}", understood)
    monkeypatch.setattr("lastbit.cli.serve._check_folder", understood)  # the first thing that is looked at
    for found in iter_modules(lastbit.studies.pde.__path__, "lastbit.studies.pde."):
        module = import_module(found.name)
        if (validated := getattr(module, "validated", None)) is not None:

            def check(config, values, *, flag="", validated=validated):
                validated(config, values, flag=flag)
                raise Understood

            monkeypatch.setattr(module, "validated", check)


def words_of(line):
    """The words after `lastbit` of a line shown, up to a pipe; None for another program's."""
    words = shlex.split(line, comments=True)
    if not words or words[0].rsplit("/")[-1] != "lastbit":
        return None
    return words[1 : words.index("|")] if "|" in words else words[1:]


def shown_commands(page):
    lines = [line[2:] for block, _ in blocks(page, "console") for line in block.splitlines() if line.startswith("$ ")]
    lines += [part.content for part in inline(page) if part.type == "code_inline" and part.content != "lastbit"]
    return {line: words for line in lines if re.match(r"(\S*/)?lastbit\s", line) and (words := words_of(line))}


@each_page
def test_commands_are_understood(page, desk, until_understood, capsys):
    alone = {name for parameter in typer.main.get_command(app).params for name in parameter.opts}
    for line, words in shown_commands(page).items():
        # An option in place of a command acts on this machine, so that it is only looked up.
        if words[0].startswith("-"):
            assert words[0] in alone, line
            continue
        command_alone = [word for word in words if not word.startswith("-")] == words and len(words) < 3
        takes_more = ("pde", "paper", "report", "log", "compare", "same", "gate", "serve")
        asked = [*words, "--help"] if command_alone and words[0] in takes_more else words
        try:
            code = main(asked)
        except Understood:
            code = 0
        assert code == 0, f"{line}: {capsys.readouterr().err}"


def test_a_command_that_is_not_understood_is_seen(desk, until_understood, capsys):
    for words in (["audit", "--seed", "3"], ["eos", "--lr", "fast"], ["pde", "phase", "--dt", "1"], ["watch"]):
        assert main(words) == 2
    assert main(["pde", "stability", "heat", "--dx", "-1"]) == 2
    assert "--dx" in capsys.readouterr().err


def outputs(quick):
    """Commands that are shown with what they print, by whether that takes under a second."""
    found = []
    for page in PAGES:
        for block, said in blocks(page, "console"):
            for part in re.split(r"^(?=\$ )", block, flags=re.M):
                command, _, printed = part.removeprefix("$ ").partition("\n")
                fast = re.match(r"lastbit pde stability (?!deep)", command) is not None
                if printed.strip() and not said and fast is quick:
                    found.append(pytest.param(page, command, printed, id=f"{page.name}-{len(found)}"))
    return found


def compare(command, printed, capsys):
    """Each line shown is printed, in that order; what "..." stands for may be anything."""
    words = words_of(command)
    assert words is not None, f"{command}: mark as an example what lastbit does not print"
    assert main(words) == 0
    actual = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    for line in printed.splitlines():
        wanted = " ".join(line.split())
        if wanted not in ("", "..."):
            assert wanted in actual, f"{command} does not print {line!r}"
            actual = actual[actual.index(wanted) + 1 :]


@pytest.mark.parametrize(("page", "command", "printed"), outputs(quick=True))
def test_output_is_what_a_quick_command_prints(page, command, printed, desk, capsys):
    compare(command, printed, capsys)


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize(("page", "command", "printed"), outputs(quick=False))
def test_output_is_what_a_command_prints(page, command, printed, desk, capsys):
    compare(command, printed, capsys)


@each_page
def test_console_blocks_say_why_they_are_not_run(page):
    for _, said in blocks(page, "console"):
        assert re.fullmatch(r"|example: \S.*", said), f"{page.name}: a mark without its reason: {said!r}"


def test_make_has_every_target_that_is_named():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    for page in PAGES:
        assert set(re.findall(r"(?:`|\$ )make ([a-z-]+)", page.read_text("utf-8"))) <= targets, page.name


def table_faults(text):
    """What a reader would see of tables that do not render: rows cut or filled up, and bars in running text."""
    lines, found, parsed = text.splitlines(), [], PARSER.parse(text)
    for token in parsed:
        if token.type == "table_open":
            rows = lines[slice(*token.map)]
            cells = [len(re.findall(r"(?<!\\)\|", row.strip().strip("|"))) + 1 for row in rows]
            found += [row for row, count in zip(rows, cells, strict=True) if count != cells[0]]
        elif token.type == "inline":
            found += [line for line in token.content.splitlines() if re.match(r"\s*\|.*\|", line) and token.level == 1]
    return found


@each_page
def test_tables_render(page):
    assert table_faults(page.read_text("utf-8")) == []
    # A row with leading bar belongs to a table: one that a blank line or a lazy row has cut off is seen here.
    inside = {n for token in tokens(page) if token.type in ("table_open", "fence") for n in range(*token.map)}
    bars = [line for n, line in enumerate(page.read_text("utf-8").splitlines()) if n not in inside and line[:1] == "|"]
    assert bars == []


@pytest.mark.parametrize(
    "text",
    [
        "| a | b |\n| --- | --- |\n| 1 | `|x|` |\n",
        "| a | b |\n| --- | --- |\n| 1 |\n",
        "| a | `|z|` |\n| --- | --- |\n| 1 | 2 |\n",
        "text\n| a | b |\n| 1 | 2 |\n",
    ],
)
def test_a_table_that_does_not_render_is_seen(text):
    assert table_faults(text)


def links(page):
    """The files that a page links to or draws, each with the heading it names (empty for none)."""
    for part in inline(page):
        target = part.attrs.get("href") or part.attrs.get("src")
        if target and not re.match(r"https?://", str(target)):
            path, _, heading = str(target).partition("#")
            yield ((page.parent / path).resolve() if path else page), heading


def headings(page):
    """The names under which a page's headings are linked to."""
    found = tokens(page)
    titles = [found[i + 1].content for i, token in enumerate(found) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@each_page
def test_links_lead_somewhere(page):
    for target, heading in links(page):
        assert target.exists(), target
        assert not heading or heading in headings(target), f"{target.name} has no heading #{heading}"
    # What looks like a link and is none: its brackets are shown as they stand.
    assert not [part.content for part in inline(page) if part.type == "text" and re.search(r"\]\(|\]\[", part.content)]


def test_every_page_is_reached_from_the_front():
    reached, todo = set(), [FRONT]
    while todo:
        page = todo.pop()
        reached.add(page)
        todo += [target for target, _ in links(page) if target.suffix == ".md" and target not in reached]
    assert set(PAGES) <= reached


@each_page
def test_files_that_are_named_exist(page):
    """A page may name a file by its path from the root of the project, or one that make leaves behind."""
    text, made = page.read_text("utf-8"), (ROOT / "Makefile").read_text("utf-8")
    for path in re.findall(r"(?<![\w./-])((?:src|tests|bench|docs|examples)/[\w./-]*[\w/])", text):
        assert (page.parent / path).exists() or (ROOT / path).exists() or f"={path} " in made, path


@each_page
def test_tests_that_are_named_exist(page):
    written = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    for name in re.findall(r"`(test_\w+)`", page.read_text("utf-8")):
        assert f"def {name}(" in written, f"{page.name} names {name}, which is gone"


SIGNS = re.compile("[\u0370-\u03ff∂∇√∑∏∫∞≪≫⟨⟩⁰¹²³⁴-⁹⁺⁻₀-₉ᵀ]")
"""Signs that stand in formulas alone."""


def maths_faults(text):
    """What of a page's maths a host that knows `$` would not draw, or a plain CommonMark parser would change."""
    found = []
    for token in PARSER.parse(text):
        if token.type == "code_block":
            found.append(f"indented: {token.content}")
        if token.type != "inline":
            continue
        if token.content.startswith("$$"):
            body = token.content.removeprefix("$$").removesuffix("$$")
            kept = all(part.type in ("text", "softbreak") for part in token.children)
            plain = "".join(part.content or "\n" for part in token.children)
            if not (token.content.endswith("$$") and "$" not in body and kept and plain == token.content):
                found.append(token.content)
            continue
        # What the parser leaves of each run of text, where code, emphasis and links end it.
        runs = [""]
        for part in token.children:
            if part.type in ("text", "softbreak"):
                runs[-1] += part.content or " "
            elif part.type == "code_inline":
                found += [part.content] * bool(SIGNS.search(part.content) or "$" in part.content)
                runs[-1] += "code"
            else:
                runs.append("")
        for run in runs:
            prose = re.sub(r"(?<![\w$])\$(?=[^\s$])([^$]*?)(?<=[^\s$])\$(?![\w$])", "maths", run)
            found += [run] * bool("$" in prose or SIGNS.search(prose))
        drawn = re.findall(r"\$([^$\n]+)\$", token.content)
        found += [one for one in drawn if re.search(r"\\[^A-Za-z]", one)]
        found += [one for one in drawn if not balanced(one)]
    return found


def balanced(maths):
    pairs = (r"{", r"}"), (r"\\left\b", r"\\right\b")
    return all(len(re.findall(one, maths)) == len(re.findall(other, maths)) for one, other in pairs)


@each_prose
def test_formulas_are_maths(page):
    assert maths_faults(page.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        "at `2/η` it",
        "the rate η is",
        "half $x + 1 of it",
        "a $ x$ b",
        "a $x_{1$ b",
        r"a $\{x\}$ b",
        "a $x*y$ and $z*w$ b",
        "$$\na_*b* = 1\n$$",
        "$$\nx = 1\n",
        "text\n\n    x = 1\n",
    ],
)
def test_maths_that_would_not_be_drawn_is_seen(text):
    assert maths_faults(text)


def test_maths_that_is_drawn_passes():
    text = "At $2/\\eta$, and (with $x_i^2 + y_{i+1}$) so on; `lr` is code.\n\n$$\na_i + b_i = 1\n$$\n"
    assert maths_faults(text) == []
