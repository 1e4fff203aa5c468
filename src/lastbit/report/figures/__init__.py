"""One figure per function: arrays in, a plotly figure out; no files.

Figures leave the colours of text and grid open: the page sets them to fit light or dark. Texts are escaped here with
`plain`, for plotly reads a little HTML in them.
"""
