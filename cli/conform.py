"""`leakysm conform`: somebody else's functions, held to the same bounds."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer


def conform(
    target: Annotated[
        str,
        typer.Argument(
            metavar="MODULE[:NAME]", help="What offers the functions: a module, a .py file, or an object in it."
        ),
    ],
    array: Annotated[
        str | None, typer.Option(help="Its arrays: numpy, torch or jax. Default: told from what the module imports.")
    ] = None,
    operation: Annotated[
        list[str] | None, typer.Option(help="Only this operation; may be given several times.")
    ] = None,
    expected: Annotated[Path | None, typer.Option(help="File of expected failures, lines PATTERN  # REASON.")] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Also what only leakysm promises: float16, exact zeros, the left derivative at the kink."
        ),
    ] = False,
    examples: Annotated[int, typer.Option(min=0, help="Random cases for each operation, beside the fixed ones.")] = 25,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Hold the functions of a module to leakysm's error bounds: those that it offers under their public names.

    Gradients come from its own `<name>_vjp` functions or, for torch and jax, from their autodiff. Exit 0 if at least
    one operation is offered and none fails; a failure is shown with its smallest counterexample as code.

    Example: leakysm conform my_losses --array torch --operation cross_entropy
    """
    from leakysm_cli.progress import shown_count
    from leakysm_cli.verify import dumps, keep_hypothesis_files, print_lines

    from leakysm.ops.registry import OPERATIONS
    from leakysm.verify import report as reports
    from leakysm.verify.conformance import OTHERS_DTYPES, OWN_DTYPES, Settings, conform_module, read_expected_file

    failures = read_expected_file(expected) if expected else []
    keep_hypothesis_files()
    settings = Settings(OWN_DTYPES if strict else OTHERS_DTYPES, strict=strict, examples=examples)
    with shown_count("checking") as bar, redirect_stdout(sys.stderr):  # what the module prints is no part of the report
        report = conform_module(
            target, array=array, operations=operation, settings=settings, expected=failures, progress=bar
        )
    if json:
        print(dumps(reports.as_json(report)))
    else:
        print_lines(reports.columns(reports.SUMMARY_HEADER, reports.summary_rows(report)))
        print_lines(reports.problems(report))
        known = [row for row in report.rows if row.operation in OPERATIONS]  # a module that is of no use has a row too
        offered = [row for row in report.rows if row.status in ("passed", "failed")]
        failed = [row.operation for row in offered if row.status == "failed"]
        verdict = f"failed: {', '.join(failed)}" if failed else "none fails" if offered else "nothing was checked"
        versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
        module = f"{target} ({versions})" if versions else target
        print_lines(["", f"{module}: {len(offered)} of {len(known)} operations offered: {verdict}"])
    if not report.ok:
        raise typer.Exit(1)
