"""Record what must not change, or compare with what was recorded.

python -m tests.unchanged.record              one line for each difference; exit 1 if there is one
python -m tests.unchanged.record --write      write record.json anew: a change that is wanted
python -m tests.unchanged.record --make-old   make the old files; refused where they are, for they are read for ever
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tests.unchanged import old_files
from tests.unchanged.differences import differences
from tests.unchanged.items import ITEMS, look
from tests.unchanged.looked import Looked, elsewhere

RECORD = Path(__file__).parent / "record.json"


def recorded() -> dict[str, Any]:
    """What record.json holds, by item."""
    found: dict[str, Any] = json.loads(RECORD.read_text("utf-8"))
    return found


def compare(name: str, record: dict[str, Any], now: Looked) -> tuple[list[str], str]:
    """(a line for each difference, why the bits were not compared or nothing) of one item."""
    if name not in record:
        return [f"{name}: is not in the record"], ""
    before, after = record[name], json.loads(json.dumps(now.to_json()))
    why = elsewhere(before.get("on", {}), after["on"]) if "on" in after else ""
    parts = ("everywhere",) if why else ("everywhere", "here")
    return [line for part in parts for line in differences(before.get(part), after.get(part), name)], why


def write() -> None:
    """Look at everything and write record.json."""
    found = {name: look(name).to_json() for name in shown(ITEMS)}
    RECORD.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def report() -> int:
    """Compare everything; the exit status."""
    record = recorded()
    lines = [f"{name}: is recorded, and no longer looked at" for name in record if name not in ITEMS]
    for name in shown(ITEMS):
        found, why = compare(name, record, look(name))
        lines += found
        if why:
            print(f"{name}: bits not compared: {why}", file=sys.stderr)
    print(*lines, sep="\n", end="\n" if lines else "")
    return 1 if lines else 0


def shown(names: Any) -> Any:
    """The names, each told on standard error when its turn comes."""
    for name in names:
        print(name, file=sys.stderr, flush=True)
        yield name


def main() -> int:
    parser = argparse.ArgumentParser("tests.unchanged.record", description=__doc__.partition("\n")[0])
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--write", action="store_true", help="write record.json anew")
    choice.add_argument("--make-old", action="store_true", help="make the old files, if they are not there")
    given = parser.parse_args()
    if given.make_old:
        return old_files.make()
    if given.write:
        write()
        return 0
    return report()


if __name__ == "__main__":
    sys.exit(main())
