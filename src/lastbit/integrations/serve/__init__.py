"""A folder of studies as web pages that only read: a list, each report as it grows, two beside each other.

`app.make_app` is plain ASGI over Starlette, for `lastbit serve` and for whoever has a server already; `guard` lets in
who has its token.
"""
