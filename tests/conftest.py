"""Hypothesis draws anew each time at a developer's desk; in CI it draws the same examples every time."""

import os

from hypothesis import settings

settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
