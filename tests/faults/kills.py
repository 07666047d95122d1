"""Kill the commands that write, again and again at random moments, and compare what they end with. By hand:

python -m tests.faults.kills                             # 500: a row for each command
python -m tests.faults.kills --command train --kills 200 --seed 7
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from tests.faults.commands import CASES, Case, Commands
from tests.faults.shim import compiled
from tests.faults.warm import Warm

KILLS = {"train": 250, "sweep": 100, "resize": 40, "vectors": 40, "keep": 40, "prepare": 15, "export": 15}


def kill_at_random(commands: Commands, case: Case, kills: int, seed: int) -> list[str]:
    """What SIGKILLs break, a line each. The killed command is started again, to continue, and may be killed again.

    Whenever one ends by itself, its files are compared, and the command begins anew.
    """
    expected, rng, broken = commands.reference(case), np.random.default_rng(seed), []
    seconds = commands.first(case).ended.processor
    commands.begin(case)
    while kills:
        after = rng.uniform(0, seconds)
        killed = commands.cut_off_at(case, after)
        kills -= killed
        told = commands.unsound(case) if killed else commands.other(expected)
        broken += [f"{case.name}, killed after {after:.3f} s, {kills} to go: {told}"] if told else []
        if not killed:
            commands.begin(case)
    done = commands.again(case).ended
    told = "" if done.status == 0 else f"the last run fails: {done.err}"
    told = told or commands.other(expected)
    return [*broken, f"{case.name}, at the end: {told}"] if told else broken


def main() -> None:
    """A line for each kill that breaks something, then a row of the table in docs/reliability.md for each command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", action="append", choices=CASES)
    parser.add_argument("--kills", type=int, help="of each command")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Warm(preload=compiled(Path(folder))) as warm:
        commands = Commands(warm, Path(folder))
        for name in given.command or KILLS:
            kills = given.kills or KILLS.get(name, 50)
            broken = kill_at_random(commands, CASES[name], kills, given.seed)
            print("\n".join([*broken, f"| {name} | {kills} | {kills - len(broken)} |"]), flush=True)


if __name__ == "__main__":
    main()
