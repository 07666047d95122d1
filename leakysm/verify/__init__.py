"""Verification: check an engine, or other functions, against stated error bounds.

`oracle` gives exact results, `cases` and `strategies` the calls, `bounds` and `table` what error is allowed, `adapters`
the one door for what is checked. `registry` joins them: an entry for each operation. `checks` and `gradients` do the
checking, `search` looks for the largest error, `conformance` and `vectors` are built on all of these.
"""
