"""python -m tests.verify.planted [EACH]: how many of each family the suite catches, and which it lets pass.

EACH: so many of every family, operation and part; left out: all.
"""

from __future__ import annotations

import sys
from collections import Counter

from .conforming import status
from .framework_mutants import framework_mutants
from .mutants import counts, mutants, sample


def main(each: str = "1000000", array: str = "") -> None:
    every = [m for m in (*mutants(), *framework_mutants()) if m.array.startswith(array)]
    chosen = sample(every, int(each))
    total, caught, passed = Counter(m.family for m in every), Counter(), Counter()
    tried: Counter[str] = Counter()
    for mutant in chosen:
        if (said := status(mutant)) != "failed" and not counts(mutant):
            continue
        tried[mutant.family] += 1
        caught[mutant.family] += said == "failed"
        if said != "failed":
            passed[mutant.family] += 1
            print(f"{said}: {mutant.family}: {mutant.name}", flush=True)
    print(f"{sum(total.values())} mutants, {sum(tried.values())} tried, {sum(caught.values())} caught")
    for family in total:
        print(f"{family:40} {total[family]:5} mutants {tried[family]:5} tried {caught[family]:5} caught")


main(*sys.argv[1:])
