"""`leakysm export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from leakysm_cli import options as o

if TYPE_CHECKING:
    import numpy as np

    from leakysm.runs.restore import Stored


def export(
    source: Annotated[
        Path,
        typer.Argument(metavar="SOURCE", help="Folder of a run; or a .safetensors or .npz file of a Conv4's weights."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="File to write: *.safetensors or *.npz; *.py for the text of the run's own formula.",
            show_default="RUN/conv4.safetensors, or RUN/net.safetensors for a net of your own",
        ),
    ] = None,
    layout: Annotated[
        Literal["leakysm", "torch"], typer.Option(help="Names and layout of leakysm, or of a PyTorch state dict.")
    ] = "leakysm",
    prefix: Annotated[
        str | None, typer.Option(help="With --layout torch: prefix of PyTorch's names.", show_default="encoder.")
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(help="A run's folder: make --out a copy of that run with the weights of SOURCE."),
    ] = None,
    bias: Annotated[
        bool | None,
        typer.Option(
            "--bias/--no-bias",
            help="With --layout torch: write the convolutions' biases, which are 0, or leave them out.",
            show_default="--bias",
        ),
    ] = None,
) -> None:
    """Write a trained net's weights for other programs, or import those of a PyTorch net.

    A PyTorch state dict is read from .safetensors or .npz, whatever its names are. Biases of the convolutions are
    folded into the running means. Embeddings do not depend on the distance. A .safetensors file holds the run's
    settings in its metadata, and the text of its own formula, if it has one. The command runs no code.

    Example: leakysm export runs/20260101-120000-omniglot --layout torch --out conv4.safetensors

    Example: leakysm export their-conv4.safetensors --like runs/20260101-120000-omniglot --out runs/theirs
    """
    from leakysm.errors import UserError

    if layout != "torch":
        biases = {"no_bias" if bias is False else "bias": bias}
        o.refuse("needs --layout torch; add it, or leave this out", prefix=prefix, **biases)
    if not source.exists():
        raise UserError(f"{source}: no such file or folder; name a run's folder, or a file of weights")
    if out and out.exists() and out.samefile(source):
        raise UserError(f"--out is {out}, the source itself; give another name")
    if like is None:
        _file(source, out, layout, "encoder." if prefix is None else prefix, bias is not False)
    else:
        _run_like(source, like, out, layout)


def _file(source: Path, out: Path | None, layout: str, prefix: str, bias: bool) -> None:
    from leakysm_cli.output import tell_unfinished

    from leakysm.errors import UserError
    from leakysm.exchange.torch_layout import to_torch
    from leakysm.exchange.weights import require_suffix, write_weights

    if out is None and not source.is_dir():
        raise UserError("--out is missing; name the file to write, e.g. conv4.safetensors")
    if out and out.suffix == ".py":
        if layout == "torch":
            raise UserError(f"--layout torch is for weights, and --out is {out}; leave it out, or choose another --out")
        _formula(source, out)
        return
    if out:
        require_suffix(out)
    state, about, run = _loaded(source, layout)
    out = out or source / f"{'net' if run and run.config.net else 'conv4'}.safetensors"
    episodes = run.checkpoint.episode if run else 0
    arrays = to_torch(state, prefix=prefix, bias=bias, batches=episodes) if layout == "torch" else state
    write_weights(out, arrays, about)
    values = sum(array.size for array in arrays.values())
    print(f"{out}: {len(arrays)} arrays, {values} values, {layout} layout")
    if "scale" in about:
        print(f"learned scale of the distances {float(about['scale']):.9g}: {_place(out, 'scale')}")
    if "formula" in about:
        print(f"text of the distance's file: {_place(out, 'formula')}")
    if run:
        tell_unfinished(source, "exported", **run.described())


def _place(out: Path, key: str) -> str:
    return "an .npz file has no place for it" if out.suffix == ".npz" else f"in the metadata, as {key}"


def _formula(source: Path, out: Path) -> None:
    from leakysm.errors import UserError
    from leakysm.files import write_new
    from leakysm.runs.restore import stored
    from leakysm.runs.settings import formula_text

    config = stored(source).config
    if not formula_text(config):
        raise UserError(
            f"--out is {out}, but the distance of {source} is {config.distance}, which has no file; "
            "choose another --out"
        )
    write_new(out, formula_text(config))
    print(f"{out}: the text of {config.distance}, SHA-256 {config.formula}")


def _run_like(source: Path, like: Path, out: Path | None, layout: str) -> None:
    from leakysm.backends import backend
    from leakysm.errors import UserError
    from leakysm.exchange.imported_run import write_run_like
    from leakysm.runs import restore

    if out is None or layout != "leakysm":
        raise UserError("--like makes a run's folder: give that as --out, and leave --layout out")
    run = restore(like, backend("reference"))
    state, _, _ = _loaded(source, layout)
    write_run_like(run, state, out)
    print(f"{out}: a run like {like}, {run.config.distance}, with the weights of {source}")


def _loaded(source: Path, layout: str) -> tuple[dict[str, np.ndarray], dict[str, str], Stored | None]:
    """A net's state, the metadata of its file, and its run; None if the source is a file."""
    from leakysm.exchange.weights import FLATTENED, metadata, read_weights

    if not source.is_dir():
        about = {"format": "pt" if layout == "torch" else "np", "net": "Conv4", "embedding_order": FLATTENED[layout]}
        return read_weights(source), about, None
    from leakysm.backends import backend
    from leakysm.errors import UserError
    from leakysm.runs import restore
    from leakysm.runs.restore import stored

    run = stored(source)
    if run.config.net is None:
        run = restore(source, backend("reference"))
    elif layout == "torch":
        raise UserError(f"--layout torch is only for Conv4, but the run's net is {run.config.net}; leave it out")
    return run.checkpoint.net, metadata(run, layout), run
