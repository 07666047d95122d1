"""The entry point of the script `leakysm`: quiet about Ctrl-C from its first moment on, while all else is imported."""

from __future__ import annotations

from leakysm_cli.signals import end, listen


def main() -> None:
    """Run the command line."""
    listen(end)
    from leakysm_cli.main import main

    main()
