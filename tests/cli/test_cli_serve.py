"""`lastbit serve` on the command line: what it refuses in one line, what it prints, how it ends."""

import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from http.cookiejar import CookieJar

import pytest

from lastbit.cli import main


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "studies").mkdir()
    return tmp_path / "studies"


def refused(words, capsys):
    assert main(["serve", *map(str, words)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    return told.err


def test_a_folder_that_is_none_or_one_study_is_told(folder, tmp_path, capsys, monkeypatch):
    assert "there is no folder nowhere" in refused(["nowhere"], capsys)
    monkeypatch.chdir(tmp_path)
    assert "there is no folder lastbit-studies" in refused([], capsys)
    (folder / "study.json").write_text("{}")
    assert f"{folder} is one study: name the folder that holds it, lastbit serve {tmp_path}" in refused(
        [folder], capsys
    )


@pytest.mark.parametrize("token", ["", "short", "fifteen-letters", "a" * 20 + "/", "ä" * 20, "a b" * 10])
def test_a_token_that_could_be_guessed_or_not_be_written_is_refused(folder, token, capsys):
    assert "a token must have at least 16 letters" in refused([folder, "--token", token], capsys)


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_without_the_extra_it_says_how_to_get_it(folder, missing, capsys, monkeypatch):
    monkeypatch.setattr("lastbit.cli.serve.find_spec", lambda name: None if name == missing else object())
    assert f"lastbit serve needs {missing}: pip install 'lastbit[serve]'" in refused([folder], capsys)


def test_a_port_that_is_taken_and_a_host_that_is_none_are_told(folder, capsys, monkeypatch):
    monkeypatch.setattr("lastbit.cli.serve.find_spec", lambda name: object())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused([folder, "--port", port], capsys)
    assert f"cannot listen at 127.0.0.1, port {port} (address already in use): --port 0 takes a free one" in said
    assert "--host no.such.invalid is no address" in refused([folder, "--host", "no.such.invalid"], capsys)
    assert "192.0.2.1 is no address of this machine" in refused([folder, "--host", "192.0.2.1"], capsys)
    for port in ("70000", "-1", "x"):
        refused([folder, "--port", port], capsys)


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_its_address_shows_the_studies_and_ends_as_other_commands_do(folder, sign, pytestconfig):
    pytest.importorskip("starlette")
    pytest.importorskip("uvicorn")
    shutil.copytree(pytestconfig.rootpath / "tests" / "data" / "studies-format-1" / "audit", folder / "audit")
    server = subprocess.Popen(
        [sys.executable, "-m", "lastbit", "serve", str(folder), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert select.select([server.stdout], [], [], 60)[0]
        line = server.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{32}$", line).group()
        handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(CookieJar())
        opener = urllib.request.build_opener(*handlers)
        with opener.open(address, timeout=60) as answer:
            assert answer.url == address.partition("?")[0]
            assert "/study/audit" in answer.read().decode()
            assert answer.headers["server"] is None
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.build_opener(handlers[0]).open(address.partition("?")[0], timeout=60)
        os.kill(server.pid, sign)
        out, error = server.communicate(timeout=60)
    finally:
        server.kill()
        server.wait()
    assert server.returncode == 130
    assert (out, error) == ("", "Ctrl-C ends it\nerror: stopped\n")
