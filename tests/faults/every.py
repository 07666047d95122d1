"""Fail every write-like call of the commands, one after another, and say what that breaks. By hand:

python -m tests.faults.every                         # all commands, all kinds, every call
python -m tests.faults.every --command prepare --kind full --step 3
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path

from tests.faults.commands import CASES, Commands
from tests.faults.shim import DISK, compiled
from tests.faults.warm import Warm


def main() -> None:
    """A line for each fault that breaks something, then a row of the table in docs/reliability.md for each kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", action="append", choices=CASES)
    parser.add_argument("--kind", action="append", choices=DISK)
    parser.add_argument("--step", type=int, default=1, help="every STEPth call")
    parser.add_argument("--first", type=int, default=1)
    given = parser.parse_args()
    tried: Counter[tuple[str, str]] = Counter()
    broken: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder, Warm(preload=compiled(Path(folder))) as warm:
        commands = Commands(warm, Path(folder))
        for name in given.command or CASES:
            commands.reference(CASES[name])
            for kind in given.kind or DISK:
                for at in range(given.first, commands.calls[name] + 1, given.step):
                    tried[name, kind] += 1
                    if lost := commands.lost(CASES[name], at, kind):
                        broken[name, kind] += 1
                        print(lost, flush=True)
                done, calls = tried[name, kind], commands.calls[name]
                which = f"{done}, all" if done == calls else f"{done} of {calls}"
                print(f"| {name} | {kind} | {which} | {done - broken[name, kind]} |", flush=True)
        print(f"peak memory of a command: {commands.peak >> 20} MiB")


if __name__ == "__main__":
    main()
