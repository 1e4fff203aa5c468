"""The report of a study in a folder."""

import lastbit as lb


def render_report(study, target=None):
    """Draw it, and return the file."""
    return lb.open_study(study).report(target)
