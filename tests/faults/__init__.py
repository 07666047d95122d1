"""Nothing lost, nobody let in: failing disks, kills, signals, and damaged or hostile files.

`warm` is a process with its imports done that forks a child for each command or file. `shim` makes write-like calls
fail, `commands` runs the commands that write. `mutants` alters files, `formats` says what is read and by which reader,
`outcomes` sorts what a reader did. By hand, each at its full size, for the rows in docs/reliability.md:

    python -m tests.faults.every
    python -m tests.faults.kills
    python -m tests.faults.search
"""
