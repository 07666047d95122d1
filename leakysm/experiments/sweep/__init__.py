"""A grid of runs, read from a TOML file and trained in processes of this machine or on a Dask cluster."""
