"""`python -m leakysm`: the command line, where the script `leakysm` is not on the path."""

from leakysm_cli.start import main

if __name__ == "__main__":
    main()
