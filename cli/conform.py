"""`leakysm conform`: check a user's functions against the same bounds."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer


def conform(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="MODULE[:NAME]",
            help="The functions to check: a module's name, a .py file, or an object in either. Its code is run.",
            show_default=False,
        ),
    ] = None,
    array: Annotated[
        str | None,
        typer.Option(help="Arrays that the functions take: numpy, torch or jax.", show_default="inferred from imports"),
    ] = None,
    operation: Annotated[
        list[str] | None,
        typer.Option(help="Check only this operation; may be given several times.", show_default="all"),
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(
            help="Fail if the module lacks this operation or its gradient; may be given several times. For torch and "
            "jax, autodiff gives the gradient."
        ),
    ] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="THEIRS=OURS",
            help="The module's name of a parameter, such as t=threshold; for one operation only, such as "
            "leaky_squared_euclidean.t=threshold. May be given several times.",
        ),
    ] = None,
    dtype: Annotated[
        list[str] | None,
        typer.Option(
            help="Check only this dtype, float16, float32 or float64; may be given several times.",
            show_default="float32 and float64",
        ),
    ] = None,
    expected: Annotated[
        Path | None,
        typer.Option(
            help="File of expected failures, a line each: OPERATION/CASE/DTYPE/OUTPUT  # REASON. * is any text."
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Also check what only leakysm promises: float16, exact zeros, the left derivative at the kink.",
        ),
    ] = False,
    examples: Annotated[
        int, typer.Option(min=0, help="Number of random cases for each operation, beside the fixed ones.")
    ] = 25,
    seed: Annotated[int, typer.Option(help="Seed of the random cases.")] = 0,
    time_limit: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Time limit in seconds for each operation. Calls that have begun are finished; results up to then are "
            "reported.",
            show_default="none",
        ),
    ] = None,
    every_flag: Annotated[
        bool, typer.Option("--every-flag", help="Show a counterexample for every flag that fails, not only for one.")
    ] = False,
    explain: Annotated[
        str | None,
        typer.Option(
            metavar="FLAG", help="Say what a flag of the report means, and what to do about it. Needs no module."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Check a module's functions against leakysm's error bounds. leakysm finds them by the names of its operations.

    This runs the module's code: name only modules that you trust.

    Gradients come from the module's `<name>_vjp` functions or, for torch and jax, from autodiff. The exit status is 0
    if the module has at least one operation, none fails, none that --require names is missing, and all that --expected
    lists do fail. A failure is shown with its smallest counterexample as code.

    Example: leakysm conform my_losses --array torch --operation cross_entropy
    """
    from leakysm_cli.caches import keep_compiled_programs, keep_hypothesis_files
    from leakysm_cli.options import require_one_of
    from leakysm_cli.output import print_json, print_lines
    from leakysm_cli.progress import shown_steps

    from leakysm.cores import usable_cores
    from leakysm.errors import UserError
    from leakysm.verify import report as reports
    from leakysm.verify.conformance import OTHERS_DTYPES, OWN_DTYPES, Row, Settings, conform_module, read_expected_file
    from leakysm.verify.flags import FLAGS, explained
    from leakysm.verify.processes import wait_passively

    if explain is not None:
        require_one_of("flag", [explain], FLAGS)
        print_lines(explained(explain))
        if target is None:
            return
    if target is None:
        raise UserError("no module is given; name one, such as my_losses or my_losses.py")
    require_one_of("dtype", dtype or (), OWN_DTYPES)
    failures = read_expected_file(expected) if expected else []
    keep_hypothesis_files()
    keep_compiled_programs()
    wait_passively()
    dtypes = tuple(dict.fromkeys(dtype)) if dtype else OWN_DTYPES if strict else OTHERS_DTYPES
    settings = Settings(dtypes, strict, examples, seed=seed, seconds=time_limit, every_flag=every_flag)
    with shown_steps("checking") as steps, redirect_stdout(sys.stderr):  # keep what the module prints out of the report

        def finished(row: Row) -> None:
            if row.status != "not offered":
                steps.line(f"{row.operation}: {reports.result(row)}{f', {row.cases} cases' if row.cases > 1 else ''}")

        report = conform_module(
            target,
            array=array,
            names=map_ or (),
            operations=operation,
            settings=settings,
            expected=failures,
            require=require or (),
            processes=usable_cores(),
            progress=steps.count,
            finished=finished,
        )
    if json:
        print_json(reports.as_json(report), indent=1)
    else:
        print_lines(_text(report, target))
    if not report.ok:
        raise typer.Exit(1)


def _text(report: Any, target: str) -> list[str]:
    from leakysm.ops.registry import OPERATIONS
    from leakysm.tables import columns
    from leakysm.verify import report as reports

    broken = dict.fromkeys(row.problem for row in report.rows if row.status == "broken")
    if broken:
        return [problem if target in problem else f"{target}: {problem}" for problem in broken]
    rows = reports.summary_rows(report)
    lines = columns(reports.SUMMARY_HEADER, rows) if rows else []
    known = [row for row in report.rows if row.operation in OPERATIONS]
    offered = [row for row in known if row.status in ("passed", "failed")]
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    module = f"{target} ({versions})" if versions else target
    lines += [*reports.not_offered(report), *reports.problems(report), ""]
    lines += [*reports.hints(report)]
    if any(row.failures for row in offered):
        lines.append(reports.EXPLAIN)
    return [*lines, f"{module}: {len(offered)} of {len(known)} operations offered: {_verdict(report, offered)}"]


def _verdict(report: Any, offered: Sequence[Any]) -> str:
    failed = [row.operation for row in offered if row.status == "failed"] + [*report.missing]
    if failed:
        return f"failed: {', '.join(failed)}"
    if not offered:
        return "nothing was checked"
    unmatched = len(report.unmatched)
    failures = f"{unmatched} expected failure{'s' * (unmatched != 1)}"
    return f"none fails, but {failures} did not happen" if unmatched else "none fails"
