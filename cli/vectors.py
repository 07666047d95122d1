"""`leakysm vectors`: list, check, export and remake the reference vectors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from leakysm_cli import options as o
from leakysm_cli.help import CONTEXT, SectionedCommand, SectionedGroup

if TYPE_CHECKING:
    from leakysm.verify.vectors.stored import Group

app = typer.Typer(
    name="vectors",
    cls=SectionedGroup,
    rich_markup_mode=None,
    context_settings=CONTEXT,
    help="The reference vectors: exact results of adversarial cases, for any language.\n\n"
    "Example: leakysm vectors list --operation relu",
)
_Folder = Annotated[
    Path | None, typer.Option("--data", help="Folder of vectors.", show_default="those installed with leakysm")
]


@app.command("list", cls=SectionedCommand)
def list_(
    operation: Annotated[str | None, typer.Option(help="Only this operation, or conv4.", show_default="all")] = None,
    flag: Annotated[str | None, typer.Option(help="Only cases with this flag.", show_default="all")] = None,
    data: _Folder = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the cases: id, dtypes, flags, and why each exists.

    Example: leakysm vectors list --operation cross_entropy --flag saturated
    """
    from leakysm_cli.output import print_json, print_lines, print_table

    from leakysm.verify.flags import FLAGS

    o.require_one_of("flag", () if flag is None else [flag], FLAGS)
    groups = _groups(data, operation, arrays=False)
    chosen = {k: g for k, g in groups.items() if flag is None or flag in g.description["flags"].split(",")}
    if json:
        print_json({name: group.description for name, group in chosen.items()}, indent=1)
    else:
        keys = ("dtypes", "flags", "note")
        print_table(("case", *keys), [[name, *(g.description[k] for k in keys)] for name, g in chosen.items()])
        print_lines(["", f"{len(chosen)} of {_cases(data)} cases"])


@app.command(cls=SectionedCommand)
def check(
    backend: Annotated[
        str, typer.Option(help="The engine to check against the vectors: reference, numpy, cupy, or none.")
    ] = "numpy",
    operation: Annotated[
        str | None,
        typer.Option(help="Check the engine's results only for this operation, or conv4.", show_default="all"),
    ] = None,
    data: _Folder = None,
) -> None:
    """Check the files against their manifest, then an engine's results against the vectors.

    Example: leakysm vectors check --backend cupy --operation conv_block
    """
    from leakysm_cli.output import print_lines
    from leakysm_cli.progress import shown_count

    import leakysm as lk
    from leakysm.errors import UserError
    from leakysm.verify.vectors import stored
    from leakysm.verify.vectors.checks import check_engine, check_files

    if operation and backend == "none":
        raise UserError("--operation is for an engine's results, but --backend is none; leave one out")
    where = data or stored.folder()
    groups = _groups(where, operation)
    with shown_count("checking the files") as bar:
        counts = check_files(where, progress=bar)
    print_lines([f"{name}: {count} cases, as the manifest says" for name, count in counts.items()])
    if backend == "none":
        return
    with shown_count("checking the engine") as bar:
        checked = check_engine(lk.backend(backend), groups, lk.Conv4, progress=bar)
    print_lines(checked.failures)
    verdict = (
        f"{len(checked.failures)} results out of bounds" if checked.failures else "every result is within its bound"
    )
    print_lines([f"{backend}: {checked.cases} cases, {checked.comparisons} comparisons: {verdict}"])
    if checked.failures:
        raise typer.Exit(1)


@app.command(cls=SectionedCommand)
def export(
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUTPUT",
            help="A folder, for one file per operation; or a file's name that ends in .json, .json.gz, .txt or .npz.",
        ),
    ],
    operation: Annotated[str | None, typer.Option(help="Only this operation, or conv4.", show_default="all")] = None,
    format: Annotated[
        Literal["json", "text"] | None,
        typer.Option(help="Format of the files in a folder; json is gzipped.", show_default="json"),
    ] = None,
    data: _Folder = None,
) -> None:
    """Write the vectors for other languages: JSON, plain text, or NumPy's npz.

    Example: leakysm vectors export vectors --operation cross_entropy
    """
    from leakysm_cli.output import print_lines
    from leakysm_cli.progress import shown_count

    from leakysm.verify.vectors import stored
    from leakysm.verify.vectors.export import export as write
    from leakysm.verify.vectors.export import file_ending
    from leakysm.verify.vectors.older import upgraded

    file_ending(output, format)
    groups = {case: upgraded(group) for case, group in _groups(data, operation).items()}
    version = str(stored.read_manifest(data or stored.folder())["version"])
    with shown_count("writing") as bar:
        written = write(groups, output, version, format, progress=bar)
    print_lines([f"{path}: {path.stat().st_size} bytes" for path in written] if len(written) > 1 else [])
    print_lines([f"{output}: {len(groups)} cases"])


@app.command(cls=SectionedCommand)
def make(
    out: Annotated[Path, typer.Option(help="Folder to write the files and the manifest to.")],
    data: _Folder = None,
    major: Annotated[
        bool, typer.Option("--major", help="Allow cases to change or disappear; this makes a new major version.")
    ] = False,
) -> None:
    """Make the vectors again, and compare them with the present ones. Exit 1 if a case changed or disappeared.

    Example: leakysm vectors make --out /tmp/vectors
    """
    from leakysm_cli.output import print_lines
    from leakysm_cli.progress import shown_count

    import leakysm as lk
    from leakysm.verify.vectors.make import make as work_out

    with shown_count("making") as bar:
        remade = work_out(out, lk.backend("reference"), lk.Conv4, shipped=data, major=major, progress=bar)
    exactly = len(set(remade.same) - set(remade.within_bound))
    print_lines(
        [
            f"remade exactly: {exactly} cases; within their bound: {len(remade.within_bound)}",
            f"added: {len(remade.added)}; changed: {len(remade.changed)}; gone: {len(remade.missing)}",
            f"written to {out}",
        ]
    )


def _cases(data: Path | None) -> int:
    from leakysm.verify.vectors import stored

    return sum(len(file["cases"]) for file in stored.read_manifest(data or stored.folder())["files"].values())


def _groups(data: Path | None, operation: str | None, *, arrays: bool = True) -> dict[str, Group]:
    """The stored cases, or those of an operation, from files that agree with the manifest."""
    from leakysm.verify.vectors import stored
    from leakysm.verify.vectors.checks import check_bytes, read_checked

    where = data or stored.folder()
    manifest = check_bytes(where)
    known = {case.partition("/")[0] for file in manifest["files"].values() for case in file["cases"]}
    o.require_one_of("operation", [] if operation is None else [operation], sorted(known))
    return read_checked(where, manifest, operation, arrays=arrays)
