"""Nothing lost, nobody let in: failing disks, kills, signals, and damaged or hostile files.

`warm` is a process with its imports done that forks a child for each command or file. `shim` makes write-like calls
fail, `commands` runs the six commands that write, `kills` ends a training run. `mutants` alters files, `formats` says
what is read and by which reader, `outcomes` sorts what a reader did. `search` counts and lists failures by hand:

    python -m tests.faults.search --mutants 1000
"""
