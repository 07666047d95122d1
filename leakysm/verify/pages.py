"""The generated parts of the documentation: tables between the marks `<!-- name -->` and `<!-- /name -->` of a page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from inspect import Signature, signature

from leakysm.ops.registry import OPERATIONS
from leakysm.verify.registry import ENTRIES
from leakysm.verify.report import BOUND_HEADER, FLAG_HEADER, MEND_HEADER, bound_rows, flag_rows, markdown, mend_rows


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
    """The table of bounds."""
    return markdown(BOUND_HEADER, bound_rows())


def flags() -> list[str]:
    """The table of flags."""
    return markdown(FLAG_HEADER, flag_rows())


def mends() -> list[str]:
    """The table of what to do about each flag."""
    return markdown(MEND_HEADER, mend_rows())
