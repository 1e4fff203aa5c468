"""What the pages say: the list, a report, two studies beside each other, what can be saved; a study that is trained."""

import json
import os
import re
import threading
import time
from html import unescape
from urllib.parse import quote

import pytest
from made_studies import HOSTILE, StudyMaker, taken_out

from lastbit.integrations.serve import kept as kept_module
from lastbit.integrations.serve.drawn import side_by_side
from lastbit.integrations.serve.headline import headline
from lastbit.integrations.serve.kept import Kept
from lastbit.report.blocks import Page, Prose, Table
from lastbit.store import StudyFolder, write_json
from lastbit.studies.kinds import KINDS, open_study

pytest.importorskip("starlette")
pytest.importorskip("httpx")

from served import Client, contents


@pytest.fixture
def studies(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_module, "_REST", 0)
    folder = tmp_path / "studies"
    folder.mkdir()
    return folder


def small(path, *, changed=None, result=True, **told):
    """A study of no runs that has concluded something."""
    facts = {"kind": "audit", "spec": {}, "task": {"name": "digits"}, **told.pop("facts", {})}
    with StudyFolder.create(path, facts) as folder:
        if result:
            sigma = {"estimate": 0.29, "low": 0.22, "high": 0.41, "n": 36}
            known = {"kind": facts["kind"], "verdict": "a verdict", "verdict_kind": "mostly_seed", "finished": True}
            folder.save_result({**known, "sigma_last_bit": sigma, "metric": {"unit": "%"}, **told})
    if changed is not None:
        for file in path.iterdir():
            os.utime(file, (changed, changed))
    return path


def rows(text):
    """What each row of the list says, without its markup."""
    found = re.findall(r"<tr[^>]*>(.*?)</tr>", text.partition("<tbody>")[2], re.S)
    return [" ".join(re.sub(r"<label>.*?</label>|<[^>]+>", " ", row, flags=re.S).split()) for row in found]


def test_the_list_says_kind_state_verdict_number_and_age_the_newest_first(studies):
    now = time.time()
    small(studies / "old", changed=now - 200_000)
    small(studies / "new", changed=now - 3700, finished=False, verdict="unfinished: 1 of 2 runs finished.")
    with StudyFolder.resume(small(studies / "live", finished=False, verdict="unfinished: 0 of 2 runs finished.")):
        answer = Client(studies).get("/")
    assert rows(answer.text) == [
        "live audit of digits running σ last bit 0.29 points (0.22 – 0.41) Unfinished: 0 of 2 runs finished. now",
        "new audit of digits stopped σ last bit 0.29 points (0.22 – 0.41) Unfinished: 1 of 2 runs finished. 1 h ago",
        "old audit of digits finished σ last bit 0.29 points (0.22 – 0.41) A verdict 2 days ago",
    ]
    assert "3 studies" in answer.text


def test_a_study_that_has_concluded_nothing_yet_says_in_the_list_what_its_page_says(studies):
    made = StudyMaker(studies)
    begun, half = (made(seeds=count, finished=False) for count in (2, 3))
    taken_out(begun, "seed")
    taken_out(half, "seed002")
    before = contents(studies)
    client = Client(studies)
    said = rows(client.get("/").text)
    assert contents(studies) == before, "nothing was made, written or touched"
    for path, row in zip((begun, half), sorted(said), strict=True):
        study = open_study(path, snapshot=True)
        assert f"{study.verdict[:1].upper()}{study.verdict[1:]}" in unescape(row)
        assert study.verdict[1:] in unescape(client.get(f"/study/{path.name}").text)
    assert "Unfinished: 0 of 8 runs finished" in sorted(said)[0]
    assert "Unfinished: 8 of 12 runs finished" in sorted(said)[1]


