"""The report of a study in a folder."""

import lastbit as lb
from lastbit.report.blocks import FigureBlock


def render_report(study, target=None):
    """Draw it, and return the file."""
    return lb.open_study(study).report(target)


def figure_blocks(page):
    """Return every figure of a page."""
    return [block for section in page.sections for block in section.blocks if isinstance(block, FigureBlock)]


def unnamed(page):
    """Return what is drawn on a page in a colour or a group that neither a legend nor a colour bar names."""
    found = []
    for block in figure_blocks(page):
        groups = {entry.group for entry in block.legend} - {""}
        colours = {entry.colour for entry in block.legend}
        for trace in block.figure.data:
            if trace.type == "heatmap":
                assert trace.colorbar.title.text
            elif trace.legendgroup:
                found += [f"{block.name}: {trace.legendgroup}"] if trace.legendgroup not in groups else []
            elif trace.type == "bar" and trace.marker.color not in colours:
                found.append(f"{block.name}: a bar in {trace.marker.color}")
        drawn = {trace.legendgroup for trace in block.figure.data}
        found += [f"{block.name}: {group} is named but not drawn" for group in groups - drawn]
    return found
