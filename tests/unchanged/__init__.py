"""What a redesign must not change: a record of today's behaviour, and tests that compare.

`record` is the command that writes record.json; `items` lists all that is recorded. `old` holds files that an earlier
version wrote: they must load for ever.
"""
