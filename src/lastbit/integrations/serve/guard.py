"""Who may ask what: a token, a cookie, names of the host, two methods; and what every answer forbids the browser.

A page of another site can send requests to this server, and see the answers once its own name leads here (DNS
rebinding). It has no token; its requests carry no cookie (`SameSite=Strict`); its name is no name of this host.
"""

from __future__ import annotations

import hmac
import ipaddress
import platform
import string
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, quote, urlencode

from lastbit.core.errors import LastbitError

__all__ = ["POLICY", "Guard", "Hosts", "allowed_hosts", "check_token"]

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]
Headers: TypeAlias = list[tuple[bytes, bytes]]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'{styles}; img-src 'self' data: blob:; font-src data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""Content security policy of a page. No script but this server's files runs; `styles` allows those that figures set."""

_ALWAYS: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
_DEFAULTS = {b"content-security-policy": POLICY.format(styles="").encode(), b"cache-control": b"no-store"}


@dataclass(frozen=True)
class Hosts:
    """Names that a request may give its host, ports aside."""

    names: frozenset[str]
    addresses: bool = False
    """Whether any IP address is one too: no name stands behind it that could be led elsewhere."""

    def allow(self, host: str) -> bool:
        """Tell whether the `Host` of a request is one of them."""
        name = host.lower()
        name = name[1:].partition("]")[0] if name.startswith("[") else name.rpartition(":")[0] or name
        if name in self.names:
            return True
        try:
            return bool(ipaddress.ip_address(name)) and self.addresses
        except ValueError:
            return False


def allowed_hosts(bound: str) -> Hosts:
    """Return the names under which a server is reached that listens at `bound`, an address or a name.

    Example:
        >>> allowed_hosts("127.0.0.1").allow("localhost:8765"), allowed_hosts("127.0.0.1").allow("evil.example")
        (True, False)
    """
    names = {"localhost", "127.0.0.1", "::1", bound.lower()}
    if is_loopback(bound):
        return Hosts(frozenset(names))
    return Hosts(frozenset({*names, platform.node().lower()}), addresses=True)


def check_token(token: str) -> str:
    """Return a token that nobody guesses and every address can hold.

    Raises:
        LastbitError: it is too short, or has other characters.
    """
    if len(token) < _SHORTEST or not set(token) <= _CHARACTERS:
        raise LastbitError(
            f"a token must have at least {_SHORTEST} letters, digits, - or _: write a longer one, or leave it to "
            "lastbit serve to make one"
        )
    return token


_CHARACTERS, _SHORTEST = frozenset(string.ascii_letters + string.digits + "-_"), 16


def is_loopback(bound: str) -> bool:
    """Tell whether only this machine reaches what listens at an address."""
    try:
        return ipaddress.ip_address(bound).is_loopback
    except ValueError:
        return bound.lower() == "localhost"


class Guard:
    """An application behind its token.

    Args:
        app: the application.
        token: what the first request names as `?token=`; a redirect moves it into a cookie.
        hosts: names that a request may give its host.
        cookie: name of the cookie; browsers do not tell ports apart.

    Raises:
        LastbitError: the token could be guessed.
    """

    def __init__(self, app: App, token: str, hosts: Hosts, cookie: str = "lastbit") -> None:
        self._app, self._token, self._hosts = app, check_token(token).encode(), hosts
        self._cookie = cookie.encode()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or let the application do."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] != "http":
            await self._app(scope, receive, send)
        elif (refused := self._refused(scope)) is not None:
            status, said, headers = refused
            body = f"{said}\n".encode()
            told = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
            await _sealed(send)({"type": "http.response.start", "status": status, "headers": [*told, *headers]})
            await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
        else:
            await self._app(scope, receive, _sealed(send))

    def _refused(self, scope: Message) -> tuple[int, str, Headers] | None:
        """Return status, reason and headers of what is answered here; None where the application may answer."""
        given = [value for name, value in scope["headers"] if name == b"host"]
        if len(given) != 1 or not self._hosts.allow(given[0].decode("latin-1")):
            return 403, "This is not a name of this server: open the address that lastbit serve printed.", []
        if scope["method"] not in ("GET", "HEAD"):
            return 405, "This server only shows: GET and HEAD.", [(b"allow", b"GET, HEAD")]
        asked = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        tokens = [value for name, value in asked if name == "token"]
        if any(self._is_token(value.encode()) for value in tokens):
            return 303, "Go on without the token.", self._moved(scope["path"], asked)
        if any(map(self._is_token, self._kept(scope["headers"]))):
            return None
        return 403, "Open the address that lastbit serve printed, with its token.", []

    def _is_token(self, given: bytes) -> bool:
        return hmac.compare_digest(given, self._token)

    def _kept(self, headers: Headers) -> list[bytes]:
        """Return the values of the cookie in a request."""
        parts = [part.strip() for name, value in headers if name == b"cookie" for part in value.split(b";")]
        return [part.partition(b"=")[2] for part in parts if part.partition(b"=")[0] == self._cookie]

    def _moved(self, path: str, asked: list[tuple[str, str]]) -> Headers:
        # One slash: two would begin the name of another host.
        target = "/" + quote(path.lstrip("/"))
        left = urlencode([(name, value) for name, value in asked if name != "token"])
        cookie = self._cookie + b"=" + self._token + b"; HttpOnly; SameSite=Strict; Path=/"
        return [(b"location", f"{target}{'?' if left else ''}{left}".encode()), (b"set-cookie", cookie)]


def _sealed(send: Send) -> Send:
    """Return what sends an answer with the headers that every answer has."""

    async def sealed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            own = {name.lower() for name, _ in headers}
            headers += [*_ALWAYS, *((name, value) for name, value in _DEFAULTS.items() if name not in own)]
            message = {**message, "headers": headers}
        await send(message)

    return sealed
