"""A folder of studies as web pages that only read: a list, each report as it grows, two beside each other.

The application is plain ASGI over Starlette, for `lastbit serve` and for whoever has a server already.
"""

from lastbit.integrations.serve.app import make_app
from lastbit.integrations.serve.guard import Guard, allowed_hosts

__all__ = ["Guard", "allowed_hosts", "make_app"]
