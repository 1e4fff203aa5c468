"""The application of `lastbit serve` without a server: requests as they come over the wire, answers as they go."""

import asyncio

from lastbit.integrations.serve.app import make_app
from lastbit.integrations.serve.guard import allowed_hosts

__all__ = ["BASE", "TOKEN", "Client", "contents"]

TOKEN = "a-token-for-the-tests"
BASE = "http://127.0.0.1:8765"


class Client:
    """Asks the application that shows a folder, with its cookie unless told otherwise."""

    def __init__(self, folder, bound="127.0.0.1"):
        self.app = make_app(folder, TOKEN, allowed_hosts(bound), every=0.2)

    def get(self, path, **options):
        return self.ask("GET", path, **options)

    def ask(self, method, path, *, headers=(), known=True):
        return asyncio.run(self._ask([(method, path)], headers, known))[0]

    def at_once(self, paths):
        """Ask for all of them, the next before the former is answered."""
        return asyncio.run(self._ask([("GET", path) for path in paths], (), True))

    async def _ask(self, asked, headers, known):
        import httpx

        cookies = {"lastbit": TOKEN} if known else None
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, cookies=cookies) as client:
            # With the host before it no path is taken for a host, or joined to another.
            return await asyncio.gather(*(client.request(how, BASE + path, headers=headers) for how, path in asked))


def contents(folder):
    """Every file and folder below one, with all that would tell a change of it; a lock as well."""
    found = {}
    for path in sorted(folder.rglob("*")):
        one = path.lstat()
        found[str(path.relative_to(folder))] = (one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns)
    return found
