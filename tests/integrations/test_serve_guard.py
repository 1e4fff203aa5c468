"""Nobody without the token sees anything, no other site's page gets one, and no answer lets a browser do more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastbit.integrations.serve.guard import Hosts, allowed_hosts, is_loopback

pytest.importorskip("starlette")
pytest.importorskip("httpx")

from served import TOKEN, Client

PATHS = ["/", "/study/a", "/study/a/result.json", "/study/a/report.html", "/compare?a=a&b=a", "/static/page.js", "/x"]


@pytest.fixture
def client(tmp_path):
    return Client(tmp_path)


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_shown_without_the_token(client, path):
    for headers in ({}, {"cookie": "lastbit=another"}, {"cookie": f"other={TOKEN}"}, {"authorization": TOKEN}):
        answer = client.get(path, known=False, headers=headers)
        assert answer.status_code == 403
        assert "with its token" in answer.text
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("asked", "target"),
    [
        ("/?token={}", "/"),
        ("/study/a%20b?token={}", "/study/a%20b"),
        ("/?q=x+y&token={}&a=%26", "/?q=x+y&a=%26"),
        ("//evil.example/?token={}", "/evil.example/"),
        ("/%5Cevil.example?token={}", "/%5Cevil.example"),
    ],
)
def test_the_token_moves_into_a_cookie_that_no_script_and_no_other_site_uses(client, asked, target):
    answer = client.get(asked.format(TOKEN), known=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == target
    assert answer.headers["set-cookie"] == f"lastbit={TOKEN}; HttpOnly; SameSite=Strict; Path=/"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("token", ["", "x", TOKEN[:-1], TOKEN + "x", "é", "%00"])
def test_another_token_is_none(client, token):
    answer = client.get(f"/?token={token}", known=False)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "10.0.0.1", "", "[::2]"]
)
def test_a_name_that_is_not_this_hosts_is_refused_whatever_it_knows(client, host):
    answer = client.get(f"/?token={TOKEN}", headers={"host": host})
    assert answer.status_code == 403
    assert "not a name of this server" in answer.text
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost", "LOCALHOST:9000", "[::1]:8765"])
def test_names_of_this_host_are_let_in_whatever_the_port_of_a_tunnel(client, host):
    assert client.get("/", headers={"host": host}).status_code == 200


def test_a_server_of_the_network_is_reached_by_addresses_and_by_its_own_names():
    hosts = allowed_hosts("box.example")
    assert [hosts.allow(name) for name in ("box.example:80", "BOX.example", "10.0.0.7:80", "[fe80::1]")] == [True] * 4
    assert not hosts.allow("evil.example")
    assert allowed_hosts("0.0.0.0").allow("192.168.1.5")
    assert [is_loopback(name) for name in ("127.0.0.1", "127.1.2.3", "::1", "localhost")] == [True] * 4
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "box.example")))


@given(st.text())
def test_any_host_is_judged_and_no_other_name_is_let_in(host):
    names = {"localhost", "127.0.0.1", "::1"}
    allowed = Hosts(frozenset(names)).allow(host)
    assert not allowed or any(name in host.lower() for name in names)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
def test_it_only_shows(client, method):
    for path in PATHS:
        answer = client.ask(method, path)
        assert answer.status_code == 405
        assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("known", [True, False])
def test_every_answer_forbids_the_browser_the_rest(client, path, known):
    for method in ("GET", "HEAD"):
        answer = client.ask(method, path, known=known, headers={"origin": "http://evil.example"})
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert not [name for name in answer.headers if name.startswith("access-control")]
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe-eval" not in policy
        scripts = [part for part in policy.split(";") if "script-src" in part]
        assert scripts == [" script-src 'self'"]
        assert method == "GET" or answer.content == b""


def test_no_web_socket_is_opened(client):
    import asyncio

    sent = []

    async def ask():
        async def send(message):
            sent.append(message)

        await client.app({"type": "websocket", "headers": []}, None, send)

    asyncio.run(ask())
    assert sent == [{"type": "websocket.close", "code": 1008}]
