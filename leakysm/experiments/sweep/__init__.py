"""A grid of runs, read from a TOML file and trained in processes of this machine or on a Dask cluster.

`file` reads the TOML file, `points` makes a run of each combination, and `written` writes such a file. `run_all` trains
the runs on the `pools`; `worker` is the part that trains one. `report` has the table, the JSON file and the heat map.
"""
