"""Verification: check an engine, or other functions, against stated error bounds.

`oracle` computes what is true, in the 50-digit arithmetic of `precise`. A `case` is what is called; fixed ones are in
`cases`, random ones in `strategies`, and `sample` says which elements of a large one are looked at. `table` has the
errors that are allowed, and `bounds` computes them. `registry` joins all this in an entry for each operation; `entries`
has ours.

What is checked is presented by `adapters`. `calls` makes one call, `purity` watches it for side effects, `judging`
compares its numbers with the bounds, and `checks` does all of that for a case. `gradients` checks derivatives
numerically, `search` looks for the largest error. `conformance` and `vectors` are built on these, and `plugin` is
`conformance` for pytest; `processes` shares the operations among cores.

Reports: `flags` has the kinds of cases and the advice, `shrink` makes a failing case small, `counterexample`
writes it as code, `report` makes tables and JSON.

A user's own distance: `formula` checks a restriction with the functions of `exact_namespace`, `own_metric` checks a
metric, and `formula_report` reports the results. `own_net` checks the gradient of a user's own net. `differences` has
the difference by which these, and `gradients`, compute slopes.
"""
