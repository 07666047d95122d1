"""The command line, installed as leakysm_cli: one file a command, and files of what several commands share.

`start` is the script's entry, `main` lists the commands and prints errors in one line, `misuse` words those of wrong
options. `options` has the options that commands share, `help` prints them in sections, `before` says what will be done
and how long it takes, `progress` shows how far it is, `output` prints tables and JSON. `folders` are made or refused,
`caches` are places for libraries' files, and `own_distance` checks a distance from a file. `signals` and `stopping`
decide what Ctrl-C does.
"""
