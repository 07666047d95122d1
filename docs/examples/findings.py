"""What `leakysm conform` finds in real libraries, each accusation proven by `proof`.

    python docs/examples/findings.py                 every example whose library is installed, as a table
    python docs/examples/findings.py torch_cdist     only this one
    python docs/examples/findings.py --write         keeps what was found in findings.json and in docs/findings.md

An example whose library is not installed here keeps its recorded rows. So several environments can fill one table, one
after another. Each example runs in a process of its own, for about so many `--seconds`. An example may say
`DTYPES`: those in which its library computes.
"""

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import math
import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pages
import proof
from pages import markdown

from leakysm.verify.adapters import ModuleImplementation, NotOffered, arrays_named, load
from leakysm.verify.adapters.module import array_kind
from leakysm.verify.calls import PARTS, Call, plainly
from leakysm.verify.checks import judge
from leakysm.verify.conformance import OTHERS_DTYPES, few_sizes
from leakysm.verify.registry import ENTRIES, Truth
from leakysm.verify.shrink import shrink

EXAMPLES = Path(__file__).parent
PAGE = EXAMPLES.parent / "findings.md"
TOOLS = ("fill_pages", "findings", "page_code", "pages", "proof")
SHRINK_SECONDS = 1.0
TRIES = 4  # how many failing cases of a flag are put to the proof until one is confirmed
MOST_NUMBERS = 64  # a counterexample of more numbers is made smaller, and stored only if that succeeds
HEADER = ("example", "versions", "operation", "result", "proven to fail on", "not proven")


class Example:
    """One example file: what it offers, and what is wrong with it."""

    def __init__(self, name: str):
        found, module = load(str(EXAMPLES / f"{name}.py"))
        kind = array_kind(module)
        self.implementation = ModuleImplementation(found, arrays_named(kind), name)
        self.dtypes = getattr(module, "DTYPES", OTHERS_DTYPES)
        self.shrinks = kind != "jax"  # JAX compiles for every shape
        self.versions = versions(module, kind)

    def rows(self, seconds: float) -> list[dict]:
        """A row an operation; each has its share of the time, beyond which its remaining cases are left out."""
        offered = [e for e in ENTRIES.values() if any(self.implementation.offers(e.operation, part) for part in PARTS)]
        found = [self._row(entry, seconds / (len(offered) + 1)) for entry in offered]
        return [row for row in found if row is not None]

    def _row(self, entry, seconds: float) -> dict | None:
        parts = [part for part in PARTS if self.implementation.offers(entry.operation, part)]
        judged, cases, failures, end = 0, 0, defaultdict(list), time.monotonic() + seconds
        wanted = [truth for truth in entry.truths if not truth.case.own]
        if self.implementation.arrays.compiles:
            wanted = few_sizes(wanted)
        for truth in wanted:
            if time.monotonic() > end:
                break
            judged += 1
            outcomes = [o for dtype in self.dtypes for part in parts for o in self._judged(truth, dtype, part)]
            cases += bool(outcomes)
            for outcome in outcomes:
                for flag in truth.case.flags if outcome.failed else ():
                    failures[flag].append((truth, outcome))
        if not cases:
            return None
        accusations = self._accusations(failures)
        result = ("failed" if failures else "passed") + (" (value only)" if "vjp" not in parts else "")
        result += f" ({judged} of {len(wanted)} cases in time)" if judged < len(wanted) else ""
        return {"operation": entry.operation, "result": result, "cases": cases, "accusations": accusations}

    def _judged(self, truth: Truth, dtype: str, part: str) -> list:
        if dtype not in truth.case.dtypes:
            return []
        try:
            manner = replace(plainly(truth.case), compiled=True)
            return list(judge(self.implementation, truth, dtype, part, strict=False, manner=manner))
        except NotOffered:
            return []

    def _accusations(self, failures) -> list[dict]:
        """Try the smallest failing cases of each flag, until one is proven."""
        known: dict[tuple, dict] = {}
        for flag, found in failures.items():
            for truth, outcome in sorted(found, key=lambda pair: pair[0].case.size)[:TRIES]:
                key = outcome.id
                if key not in known:
                    known[key] = {"flags": [], **self._proven(truth, outcome)}
                known[key]["flags"].append(flag)
                if known[key]["proof"]["confirmed"]:
                    break
        return list(known.values())

    def _proven(self, truth: Truth, outcome) -> dict:
        found = self._put_to_proof(truth.case, outcome)
        if found["proof"]["confirmed"] and truth.case.size > MOST_NUMBERS and self.shrinks:
            smaller = self._put_to_proof(*self._smaller(truth, outcome))
            found = smaller if smaller["proof"]["confirmed"] else found
        return found

    def _put_to_proof(self, case, outcome) -> dict:
        record = {"case": case.id, "dtype": outcome.dtype, "output": outcome.output, "problem": outcome.problem}
        at = place(outcome.problem)
        if at is None:
            return {**record, "at": [], "proof": {"confirmed": False, "reason": "no number to prove"}}
        names = [a.name for a in case.definition.arguments]
        arguments = dict(zip(names, case.arguments, strict=True))
        computed = float(self._results(case, outcome)[at])
        given = arguments, plain(case.parameters), np.asarray(case.dy)
        found = proof.prove(case.operation, *given, outcome.dtype, outcome.output, at, computed)
        record |= {"at": list(at), "proof": found}
        if case.size <= MOST_NUMBERS:
            record["call"] = stored(*given)
        return record

    def _results(self, case, outcome):
        """The output that failed, computed once more."""
        names = case.definition.outputs if outcome.part == "value" else _gradients(case)
        results = Call(self.implementation, case, outcome.dtype, outcome.part, plainly(case)).results()
        return results[list(names).index(outcome.output)]

    def _smaller(self, truth: Truth, outcome):
        def failing(case):
            found = self._judged(Truth(truth.entry, case), outcome.dtype, outcome.part)
            return [o for o in found if o.failed and place(o.problem) is not None]

        if not failing(truth.case):
            return truth.case, outcome
        case = shrink(truth.case, lambda smaller: bool(failing(smaller)), SHRINK_SECONDS)
        left = failing(case)
        return (case, left[0]) if left else (truth.case, outcome)


