"""`lastbit serve`: a folder of studies as pages in a browser."""

from __future__ import annotations

import errno
import secrets
import socket
import webbrowser
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Annotated

import typer

from lastbit.core.errors import LastbitError, MissingExtraError
from lastbit.core.exit_codes import ExitCode
from lastbit.core.terminal import say
from lastbit.integrations.serve.guard import Guard, allowed_hosts, check_token

__all__ = ["serve"]

_HOST, _PORT = "127.0.0.1", 8765


def serve(
    folder: Annotated[Path, typer.Argument(help="Folder that holds the studies.")] = Path("lastbit-studies"),
    host: Annotated[
        str, typer.Option(help="Address to listen at. Any but 127.0.0.1 shows the studies to the network.")
    ] = _HOST,
    port: Annotated[int, typer.Option(help="Port to listen at; 0 takes a free one.", min=0, max=65535)] = _PORT,
    token: Annotated[
        str | None,
        typer.Option(help="What a browser must name to be let in; a new one by default.", show_default=False),
    ] = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> int:
    """Show the studies of a folder in a browser: a list, each report as it grows, two beside each other.

    It only reads: nothing in the folder is written or locked, whatever trains there. The address that it
    prints has a token; without it nothing is shown. Ctrl-C ends it.
    """
    token = secrets.token_urlsafe(24) if token is None else check_token(token)
    _check_folder(folder)
    for name in ("starlette", "uvicorn"):
        if find_spec(name) is None:
            raise MissingExtraError("lastbit serve", name, "serve")
    listening = _listen(host, port)
    port = listening.getsockname()[1]
    address = f"http://{_in_address(host)}:{port}/?token={token}"
    # Before what takes seconds to import: whoever connects meanwhile is answered then.
    say(f"{folder} is shown at {address}")
    if open_browser:
        # Some browsers keep whoever opens them waiting.
        Thread(target=webbrowser.open, args=[address], daemon=True).start()
    from lastbit.integrations.serve.app import make_app

    hosts = allowed_hosts(host)
    if hosts.addresses:
        say("whoever has this address can read the studies, and it is not encrypted", error=True)
    say("Ctrl-C ends it", error=True)
    # Browsers do not tell the cookies of two ports apart.
    _run(make_app(folder, token, hosts, cookie=f"lastbit-{port}"), listening)
    return ExitCode.ANSWERED


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise LastbitError(f"there is no folder {folder}: name the one that holds your studies, lastbit serve FOLDER")
    if (folder / "study.json").exists():
        raise LastbitError(f"{folder} is one study: name the folder that holds it, lastbit serve {folder.parent}")


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens, so that a port that is taken is told before anything is loaded."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError):
        raise LastbitError(f"--host {host} is no address: write 127.0.0.1, or an address of this machine") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(256)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise LastbitError(f"{host} is no address of this machine: write --host 127.0.0.1") from None
        reason = (error.strerror or str(error)).lower()
        raise LastbitError(f"cannot listen at {host}, port {port} ({reason}): --port 0 takes a free one") from None
    return listening


def _in_address(host: str) -> str:
    """Return a host as an address names it; what listens everywhere is named by one place where it does."""
    if host in ("0.0.0.0", "::", ""):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def _run(app: Guard, listening: socket.socket) -> None:
    import uvicorn

    # No log of requests: the first one of a browser has the token.
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="off", server_header=False, timeout_graceful_shutdown=1
    )
    with listening:
        uvicorn.Server(config).run(sockets=[listening])
