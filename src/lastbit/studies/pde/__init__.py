"""Studies of the PDE that gradient descent discretises: what is stable, what a flow does, and where its window ends.

Each command is a function `pde_…` that returns a `PdeResult`: `verdict` (the answer), `table`, `page`, `to_json()` and
`plot(path)`.
"""
