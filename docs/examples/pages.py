"""The generated parts of the documentation: tables between the marks `<!-- name -->` and `<!-- /name -->` of a page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from inspect import Signature, signature

from leakysm.ops.registry import OPERATIONS
from leakysm.verify.flags import FLAGS
from leakysm.verify.registry import ENTRIES


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table as lines of Markdown, its cells not padded."""
    escaped = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *escaped)]


def part(page: str, name: str) -> str:
    """The text between the marks of a name; ValueError if the page has no such marks."""
    match = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", page, flags=re.DOTALL)
    if match is None:
        raise ValueError(f"the page has no part {name}; the marks <!-- {name} --> and <!-- /{name} --> are expected")
    return match[1]


def filled(page: str, name: str, lines: Sequence[str]) -> str:
    """The page with other lines between a name's marks."""
    return page.replace(
        f"<!-- {name} -->\n{part(page, name)}", f"<!-- {name} -->\n" + "".join(f"{li}\n" for li in lines)
    )


def operations() -> list[str]:
    """The table of operations: how each is called, what it takes, and what it and its `_vjp` return."""
    rows = []
    for name, operation in sorted(OPERATIONS.items()):
        given = [p.replace(annotation=p.empty) for p in signature(operation.value).parameters.values()]
        call = f"`{name}{Signature(given)}`"
        rows.append([call, operation.domain, ", ".join(operation.outputs), ", ".join(ENTRIES[name].gradients)])
    return markdown(("call", "takes", "returns", "`_vjp` returns"), rows)


def bounds() -> list[str]:
    """The table of bounds: a row for each output. k = r / 2."""
    rows = [
        [operation, name, f"`{bound.roundings}`", f"`{bound.scale}`", bound.why]
        for operation, entry in ENTRIES.items()
        for name, bound in entry.bounds.items()
    ]
    return markdown(("operation", "output", "r", "scale", "what is rounded"), rows)


def flags() -> list[str]:
    """The table of flags: what the cases of each are there to show."""
    return markdown(("flag", "what it is there to find"), [[f"`{name}`", flag.finds] for name, flag in FLAGS.items()])


def mends() -> list[str]:
    """The table of what to do about the failures of each flag."""
    rows = [[f"`{name}`", flag.mend] for name, flag in FLAGS.items()]
    return markdown(("flag", "what to do about its failures"), rows)
