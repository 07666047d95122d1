"""Runs every piece of code on docs/findings.md whose libraries are installed, and compares what it prints.

python docs/examples/page_code.py            exit status 1 if a piece prints something else than the page says
python docs/examples/page_code.py --write    writes what it prints into the page
"""

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "findings.md"
PIECE = re.compile(r"```python\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)


def printed(code: str) -> str | None:
    """What the code prints; None if a library is missing."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    if done.returncode and "ModuleNotFoundError" in done.stderr:
        return None
    return done.stdout + "".join(done.stderr.splitlines(keepends=True)[-1:] if done.returncode else "")


def main() -> int:
    page, different = PAGE.read_text(), 0
    for code, expected in PIECE.findall(page):
        found = printed(code)
        name = code.splitlines()[0]
        if found is None:
            print(f"skipped, not installed: {name}")
        elif found != expected:
            different += 1
            print(f"{name}\n  the page says {expected!r}\n  it prints {found!r}")
            page = page.replace(f"{code}```\n\n```text\n{expected}```", f"{code}```\n\n```text\n{found}```")
    if "--write" in sys.argv:
        PAGE.write_text(page)
    return int(bool(different))


if __name__ == "__main__":
    raise SystemExit(main())
