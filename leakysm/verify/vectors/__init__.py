"""Reference vectors: the small fixed cases with their exact results, in HDF5, for programmers in any language.

`stored` reads and writes the files, `older` says format 1 in today's, `make` works them out, with `alternatives`: what
else is right; `nets` makes the whole-net cases. `rule` judges a result, `checks` holds files and engines to them,
`export` writes JSON, text and npz. The format: reference_data/FORMAT.md.
"""
