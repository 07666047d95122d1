"""`leakysm vectors`: list, check, export and remake the reference vectors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from leakysm_cli import options as o

if TYPE_CHECKING:
    from leakysm.verify.vectors.stored import Group

app = typer.Typer(
    help="The reference vectors: exact results of adversarial cases, for any language.", no_args_is_help=True
)
_Folder = Annotated[
    Path | None, typer.Option("--data", help="Folder of vectors. Default: those installed with leakysm.")
]


@app.command("list")
def list_(
    operation: Annotated[str | None, typer.Option(help="Only this operation, or conv4.")] = None,
    flag: Annotated[str | None, typer.Option(help="Only cases with this flag.")] = None,
    data: _Folder = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the cases: id, dtypes, flags, and why each exists.

    Example: leakysm vectors list --operation cross_entropy --flag saturated
    """
    from leakysm_cli.verify import dumps, print_lines

    from leakysm.verify.flags import FLAGS
    from leakysm.verify.report import columns

    groups = _chosen(_all_groups(data), operation)
    o.require_one_of("flag", () if flag is None else [flag], FLAGS)
    chosen = {k: g for k, g in groups.items() if flag is None or flag in g.description["flags"].split(",")}
    if json:
        print(dumps({name: group.description for name, group in chosen.items()}))
    else:
        keys = ("dtypes", "flags", "note")
        print_lines(columns(("case", *keys), [[name, *(g.description[k] for k in keys)] for name, g in chosen.items()]))
        print_lines(["", f"{len(chosen)} of {len(groups)} cases"])


@app.command()
def check(
    backend: Annotated[
        str, typer.Option(help="The engine to hold to the vectors: reference, numpy, cupy, or none.")
    ] = "numpy",
    operation: Annotated[
        str | None, typer.Option(help="The engine's results of this operation, or conv4, alone.")
    ] = None,
    data: _Folder = None,
) -> None:
    """Check the files against their manifest, then an engine's results against the vectors.

    Example: leakysm vectors check --backend cupy --operation conv_block
    """
    from leakysm_cli.progress import shown_count
    from leakysm_cli.verify import print_lines

    import leakysm as lk
    from leakysm.errors import UserError
    from leakysm.verify.vectors import stored
    from leakysm.verify.vectors.checks import check_engine, check_files

    if operation and backend == "none":
        raise UserError("--operation is for an engine's results, but --backend is none; leave one out")
    where = data or stored.folder()
    counts = check_files(where)
    groups = _chosen(_all_groups(where), operation)
    print_lines([f"{name}: {count} cases, as the manifest says" for name, count in counts.items()])
    if backend == "none":
        return
    with shown_count("checking") as bar:
        checked = check_engine(lk.backend(backend), groups, progress=bar)
    print_lines(checked.failures)
    verdict = (
        f"{len(checked.failures)} results out of bounds" if checked.failures else "every result is within its bound"
    )
    print_lines([f"{backend}: {checked.cases} cases, {checked.comparisons} comparisons: {verdict}"])
    if checked.failures:
        raise typer.Exit(1)


@app.command()
def export(
    output: Annotated[Path, typer.Argument(metavar="FILE", help="Ends in .npz or .json, which chooses the format.")],
    operation: Annotated[str | None, typer.Option(help="Only this operation, or conv4.")] = None,
    data: _Folder = None,
) -> None:
    """Write the vectors as one .npz or .json file.

    Example: leakysm vectors export cross_entropy.json --operation cross_entropy
    """
    from leakysm_cli.verify import print_lines

    from leakysm.verify.vectors.export import export as write

    groups = _chosen(_all_groups(data), operation)
    write(groups, output)
    print_lines([f"{output}: {len(groups)} cases"])


@app.command()
def make(
    out: Annotated[Path, typer.Option(help="Folder to write the files and the manifest to.")],
    data: _Folder = None,
    major: Annotated[bool, typer.Option("--major", help="Let cases change or disappear: a new major version.")] = False,
) -> None:
    """Work the vectors out anew, and compare with those that are there: exit 1 if a case changed or disappeared.

    Example: leakysm vectors make --out /tmp/vectors
    """
    from leakysm_cli.progress import shown_count
    from leakysm_cli.verify import print_lines

    from leakysm.verify.vectors.make import make as work_out

    with shown_count("making") as bar:
        remade = work_out(out, shipped=data, major=major, progress=bar)
    exactly = len(set(remade.same) - set(remade.within_bound))
    print_lines(
        [
            f"remade exactly: {exactly} cases; within their bound: {len(remade.within_bound)}",
            f"added: {len(remade.added)}; changed: {len(remade.changed)}; gone: {len(remade.missing)}",
            f"written to {out}",
        ]
    )


def _all_groups(data: Path | None) -> dict[str, Group]:
    from leakysm.verify.vectors import stored

    where = data or stored.folder()
    return stored.read(where / stored.OPERATIONS) | stored.read(where / stored.NETS)


def _chosen(groups: dict[str, Group], operation: str | None) -> dict[str, Group]:
    if operation is not None:
        o.require_one_of("operation", [operation], sorted({name.partition("/")[0] for name in groups}))
    return {k: g for k, g in groups.items() if operation in (None, k.partition("/")[0])}
