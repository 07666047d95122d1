"""The fenced blocks of a Markdown page, and how each is run.

A fence's first word is its language. Python blocks are scripts that stand alone; `sh` blocks are scripts of bash. A
block with `title="NAME"` is also written to that file. All blocks of a page run in the order of the page, in one new
folder. A `text` block right after a Python block is what that prints.

The comment in the opening line says what a block needs: `# long: WHY` is run by hand, `# needs: MODULE` only where that
is installed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^```(?P<language>\w+)(?P<rest>[^\n]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
PRINTED = re.compile(r"\n\n```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN = ("python", "sh")
WRITTEN = ("python", "toml", "text", "yaml")


@dataclass(frozen=True)
class Block:
    """One fenced block. `printed`: what it must print, None if the page does not say."""

    page: Path
    line: int
    language: str
    code: str
    title: str | None
    long: str | None
    needs: str | None
    printed: str | None

    @property
    def runs(self) -> bool:
        return self.language in RUN and self.long is None


def blocks(page: Path) -> list[Block]:
    """Every fenced block of a page, in its order."""
    text = page.read_text("utf-8")
    found = []
    for match in FENCE.finditer(text):
        settings, _, comment = match["rest"].partition("#")
        title = re.search(r'title="([^"]+)"', settings)
        long, needs = (re.fullmatch(rf" {word}: (.+)", comment) for word in ("long", "needs"))
        if comment and not (long or needs):
            raise ValueError(
                f"{page}: '#{comment}' in a fence's first line; '# long: WHY' or '# needs: MODULE' is expected"
            )
        printed = PRINTED.match(text, match.end()) if match["language"] == "python" else None
        found.append(
            Block(
                page,
                text.count("\n", 0, match.start()) + 1,
                match["language"],
                match["code"],
                title[1] if title else None,
                long[1] if long else None,
                needs[1] if needs else None,
                printed[1] if printed else None,
            )
        )
    return found
