"""Distances from a user's own file: checked before training, and by `verify --distance`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from leakysm.runs import TrainConfig


def refuse_wrong(configs: Iterable[TrainConfig]) -> None:
    """CheckFailed, with the counterexample, for the first distance of a file whose derivative is wrong.

    A warning for one that does not rise everywhere, or that calls other points nearer than those that coincide.
    """
    for metric in dict.fromkeys(config.metric for config in configs if config.formula):
        from leakysm.errors import CheckFailed
        from leakysm.verify.formula_report import check_distance, direction

        with redirect_stdout(sys.stderr):  # what the class prints
            findings = check_distance(metric, thorough=False)
        if findings.problem:
            raise CheckFailed(findings.problem)
        if findings.nearer is not None:
            typer.echo(f"leakysm: warning: the direction of {findings.formula} is {direction(findings)}", err=True)
        elif findings.falls is not None or findings.flat is not None:
            typer.echo(f"leakysm: warning: {findings.formula} {direction(findings)}", err=True)


def verify_distance(name: str, parameters: dict[str, Any], *, json: bool) -> None:
    """Print what is found of a distance by its name; exit 1 if its derivative is wrong."""
    from leakysm_cli.output import print_json, print_lines, print_table

    from leakysm.ops.metrics import metric_named
    from leakysm.verify import formula_report as report

    with redirect_stdout(sys.stderr):  # what the class prints
        findings = report.check_distance(metric_named(name, **parameters))
    if json:
        print_json(report.as_json(findings), indent=1)
    else:
        print_lines(report.lines(findings))
        if findings.errors:
            print_lines([""])
            print_table(report.ERROR_HEADER, report.error_rows(findings))
            print_lines(report.unbounded(findings))
    if findings.problem:
        raise typer.Exit(1)
