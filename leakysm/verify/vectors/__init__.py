"""Reference vectors: every fixed case with its exact results, in HDF5, for programmers in any language.

`stored` reads and writes the files, `make` works them out, `nets` makes the whole-net cases, `checks` holds files and
implementations to them, `export` writes other formats. The format: reference_data/FORMAT.md.
"""