def _gradients(case) -> list[str]:
    return ["d" + a.name for a in case.definition.arguments if a.kind == "array"]


def place(problem: str) -> tuple[int, ...] | None:
    """The index in "[1, 2] is 0.5; ..."; () for a scalar; None if the problem is not one of numbers."""
    found = re.match(r"(?:\[([\d, ]*)\] )?is \S+; \S+ is exact", problem)
    return tuple(int(i) for i in (found[1] or "").split(",") if i) if found else None


def plain(parameters) -> dict:
    """Parameters as JSON has them: a distance as its operation and parameters."""

    def one(value):
        return {"operation": value.operation, "parameters": value.parameters} if hasattr(value, "operation") else value

    return {name: one(value) for name, value in parameters.items()}


def stored(arguments, parameters, dy) -> dict:
    return {
        "arguments": {name: np.asarray(value).tolist() for name, value in arguments.items()},
        "parameters": {name: "inf" if value == math.inf else value for name, value in parameters.items()},
        "dy": dy.tolist(),
    }


def versions(module, kind: str) -> dict[str, str]:
    """The versions of the packages that the example imports, and of its arrays' library."""
    owners = importlib.metadata.packages_distributions()
    roots = {kind} | {_root(value, type(module)) for value in vars(module).values()}
    found = {}
    for name in {owners.get(root, [root])[0] for root in roots - {""}}:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _root(value, module_type: type) -> str:
    return str(getattr(value, "__name__" if type(value) is module_type else "__module__", "")).partition(".")[0]


def record(name: str, seconds: float) -> dict | None:
    """What a process of its own finds; None if the example's library is not installed."""
    command = [sys.executable, __file__, "--one", name, "--seconds", str(seconds)]
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "POT_BACKEND_DISABLE_TENSORFLOW": "1", "POT_BACKEND_DISABLE_JAX": "1"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=2 * seconds, env=os.environ | quiet)
    except subprocess.TimeoutExpired:
        print(f"{name}: not done within {2 * seconds} s, its recorded rows are kept", file=sys.stderr)
        return None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no output"]
        print(f"{name}: {lines[-1][:200]}; its recorded rows are kept", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def found_in(name: str, seconds: float) -> dict:
    """The record of one example, found in this process."""
    with np.errstate(all="ignore"):
        example = Example(name)
        rows = example.rows(seconds)
    return {"versions": example.versions, "date": datetime.date.today().isoformat(), "rows": rows}


def table(records: dict) -> list[str]:
    return markdown(
        HEADER, [_cells(name, records[name], row) for name in sorted(records) for row in records[name]["rows"]]
    )


def _cells(name: str, kept: dict, row: dict) -> list[str]:
    listed = ", ".join(f"{package} {version}" for package, version in kept["versions"].items())
    proven = {flag for a in row["accusations"] if a["proof"]["confirmed"] for flag in a["flags"]}
    others = {flag for a in row["accusations"] for flag in a["flags"]} - proven
    return [f"`{name}`", listed, row["operation"], row["result"], ", ".join(sorted(proven)), ", ".join(sorted(others))]


def unconfirmed(records: dict) -> list[str]:
    """Accusations that the proof refutes: there the verifier is wrong. One line each."""
    return [
        f"{name}: {a['case']} {a['dtype']} {a['output']} {a['problem']}; proof: {a['proof']}"
        for name, kept in records.items() for row in kept["rows"] for a in row["accusations"]
        if not a["proof"]["confirmed"]
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("examples", nargs="*")
    parser.add_argument("--write", action="store_true")
    parser.add_argument(
        "--seconds", type=float, default=120, help="for one example; what is not done by then is left out"
    )
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(found_in(options.one, options.seconds)))
        return
    everything = sorted(p.stem for p in EXAMPLES.glob("*.py") if p.stem not in TOOLS)
    records, wanted = recorded(), options.examples or everything
    for name in wanted:
        new = record(name, options.seconds)
        if new is not None:
            print(f"{name}: {len(new['rows'])} operations", file=sys.stderr)
            records = {**(recorded() if options.write else records), name: new}
            if options.write:
                write({known: records[known] for known in everything if known in records})
    shown = {name: records[name] for name in wanted if name in records}
    print(*table(shown), "", "Not proven:", *unconfirmed(shown), sep="\n")


def recorded() -> dict:
    return json.loads(proof.RECORDS.read_text()) if proof.RECORDS.exists() else {}


def write(records: dict) -> None:
    proof.RECORDS.write_text(json.dumps(records) + "\n")
    PAGE.write_text(pages.filled(PAGE.read_text(), "findings", table(records)))


if __name__ == "__main__":
    main()
