"""Where in a network the difference grew: what the page of a trace says of its tensors."""

from __future__ import annotations

from lastbit.report.blocks import Column, Columns, Section, Table, table_of
from lastbit.report.formatting import count, number, percent, step
from lastbit.studies.trace.tensors import Carriers, TensorGrowth
from lastbit.studies.trace.twins_found import TwinsFound

__all__ = ["localisation", "most_amplifying", "tensor_table"]

_NAMED = 5
"""Tensors that the short form of the page names."""


def most_amplifying(found: TwinsFound) -> list[Section]:
    """Return the tensors that took the largest part in the growth."""
    by_name = {row.tensor: row for row in found.tensors}
    columns: Columns[TensorGrowth] = {
        Column("tensor"): lambda row: row.tensor,
        Column("share of growth", True): lambda row: percent(row.growth_share),
        Column("relative L2 at the end", True): lambda row: number(row.relative_l2, 3),
        Column("largest ulp distance", True): lambda row: count(row.max_ulp, ""),
    }
    table = table_of((by_name[name] for name in found.most_amplifying[:_NAMED]), columns)
    return [Section("Most amplifying tensors", [table.filled], brief=True)] if table.rows else []


def localisation(found: TwinsFound) -> list[Section]:
    """Return over how many tensors, filters and elements the difference is spread."""
    if (spread := found.participation) is None:
        return []
    end = spread.at_the_end
    growing = spread.while_growing or end
    rows = [("all tensors", growing.tensors, end.tensors)]
    rows += [(f"filters of {name}", growing.filters[name], last) for name, last in end.filters.items()]
    rows += [(f"elements of {name}", growing.elements[name], last) for name, last in end.elements.items()]
    columns: Columns[tuple[str, Carriers, Carriers]] = {
        Column("over"): lambda row: row[0],
        Column("carriers", True): lambda row: count(row[1].carriers),
        Column("while growing", True): lambda row: number(row[1].participation, 3),
        Column("at the end", True): lambda row: number(row[2].participation, 3),
        Column("Gini while growing", True): lambda row: number(row[1].gini, 3),
        Column("Gini at the end", True): lambda row: number(row[2].gini, 3),
    }
    table = table_of(rows, columns, fold=14)
    probed = f"; filters and elements at {step(growing.probe_step)}" if growing.probe_step is not None else ""
    lead = (
        "The participation ratio says how many carriers effectively hold the difference; a Gini coefficient of 0 is an "
        f"even spread. While growing: {step(growing.step)}{probed}."
    )
    return [Section("Over how much of the network it is spread", [table], lead)]


def tensor_table(found: TwinsFound) -> Table:
    """Return every tensor as it was at the last step."""
    columns: Columns[TensorGrowth] = {
        Column("tensor"): lambda row: row.tensor,
        Column("weights", True): lambda row: count(row.size),
        Column("share of growth", True): lambda row: percent(row.growth_share),
        Column("first differs", True): lambda row: count(row.first_step, "never"),
        Column("relative L2", True): lambda row: number(row.relative_l2, 3),
        Column("mean relative L1", True): lambda row: number(row.mean_relative_l1, 3),
        Column("largest ulp distance", True): lambda row: count(row.max_ulp),
        Column("differing", True): lambda row: percent(row.share_differing),
        Column("cosine", True): lambda row: number(row.cosine, 2),
    }
    caption = "At the last step; means over the twins, the largest for ulp distances."
    if found.separate:
        columns = dict(list(columns.items())[:5])
        caption = "At the last step, mean over the twins; first differs: the first recorded step at which it does."
    return table_of(found.tensors, columns, caption=caption, fold=30)
