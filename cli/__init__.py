"""The command line, installed as leakysm_cli: one file a command, and files of what several commands share."""
