"""The stand-ins in `programs` are run by the tests, each in a process of its own, and never imported."""

collect_ignore_glob = ["programs/*"]
