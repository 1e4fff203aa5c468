"""A table's rows as CSV, for a spreadsheet or a program."""

from __future__ import annotations

import csv
from io import StringIO

from lastbit.report.blocks import Sheet

__all__ = ["csv_text"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet takes for the beginning of a formula (OWASP, CSV Injection)."""


def csv_text(sheet: Sheet) -> str:
    r"""Return the sheet as CSV (RFC 4180): numbers with all their digits, nothing where there is none.

    A text that a spreadsheet would take for a formula gets an apostrophe in front; a number keeps its sign.

    Example:
        >>> csv_text(Sheet("runs", ["run", "loss"], [["=1+1", -0.1], ["b", None]]))
        "run,loss\r\n'=1+1,-0.1\r\nb,\r\n"
    """
    target = StringIO()
    writer = csv.writer(target, lineterminator="\r\n")
    for row in (sheet.header, *sheet.rows):
        writer.writerow([f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell for cell in row])
    return target.getvalue()