@pytest.mark.parametrize("hidden", [".", "study.json", "runs.sqlite", "result.json"])
def test_a_study_that_nobody_may_read_is_listed_with_the_reason(studies, monkeypatch, hidden):
    # Whoever is root reads everything: the refusal is made up, where the program asks.
    path = small(studies / "one")
    denied = str(path if hidden == "." else path / hidden)

    def refusing(ask):
        def asked(name, *arguments, **options):
            if f"{name}/".startswith(f"{denied}/") and (hidden != "." or str(name) != denied):
                raise PermissionError(13, "Permission denied", str(name))
            return ask(name, *arguments, **options)

        return asked

    monkeypatch.setattr(os, "open", refusing(os.open))
    if hidden == ".":
        for name in ("lstat", "stat"):
            monkeypatch.setattr(os, name, refusing(getattr(os, name)))
    (row,) = rows(Client(studies).get("/").text)
    assert row.startswith("one damaged")
    assert "Permission denied" in row
    assert "write" not in row


def test_a_search_keeps_what_has_every_word(studies):
    for name, verdict in (("one", "much noise"), ("two", "little noise"), ("three", "no <noise>")):
        small(studies / name, verdict=verdict)
    client = Client(studies)
    found = {
        q: {row.split()[0] for row in rows(client.get(f"/?q={quote(q)}").text)} for q in ("NOISE", "noise much", "x")
    }
    assert found == {"NOISE": {"one", "two", "three"}, "noise much": {"one"}, "x": set()}
    assert "1 of 3 studies" in client.get("/?q=little").text
    assert "No study has all of these words" in client.get("/?q=x").text
    assert len(rows(client.get("/?q=mostly+seed").text)) == 3
    assert "<noise>" not in client.get("/?q=%3Cnoise%3E").text


def test_an_empty_folder_says_how_to_fill_it_and_one_that_is_gone_is_empty(studies):
    client = Client(studies)
    assert "lastbit audit --out" in client.get("/").text
    studies.rmdir()
    assert "lastbit audit --out" in Client(studies).get("/").text


def test_a_report_is_that_of_the_command_and_the_folder_stays_as_it_is(studies):
    made = StudyMaker(studies)
    path = made(diverged={(0, 1)}, event="x")
    before = contents(studies)
    client = Client(studies)
    answer = client.get(f"/study/{path.name}")
    result = client.get(f"/study/{path.name}/result.json")
    saved = client.get(f"/study/{path.name}/report.html")
    client.get("/")
    assert contents(studies) == before, "nothing was made, written or touched"
    study, text = open_study(path), unescape(answer.text)
    assert study.verdict[1:] in text
    assert [section.title for section in study.page.sections if section.title not in text] == []
    assert answer.text.count("data-figure=") == saved.text.count("data-figure=") > 3
    assert result.json() == json.loads(json.dumps(study.to_json()))
    for one, name in ((result, f"{path.name}.json"), (saved, f"{path.name}.html")):
        assert one.headers["content-disposition"] == f"attachment; filename*=UTF-8''{name}"
        assert one.headers["content-security-policy"].startswith("sandbox;")
    assert saved.text.rstrip().endswith("</html>")


def test_no_script_stands_in_a_page_but_as_a_file_of_the_server(studies):
    made = StudyMaker(studies)
    path, other = (
        made(name=HOSTILE, label="{}" + HOSTILE, message=HOSTILE, event=HOSTILE, diverged={(0, 1)}) for _ in range(2)
    )
    small(studies / "other", verdict=HOSTILE, facts={"task": {"name": HOSTILE}})
    client = Client(studies)
    for address in (f"/study/{path.name}", "/", f"/compare?a={path.name}&b={other.name}"):
        answer = client.get(address)
        assert answer.status_code == 200
        scripts = re.findall(r"<script([^>]*)>", answer.text)
        assert scripts
        for script in scripts:
            data = re.fullmatch(r' type="application/(json|octet-stream)".*', script)
            assert data or re.fullmatch(r' defer src="/static/[a-z.]+"', script), script
        assert not re.search(r"<[^>]+ on\w+=|javascript:", re.sub(r'"[^"]*"', '""', answer.text))
        assert "<img src=x" not in answer.text
        assert ("'unsafe-inline'" in answer.headers["content-security-policy"]) == (address != "/")


