"""`leakysm audit`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from leakysm_cli import options as o
from leakysm_cli.progress import shown_count

if TYPE_CHECKING:
    from leakysm.experiments.audit import Audit


def audit(
    run: o.Run,
    episodes: Annotated[
        int, typer.Option(min=0, help="Number of first episodes to train again; 0 checks only the files.")
    ] = 10,
    data: o.Data = None,
    backend: o.Backend = None,
    device: o.Device = None,
    threads: o.Threads = None,
    trust: o.Trust = False,
    json: o.Json = False,
) -> None:
    """Check a run: whether its files are unaltered and agree, and whether training again gives the same results.

    The first episodes are trained again and compared with metrics.csv. The command says whether they are the same to
    the bit, the same within float32 rounding (other BLAS kernels), or where they begin to differ. If anything does
    not agree, the exit status is 1.

    Example: leakysm audit runs/20260101-120000-omniglot --episodes 20
    """
    from leakysm_cli.output import print_json, print_lines

    from leakysm.experiments.audit import audit as audited
    from leakysm.runs import RunFolder

    place = None if data is None else str(data.absolute())
    with shown_count("training again") as report:
        found = audited(
            RunFolder(run),
            episodes=episodes,
            data=place,
            device=device,
            backend=backend,
            threads=threads,
            trust=trust,
            report=report,
        )
    if json:
        from dataclasses import asdict

        print_json(asdict(found), indent=1)
    else:
        print_lines(_lines(run, found))
    if found.failures:
        raise typer.Exit(1)


def _lines(run: Path, found: Audit) -> Iterator[str]:
    if found.listed is None:
        yield "digests: there is no manifest.json"
    else:
        there = found.listed - len(found.missing)
        left_out = f"; missing: {', '.join(found.missing)}" if found.missing else ""
        yield f"digests: {there} of the {found.listed} files in manifest.json were checked{left_out}"
    yield f"files: {', '.join(found.present)}"
    yield f"training: {found.again or f'nothing was trained again: {found.why}'}"
    for failure in found.failures:
        yield f"failed: {' '.join(failure.split())}"
    count = len(found.failures)
    yield f"{run}: {f'{count} failed' if count else 'everything that was checked agrees'}"
