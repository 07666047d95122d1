"""Verification: check an engine, or other functions, against stated error bounds.

What is true: `oracle`, in the 50-digit arithmetic of `precise`. What is called: a `case`; fixed ones in `cases`, random
ones in `strategies`; `sample` says what is looked at of a large one. What error is allowed: `table`, computed by
`bounds`. `registry` joins them: an entry for each operation, of which `entries` has ours.

What is checked is presented by `adapters`. `calls` makes one call, `purity` watches it for side effects, `judging`
compares its numbers with the bounds, and `checks` does all of that for a case. `gradients` checks derivatives
numerically, `search` looks for the largest error. `conformance` and `vectors` are built on these, and `plugin` is
`conformance` for pytest; `processes` shares the operations among cores.

Reports: `flags` has the kinds of cases and the advice, `shrink` makes a failing case small, `counterexample`
writes it as code, `report` makes tables and JSON.

Somebody's own distance: `formula` checks a restriction, in the namespace `exact_namespace`, `own_metric` a metric, and
`formula_report` tells the results.
"""