@pytest.mark.parametrize("name", ["page.js", "style.css", "plotly.min.js.gz", "follow.js", "serve.css"])
def test_what_pages_ask_for_is_there_and_kept(studies, name):
    client = Client(studies)
    answer = client.get(f"/static/{name}")
    assert answer.status_code == 200
    assert len(answer.text) > 1000
    assert answer.headers["content-type"].startswith(("text/css", "text/javascript"))
    again = client.get(f"/static/{name}", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_an_answer_is_sent_again_only_when_the_study_has_changed(studies):
    made = StudyMaker(studies)
    path, other = made(finished=False), made()
    client = Client(studies)
    tags = []
    for change in (lambda: None, lambda: write_json(path / "x.json", {}), lambda: one_more(path)):
        change()
        time.sleep(0.6)
        for address in (f"/study/{path.name}", f"/compare?a={path.name}&b={other.name}", "/"):
            tag = client.get(address).headers["etag"]
            assert client.get(address, headers={"if-none-match": tag}).status_code == 304
            tags.append(tag)
    assert tags[:3] == tags[3:6]
    assert not set(tags[:3]) & set(tags[6:])


def one_more(path):
    """Let a run of a study be written again, as the last of it."""
    with StudyFolder.resume(path) as folder:
        folder.add(folder.runs()[-1])


def test_a_study_that_is_trained_is_shown_as_far_as_it_is(studies):
    path = StudyMaker(studies)(finished=False)
    taken = taken_out(path, "seed002")
    client = Client(studies)
    assert "8 of 12 runs finished" in client.get(f"/study/{path.name}").text
    assert "stopped" in client.get(f"/study/{path.name}").text
    with StudyFolder.resume(path) as folder:
        before = contents(path)
        time.sleep(0.6)
        assert 'class="state running"' in client.get(f"/study/{path.name}").text
        assert contents(path) == before
        folder.add(taken["seed002-p000"])
        deadline = time.monotonic() + 20
        while "9 of 12 runs finished" not in client.get(f"/study/{path.name}").text:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_two_studies_stand_beside_each_other_with_what_differs_first(studies):
    made = StudyMaker(studies)
    one, two = made(seeds=3), made(seeds=2, name="other")
    answer = Client(studies).get(f"/compare?a={one.name}&b={two.name}")
    headings = re.findall(r"<h2>(.*?)</h2>", answer.text)
    assert headings[2] == "Where they differ"
    pairs = headings[3:]
    assert [left.replace(" · A", " · B") for left in pairs[::2]] == pairs[1::2]
    differing = answer.text.partition("Where they differ")[2].partition("</section>")[0]
    cells = [re.sub("<[^>]+>", "", cell) for cell in re.findall(r"<td.*?</td>", differing)]
    assert dict(zip(cells[::3], zip(cells[1::3], cells[2::3], strict=True), strict=True)) == {
        "seeds": ("3", "2"),
        "name": ("digits", "other"),
        "processor": ("digits", "other"),
    }
    names = re.findall(r'id="(figure-[^"]+)"', answer.text)
    assert len(names) == len(set(names)) > 4
    again = Client(studies).get(f"/compare?a={one.name}&b={one.name}")
    assert again.status_code == 400
    assert "choose another study" in again.text


def compared(one, two):
    """What the table of differences says of two results: its sentences, and the row of each name."""
    first = Page(title="A", subtitle="", badge="", tone="failure", verdict="", advice="", sections=[], footer="")
    blocks = side_by_side(first, first, (one, two))[0].blocks
    rows = {row.cells[0]: row.cells[1:] for block in blocks if isinstance(block, Table) for row in block.rows}
    return [text for block in blocks if isinstance(block, Prose) for text in block.paragraphs], rows


def test_what_differs_is_said_once_in_the_words_of_json():
    one = {"kind": "audit", "spec": {"program": {"lr": 0.3, "nesterov": True}}, "task": {"settings": {"lr": 0.3}}}
    two = {"kind": "audit", "spec": {"program": {"lr": 0.1, "nesterov": False}}, "task": {"settings": {"lr": 0.1}}}
    assert compared(one, two) == ([], {"lr": ("0.3", "0.1"), "nesterov": ("true", "false")})
    two["task"]["settings"]["lr"] = 0.2
    _, rows = compared(one, two)
    assert rows["spec.program.lr"] == ("0.3", "0.1")
    assert rows["task.settings.lr"] == ("0.3", "0.2")
    one["spec"] = two["spec"] = {"fingerprint": "0123456789-abcdefghijk"}
    two["spec"] = {"fingerprint": "0123456789-bbcdefghijk"}
    assert compared(one, two)[1]["fingerprint"] == ("01234567-abcdefgh", "01234567-bbcdefgh")


def test_arms_are_numbered_and_of_two_kinds_only_what_both_have_is_compared():
    arms = {"kind": "compare", "spec": {"arms": [{"lr": 0.1}, {"lr": 0.3, "change": ["a", "b"]}]}}
    fewer = {"kind": "compare", "spec": {"arms": [{"lr": 0.1}, {"lr": 0.5}]}}
    assert compared(arms, fewer) == ([], {"lr": ("0.3", "0.5"), "change": ("a, b", "–")})
    said, rows = compared(arms, {"kind": "trace", "spec": {"every": 3}})
    assert said == ["They are of two kinds: what only one kind has is not listed."]
    assert rows == {"kind": ("compare", "trace")}
    assert compared(arms, arms) == (["In no setting, task or version."], {})


def test_a_comparison_needs_two(studies):
    small(studies / "one")
    client = Client(studies)
    for asked in ("", "?a=one", "?b=one", "?a=&b="):
        assert client.get(f"/compare{asked}").status_code == 400
    assert client.get("/compare?a=one&b=none").status_code == 404


@pytest.mark.parametrize("kind", ["audit", "trace", "eos", "sharpness"])
def test_studies_of_a_former_format_have_their_number_too(kind, pytestconfig):
    result = json.loads((pytestconfig.rootpath / "tests/data/studies-format-1" / kind / "result.json").read_text())
    words = {"audit": "σ last bit 0.98 points", "trace": "rise 0.0 decades", "eos": " 0.72", "sharpness": " 0.40"}
    assert words[kind] in headline(kind, result)


def test_the_number_has_the_digits_of_the_report():
    ratio = {"estimate": 1.0083, "low": 0.91, "high": 1.1, "n": 30}
    assert headline("eos", {"ratio_tail": ratio}).endswith(" 1.01 (0.91 – 1.10)")


def test_programs_that_part_are_listed_with_the_step():
    assert headline("same", {"steps": 30, "first_step": 7}) == "differs from step 7 on"
    assert headline("same", {"steps": 30, "first_step": None}) == "compared steps 30"


@pytest.mark.parametrize("kind", [*KINDS, "unknown"])
@pytest.mark.parametrize("result", [{}, {"sigma_last_bit": 3}, {"steps": "x"}, {"decades": None, "whole": []}])
def test_a_result_without_its_number_has_none(kind, result):
    assert headline(kind, result) == ""


def test_a_value_is_made_once_for_all_who_ask_and_anew_when_its_source_changes():
    kept, source, made = Kept(2), [1], []

    def make():
        made.append(source[0])
        time.sleep(0.01)
        return source[0]

    askers = [threading.Thread(target=kept.get, args=("a", lambda: source[0], make)) for _ in range(20)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert made == [1]
    source[0] = 2
    time.sleep(0.2)  # longer than what was made is let rest
    assert kept.get("a", lambda: source[0], make) == 2
    for name in "bc":
        kept.get(name, lambda: 0, make)
    assert kept.get("a", lambda: source[0], make) == 2
    assert len(made) == 5, "of two that are kept, the one asked for first is made again"
