"""Reference vectors: the small fixed cases with their exact results, in HDF5, for programmers in any language.

`stored` reads and writes the files, `parameters` those of operations in JSON, and `older` converts format 1 to today's.
`make` computes them; `alternatives` adds what else is right, `nets` the whole-net cases. `rule` judges a result,
`checks` compares files and engines with the vectors, `export` writes JSON, text and npz. The format:
reference_data/FORMAT.md.
"""
