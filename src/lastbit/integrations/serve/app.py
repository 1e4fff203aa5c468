"""The addresses of the pages, and what each answers. Nothing here writes, and nothing locks.

```
/                                 the studies, newest first; ?q=WORDS narrows them down
/study/NAME                       its report, with the newest numbers while it trains
/study/NAME/result.json           what it concluded, to save
/study/NAME/report.html           its report as one file, to save
/study/NAME/output/RUN/stdout.txt what a run printed
/compare?a=NAME&b=NAME            two studies beside each other
/static/FILE                      the scripts, styles and library of the pages
```
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Hashable
from datetime import UTC, datetime
from hashlib import blake2b
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from lastbit.core.errors import LastbitError
from lastbit.integrations.serve.drawn import Drawings, side_by_side
from lastbit.integrations.serve.guard import POLICY, Guard, Hosts
from lastbit.integrations.serve.shelf import Entry, Shelf
from lastbit.report.formatting import ago, plural
from lastbit.store.layout import opened_file

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["make_app"]

_STATIC = {
    "page.js": ("lastbit.report", "text/javascript; charset=utf-8"),
    "style.css": ("lastbit.report", "text/css; charset=utf-8"),
    "plotly.min.js.gz": ("lastbit.report", "text/javascript; charset=utf-8"),
    "follow.js": ("lastbit.integrations.serve", "text/javascript; charset=utf-8"),
    "serve.css": ("lastbit.integrations.serve", "text/css; charset=utf-8"),
}
"""The files that pages ask for, by package and type."""

_PRINTED = 16 << 20
"""Bytes of what a run printed that are shown: the last."""


def make_app(folder: str | Path, token: str, hosts: Hosts, *, cookie: str = "lastbit", every: float = 2.0) -> Guard:
    """Return the ASGI application that shows the studies of a folder.

    Args:
        folder: of the studies.
        token: what the first request names as `?token=`.
        hosts: names that a request may give its host; see `allowed_hosts`.
        cookie: name of the cookie that holds the token from then on.
        every: seconds between two looks of a page at a study that is trained.

    Raises:
        ImportError: Starlette is not installed: `pip install 'lastbit[serve]'`.
        LastbitError: the token could be guessed.
    """
    from starlette.applications import Starlette
    from starlette.routing import Route

    pages = _Pages(Path(folder), every)
    routes = [
        Route("/", pages.studies),
        Route("/study/{name}", pages.study),
        Route("/study/{name}/result.json", pages.result),
        Route("/study/{name}/report.html", pages.report),
        Route("/study/{name}/output/{run}/{stream}", pages.output),
        Route("/compare", pages.compare),
        Route("/static/{file}", pages.static),
    ]
    return Guard(Starlette(routes=routes), token, hosts, cookie)


class _Pages:
    """What each address answers; called in threads."""

    def __init__(self, folder: Path, every: float) -> None:
        self._shelf, self._every = Shelf(folder), every
        self._drawings = Drawings(self._shelf)

    def studies(self, request: Request) -> Response:
        asked, chosen = request.query_params.get("q", "")[:200], request.query_params.get("a", "")
        every = self._shelf.entries()
        words = asked.lower().split()
        rows = [_row(entry) for entry in every if entry.matches(words)]
        said = plural(len(every), "study", "studies") if not words else f"{len(rows)} of {len(every)} studies"
        content = {"rows": rows, "asked": asked, "chosen": chosen, "said": said, "folder": str(self._shelf.folder)}
        return self._page(request, "studies.html.j2", (asked, chosen, str(rows)), **content)

    def study(self, request: Request) -> Response:
        shown = self._drawings.of(request.path_params["name"])
        if shown is None:
            return self._missing(request.path_params["name"])
        return self._page(request, "study.html.j2", shown.stamp, shown=shown)

    def compare(self, request: Request) -> Response:
        names = [request.query_params.get(letter, "") for letter in "ab"]
        if not all(names):
            return self._text("Choose two studies in the list, one as A and one as B.", 400)
        if names[0] == names[1]:
            return self._text(f"A and B are both {names[0]}: choose another study for one of them.", 400)
        found = [self._drawings.of(name) for name in names]
        for name, shown in zip(names, found, strict=True):
            if shown is None:
                return self._missing(name)
        one, two = (shown for shown in found if shown is not None)
        sections = []
        if one.page and two.page and one.result is not None and two.result is not None:
            sections = side_by_side(one.page, two.page, (one.result, two.result))
        stamps = (one.stamp, two.stamp)
        return self._page(request, "compare.html.j2", stamps, both=(("A", one), ("B", two)), sections=sections)

    def result(self, request: Request) -> Response:
        shown = self._drawings.of(request.path_params["name"])
        if shown is None:
            return self._missing(request.path_params["name"])
        if shown.result is None:
            return self._text(f"{shown.name} cannot be shown: {shown.damage}", 409)
        # The escapes of ASCII: whatever stands in a study has one.
        text = json.dumps(shown.result, indent=2, allow_nan=False) + "\n"
        return self._saved(text.encode(), "application/json", f"{shown.name}.json")

    def report(self, request: Request) -> Response:
        from lastbit.report.html import render_html

        shown = self._drawings.of(request.path_params["name"])
        if shown is None:
            return self._missing(request.path_params["name"])
        if shown.page is None:
            return self._text(f"{shown.name} cannot be shown: {shown.damage}", 409)
        whole = render_html(shown.page, base=shown.name).encode(errors="replace")
        return self._saved(whole, "text/html; charset=utf-8", f"{shown.name}.html")

    def output(self, request: Request) -> Response:
        name, run, stream = (request.path_params[part] for part in ("name", "run", "stream"))
        path = self._shelf.path(name)
        if path is None or stream not in ("stdout.txt", "stderr.txt") or run in (".", ".."):
            return self._missing(name)
        parts = [path / "output", path / "output" / run, path / "output" / run / stream]
        if any(part.is_symlink() for part in parts):
            return self._text("It is a link to another place, which is not followed.", 403)
        try:
            with opened_file(parts[-1]) as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - _PRINTED))
                printed = file.read(_PRINTED)
        except (OSError, ValueError, LastbitError):
            return self._missing(f"{run}/{stream}")
        return self._answer(printed, "text/plain; charset=utf-8", {"content-security-policy": "sandbox"})

    def static(self, request: Request) -> Response:
        name = request.path_params["file"]
        if name not in _STATIC:
            return self._missing(name)
        package, kind = _STATIC[name]
        content = files(package).joinpath("templates", name).read_bytes()
        tag = _tag(name, content)
        if request.headers.get("if-none-match") == tag:
            return self._answer(b"", kind, {"etag": tag}, 304)
        packed = {"content-encoding": "gzip"} if name.endswith(".gz") else {}
        return self._answer(content, kind, {"etag": tag, "cache-control": "no-cache", **packed})

    def _page(self, request: Request, template: str, stamp: Hashable, **content: Any) -> Response:
        """Return a page, or that it is the one that the browser has."""
        from lastbit.report.html import environment

        # Figures set the sizes of their elements; the list has none.
        policy = POLICY.format(styles="" if template == "studies.html.j2" else " 'unsafe-inline'")
        tag = _tag(template, repr(stamp).encode(errors="surrogatepass"))
        told = {"etag": tag, "cache-control": "no-cache", "content-security-policy": policy}
        if request.headers.get("if-none-match") == tag:
            return self._answer(b"", "text/html; charset=utf-8", told, 304)
        rendered = (
            environment("lastbit.integrations.serve")
            .get_template(template)
            .render(tag=tag, every=self._every, href=lambda link: "", **content)
        )
        return self._answer(rendered.encode(errors="replace"), "text/html; charset=utf-8", told)

    def _missing(self, name: str) -> Response:
        return self._text(f"There is no {name} here.", 404)

    def _text(self, said: str, status: int) -> Response:
        return self._answer(f"{said}\n".encode(errors="replace"), "text/plain; charset=utf-8", {}, status)

    def _saved(self, content: bytes, kind: str, name: str) -> Response:
        """Return a file that browsers save, and would show in a sandbox without scripts if they did not."""
        told = {
            "content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
            "content-security-policy": "sandbox; default-src 'none'",
        }
        return self._answer(content, kind, told)

    @staticmethod
    def _answer(content: bytes, kind: str, told: dict[str, str], status: int = 200) -> Response:
        from starlette.responses import Response

        return Response(content, status, {"content-type": kind, **told})


def _tag(name: str, content: bytes) -> str:
    return f'"{blake2b(name.encode() + content, digest_size=12).hexdigest()}"'


def _row(entry: Entry) -> dict[str, Any]:
    changed = datetime.fromtimestamp(min(max(entry.changed, 0), 4e9), UTC)
    address = f"/study/{quote(entry.name, safe='')}"
    return {"entry": entry, "address": address, "changed": changed, "ago": ago(time.time() - entry.changed)}
