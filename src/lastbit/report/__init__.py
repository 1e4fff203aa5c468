"""Reads stored studies and makes self-contained HTML pages of them; never trains.

Importing the room is cheap: plotly and jinja2 are imported when a report is rendered.
"""

from lastbit.report.render import render_report

__all__ = ["render_report"]
