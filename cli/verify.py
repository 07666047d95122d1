"""`leakysm verify`: error table and gradient checks of a backend, on this machine."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from leakysm_cli import options as o

if TYPE_CHECKING:
    from leakysm.backends import Engine
    from leakysm.verify.adapters import Implementation
    from leakysm.verify.conformance import Row
    from leakysm.verify.gradients import Checks

EXAMPLES, THOROUGH_EXAMPLES = 6, 500  # random cases of each operation


def verify(
    backend: Annotated[str, typer.Option(help="Engine of leakysm to check: reference, numpy or cupy.")] = "numpy",
    operation: Annotated[
        list[str] | None,
        typer.Option(help="Check only this operation; may be given several times.", show_default="all"),
    ] = None,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Check 500 random cases of each operation, not 6. This takes minutes.")
    ] = False,
    search: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Only search for the inputs with the largest errors, for this many seconds in all.",
        ),
    ] = None,
    distance: Annotated[
        str | None,
        typer.Option(
            help="Only check the derivative of this distance: your own, FILE.py:CLASS, or a built-in one by its "
            "name. Restrictions (leaky, log, root, your own) are checked in 50 digits, and their rounding errors "
            "measured; built-in metrics are checked in float64.",
            rich_help_panel=o.DISTANCE,
        ),
    ] = None,
    set: o.Set = None,
    threads: Annotated[
        int | None, typer.Option(help="Number of threads of the numpy engine.", show_default="one for each core")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Device of the cupy engine, such as cuda:1.", show_default="cuda:0")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Check leakysm's own operations, value and gradient, against 50-digit arithmetic. For your code: leakysm conform.

    Prints the largest error of each operation and dtype divided by its bound, then the checks by numerical
    differentiation and the laws of gradients (linear in dy, and the like). If an error exceeds its bound, it prints the
    smallest failing example as code, and exits with status 1. With --search it looks for the inputs with the largest
    errors instead, and checks them against the worst bound, which holds for any data.

    With --distance it compares the derivative of a distance with the numerical derivative of its value. For a
    restriction it also finds the kinks (where the derivative jumps), measures the rounding errors, and proposes bounds.
    If the derivative is wrong, it prints a counterexample, and exits with status 1.

    Example: leakysm verify --backend numpy --operation conv_block

    Example: leakysm verify --distance my_formula.py:MyFormula --set scale=2
    """
    if distance is not None:
        why = "cannot be combined with --distance; leave one of them out"
        engine_options = {"backend": None if backend == "numpy" else backend, "threads": threads, "device": device}
        o.refuse(why, operation=operation, thorough=thorough or None, search=search, **engine_options)
        from leakysm_cli.own_distance import verify_distance

        verify_distance(distance, o.parameters(set or []), json=json)
        return
    o.refuse("needs --distance; add it", set=set)
    from leakysm_cli.caches import keep_hypothesis_files

    import leakysm as lk
    from leakysm.verify.adapters import EngineImplementation
    from leakysm.verify.conformance import require_known
    from leakysm.verify.registry import ENTRIES

    if backend != "numpy":
        o.refuse("is only for numpy; leave it out", threads=threads)
    engine = partial(lk.backend, backend, threads=threads, device=device)
    implementation = EngineImplementation(engine())
    names = operation or list(ENTRIES)
    require_known(names)
    keep_hypothesis_files()
    if search is not None:
        o.refuse("cannot be combined with --search; leave one of them out", thorough=thorough or None)
        searched(implementation, names, search, json=json)
        return
    check = partial(checked, engine, THOROUGH_EXAMPLES if thorough else EXAMPLES)
    verified(implementation, names, check, processes=1 if backend == "cupy" else None, json=json)


def verified(
    implementation: Implementation,
    names: list[str],
    check: Callable[[str], tuple[Row, Checks]],
    *,
    processes: int | None,
    json: bool,
) -> None:
    """The table of errors and the checks of gradients; exit 1 if one fails. processes: None is one for each core."""
    from leakysm_cli.output import print_json, print_lines, print_table
    from leakysm_cli.progress import shown_count

    from leakysm.cores import usable_cores
    from leakysm.verify import report as reports
    from leakysm.verify.conformance import Report
    from leakysm.verify.processes import mapped

    results: dict[int, tuple[Row, Checks]] = {}
    with shown_count("checking") as bar, mapped(check, names, processes or usable_cores()) as finished:
        for place, result in finished:
            results[place] = result
            bar(len(results), len(names))
    in_order = [results[place] for place in range(len(names))]
    checks = [gradients for _, gradients in in_order]
    report = Report(implementation.name, implementation.versions, [row for row, _ in in_order])
    if json:
        print_json(reports.as_json(report, checks), indent=1)
    else:
        print_table(reports.ERROR_HEADER, reports.error_rows(report))
        print_lines([""])
        print_table(reports.GRADIENT_HEADER, reports.gradient_rows(checks))
        print_lines([*reports.problems(report), *(problem for c in checks for problem in c.problems)])
        print_lines(["", *reports.verdict(report, checks)])
    if reports.failed(report, checks):
        raise typer.Exit(1)


def checked(engine: Callable[[], Engine], examples: int, name: str) -> tuple[Row, Checks]:
    """Check one operation: its row of the report, and its checks by numerical derivatives and laws."""
    import numpy as np

    from leakysm.verify.adapters import EngineImplementation
    from leakysm.verify.conformance import OWN_DTYPES, Settings
    from leakysm.verify.conformance.run import check_operation
    from leakysm.verify.gradients import check_gradients
    from leakysm.verify.registry import ENTRIES

    implementation = EngineImplementation(engine())
    with np.errstate(all="ignore"):
        row, _ = check_operation(implementation, ENTRIES[name], Settings(OWN_DTYPES, strict=True, examples=examples))
        return row, check_gradients(implementation, ENTRIES[name])


def searched(implementation: Implementation, names: list[str], seconds: float, *, json: bool) -> None:
    """The table of the adversarial search; exit 1 if an error is above its worst bound."""
    from dataclasses import fields

    import numpy as np
    from leakysm_cli.output import print_json, print_lines, print_table
    from leakysm_cli.progress import shown_count

    from leakysm.verify import report as reports
    from leakysm.verify.registry import ENTRIES
    from leakysm.verify.search import search

    peaks = []
    with shown_count("searching") as bar, np.errstate(all="ignore"):
        for done, name in enumerate(names):
            bar(done, len(names))
            peaks += search(implementation, ENTRIES[name], seconds / len(names))
    above = sorted({f"{p.operation} {p.output}" for p in peaks if p.ratio > 1})
    if json:
        told = [{f.name: getattr(p, f.name) for f in fields(p) if f.name != "case"} for p in peaks]
        print_json(told, indent=1)
    else:
        print_table(reports.SEARCH_HEADER, reports.search_rows(peaks))
        verdict = f"above the worst bound: {', '.join(above)}" if above else "no error is above its worst bound"
        print_lines(["", f"{implementation.name}: {verdict}"])
    if above:
        raise typer.Exit(1)
