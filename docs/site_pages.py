"""What mkdocs does with this project's pages, as hooks (mkdocs.yml).

Some files of the repository are pages of the site. Links that the repository resolves and the site cannot become text.
A fence's first word is its language; the comment behind it is for tests/docs, and does not reach the site.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "architecture.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "vectors-format.md": "reference_data/FORMAT.md",
}
# A page of the Python API: its title, what it is for, and the modules or packages whose docstrings make it.
API = {
    "operations": (
        "Operations",
        "Every operation is a value `f` and its vector-Jacobian product `f_vjp`. All are names of "
        "`import leakysm as lk`. They take the arrays of NumPy, CuPy, PyTorch, JAX and other array-API libraries, "
        "and return the same kind.",
        ["leakysm.ops"],
    ),
    "metrics": (
        "Metrics",
        "A metric is a distance with its parameters. The loss, the trainer and the experiments take metrics.",
        ["leakysm.ops.metrics", "leakysm.ops.restriction"],
    ),
    "net": (
        "Net and engines",
        "The embedding net, and the engines that compute it. An engine has every operation as "
        "`forward(...) -> (y, saved)` and `backward(saved, dy)`.",
        ["leakysm.nets", "leakysm.backends"],
    ),
    "data": (
        "Data and episodes",
        "Images sorted by class, and which of them are in which episode.",
        ["leakysm.data", "leakysm.episodes"],
    ),
    "training": (
        "Training",
        "One training step, the optimizers, and tests in episodes.",
        ["leakysm.training", "leakysm.optim"],
    ),
    "runs": (
        "Runs",
        "A run on disk: settings, folder, checkpoints and results. `lk.train`, `lk.TrainConfig` and `lk.evaluate_run` "
        "are defined here.",
        ["leakysm.runs"],
    ),
    "experiments": (
        "Experiments",
        "What `leakysm compare`, `leakysm gradients` and `leakysm sweep` compute, and the page of `leakysm report`.",
        ["leakysm.experiments", "leakysm.report.report"],
    ),
    "exchange": (
        "Prediction and exchange",
        "Your own images, and weights in and out.",
        ["leakysm.predict", "leakysm.exchange"],
    ),
    "verify": (
        "Verification",
        "The error bounds, and the checks that hold an implementation to them.",
        [
            "leakysm.verify.conformance",
            "leakysm.verify.bounds",
            "leakysm.verify.gradients",
            "leakysm.verify.formula",
            "leakysm.verify.formula_report",
            "leakysm.verify.search",
            "leakysm.verify.vectors",
        ],
    ),
    "errors": ("Errors", "Every error that a user can cause.", ["leakysm.errors"]),
}
INNER = {"file", "files", "outputs", "plots", "report", "worker"}  # modules that no user calls
FENCE_COMMENT = re.compile(r"^(\s*```[\w-]+[^#\n]*?) +#.*$", re.MULTILINE)
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]+)(#[^)]*)?\)")


def on_files(files: Any, config: Any) -> Any:
    """Add the repository's own pages."""
    for page, source in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text("utf-8")))
    for name, (title, purpose, homes) in API.items():
        modules = "\n\n".join(part for home in homes for part in _parts(home))
        files.append(File.generated(config, f"api/{name}.md", content=f"# {title}\n\n{purpose}\n\n{modules}\n"))
    return files


def _parts(home: str) -> list[str]:
    """The lines from which mkdocstrings makes the reference of a module, or of a package.

    Of the operations: each module, for its formulas, with the names that leakysm.ops takes from it. Of another package
    that says what it offers, that; else all its public modules.
    """
    path = ROOT / home.replace(".", "/")
    if home == "leakysm.ops":
        found = ast.parse((path / "__init__.py").read_text("utf-8")).body
        taken = {s.module: [n.name for n in s.names] for s in found if isinstance(s, ast.ImportFrom) and s.module}
        return [
            f"::: {module}\n    options:\n      members: [{', '.join(names)}]"
            for module, names in taken.items()
            if module not in API["metrics"][2]  # a name has one page
        ]
    if not path.is_dir() or "__all__" in (path / "__init__.py").read_text("utf-8"):
        return [f"::: {home}"]
    return [
        part
        for entry in sorted(path.iterdir())
        if not entry.name.startswith("_")
        and entry.stem not in INNER
        and (entry.suffix == ".py" or (entry / "__init__.py").exists())
        for part in _parts(f"{home}.{entry.stem}")
    ]


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Drop the comments of fences, and mend links that leave the site."""
    uri = page.file.src_uri
    source = PurePosixPath(PAGES.get(uri, f"docs/{uri}"))
    known = {path: name for name, path in PAGES.items()}

    def mended(link: re.Match[str]) -> str:
        image, text, target, anchor = link.group(1), link.group(2), link.group(3), link.group(4) or ""
        if "://" in target or target.startswith("mailto:"):
            return link.group(0)
        place = _normal(source.parent / target)
        if place in known:
            return f"{image}[{text}]({_way(uri, known[place])}{anchor})"
        inside = place.removeprefix("docs/")
        if place.startswith("docs/") and files.get_file_from_path(inside) is not None:
            return f"{image}[{text}]({_way(uri, inside)}{anchor})"
        return text if text == place or not (ROOT / place).exists() else f"{text} (`{place}`)"

    pieces = re.split(r"(^\s*```.*?^\s*```\s*$)", FENCE_COMMENT.sub(r"\1", markdown), flags=re.MULTILINE | re.DOTALL)
    return "".join(piece if piece.lstrip().startswith("```") else LINK.sub(mended, piece) for piece in pieces)


def _normal(path: PurePosixPath) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _way(page: str, target: str) -> str:
    """The relative link from one page to another."""
    return "../" * page.count("/") + target
