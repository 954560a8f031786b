"""What differs between two lessons in code; the texts at their tops are left out. Coloured in a terminal.

python -m benchmarks.diff dcgan wgan
"""

import argparse
import ast
import difflib
import os
import sys
from pathlib import Path

COLOURS = {"-": "\033[31m", "+": "\033[32m", "@": "\033[36m"}  # red, green, cyan


def code(script: str) -> list[str]:
    """The lines of a script below its docstring."""
    path = Path(script if script.endswith(".py") else f"{script}.py")
    path = path if path.exists() else Path(__file__).parent.with_name(path.name)
    try:
        text = path.read_text(encoding="utf-8")
        first = ast.parse(text).body[0]
    except (OSError, ValueError, SyntaxError, IndexError):
        sys.exit(f"diff.py: {script}: there is no such script; name one such as dcgan, or a file")
    is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return text.splitlines()[first.end_lineno if is_text else 0 :]


def main() -> None:
    # argparse, as it needs no torch: a diff should be there at once
    parser = argparse.ArgumentParser(prog="python -m benchmarks.diff", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scripts", nargs=2, help="two lessons, such as dcgan and wgan, or files")
    parser.add_argument("--context", type=int, default=1, help="lines around each change (default: 1)")
    options = parser.parse_args()
    a, b = (code(script) for script in options.scripts)
    coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    if coloured and os.name == "nt":
        os.system("")  # so that older consoles of Windows obey the colours
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    for line in difflib.unified_diff(a, b, *options.scripts, n=max(0, options.context), lineterm=""):
        print(f"{COLOURS[line[0]]}{line}\033[0m" if coloured and line[0] in COLOURS else line)


if __name__ == "__main__":
    main()
