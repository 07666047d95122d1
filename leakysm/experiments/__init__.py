"""Experiments made of several runs: `compare`, `sweep` and `gradients`, and what they share.

`settings` reads what is compared, `finished` reads runs back, `student` has intervals and p-values, `intervals` puts
them into words, and `outputs` writes files. `audit` checks one run, and `again` trains its first episodes again for it.
"""
