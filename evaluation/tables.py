"""Tables of results: in the terminal, and as .csv, .json, .md or .tex. Not here: what is in a column (results.py)."""

import csv
import io
import json
import re
from pathlib import Path

import numpy as np

from evaluation.results import (
    BETTER,
    Column,
    described,
    differing,
    few_samples,
    floor_of,
    headings,
    mean_and_deviation,
    paired,
    rows,
)
from training.files import make_folder, write_file

TABLES = (".csv", ".json", ".md", ".tex")
COLUMNS = ("fid", "precision", "recall", "coverage", "classes")  # of a table for a paper: .md and .tex; .csv has all


def marked(name: str) -> str:
    """The name of a number with the direction that is better."""
    return f"{name} {BETTER[name]}" if name in BETTER else name


def print_table(columns: list[Column]) -> None:
    """One row per number; above each column its name, what differs, the number of seeds. Last the floor."""
    every, above = [*columns, floor_of(columns)], [*headings(columns), ["real (floor)"]]
    width = max(14, *(len(line) for heading in above for line in heading))
    for i in range(max(map(len, above))):
        print_row("", [heading[i] if i < len(heading) else "" for heading in above], width)
    for key in rows(columns):
        print_row(marked(key), [cell(column, key) for column in every], width)
    for line in differences(columns):
        print(line)


def print_row(name: str, cells: list[str], width: int) -> None:
    print(f"{name:18}" + "".join(f"{cell:>{width + 2}}" for cell in cells))


def cell(column: Column, key: str) -> str:
    if key == "kde_nats" and len(column.results) == 1 and column.values(key):
        return f"{column.first.numbers['kde_nats']:.1f} ± {column.first.numbers['kde_error']:.1f}"
    return column.cell(key)


def differences(columns: list[Column]) -> list[str]:
    """How each column differs from the first, seed by seed: what the seeds have in common cancels."""
    found = []
    for column in columns[1:]:
        pairs = {key: paired(column, columns[0], key) for key in for_a_paper(columns) if key != "seconds"}
        words = [f"{key} {mean_and_deviation(values)}" for key, values in pairs.items() if values]
        if words:
            found.append(f"{column.name} − {columns[0].name}, seed by seed: {', '.join(words)}")
    return found


def for_a_paper(columns: list[Column]) -> list[str]:
    """The numbers of the narrow tables."""
    few = any(few_samples(column) for column in columns)
    names = ("kid",) * few + ("fid_random", "fid", "fid_second", *COLUMNS[1:], "kde_nats", "seconds")
    return [name for name in names if any(column.values(name) for column in columns)]


def title(column: Column, names: list[str]) -> str:
    """What stands in front of a row: the settings in which the rows differ. Scripts differ in many: then the name."""
    words = column.name if "script" in names else ", ".join(described(column, names)) or column.name
    return f"{words} (n = {len(column.results)})" if len(column.results) > 1 else words


def write_table(columns: list[Column], path: Path) -> None:
    """The table as a file, in the form that its name ends in: a row for each column, and one for the floor."""
    write = {".csv": as_csv, ".json": as_json, ".md": as_markdown, ".tex": as_latex}[path.suffix]
    make_folder(path.parent)
    write_file(path, write(columns).encode())


def as_csv(columns: list[Column]) -> str:
    """For a program: every number with its mean, its standard deviation (empty for one seed), in full length."""
    keys, names = rows(columns), differing(columns)
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(["name", "settings", "n", *(word for key in keys for word in (key, f"{key}_std"))])
    for column in (*columns, floor_of(columns)):
        numbers = []
        for key in keys:
            values = column.values(key)
            numbers.append(float(np.mean(values)) if values else "")
            numbers.append(float(np.std(values, ddof=1)) if len(values) > 1 else "")
        writer.writerow([column.name, "; ".join(described(column, names)), len(column.results), *numbers])
    return stream.getvalue()


def as_json(columns: list[Column]) -> str:
    """For a program: the same, with the numbers and settings of every run, and the differences seed by seed."""
    keys, found = rows(columns), []
    for column in columns:
        values = {key: column.values(key) for key in keys if column.values(key)}
        mean = {key: float(np.mean(numbers)) for key, numbers in values.items()}
        std = {key: float(np.std(numbers, ddof=1)) for key, numbers in values.items() if len(numbers) > 1}
        runs = [{"name": r.name, "script": r.script, "settings": r.settings(), **r.numbers} for r in column.results]
        pairs = {key: paired(column, columns[0], key) for key in keys} if column is not columns[0] else {}
        minus_first = {key: numbers for key, numbers in pairs.items() if numbers}
        row = {"name": column.name, "n": len(runs), "mean": mean, "std": std, "minus_first": minus_first}
        found.append(row | {"runs": runs})
    return json.dumps({"columns": found, "floor": columns[0].first.numbers["floor"]}, indent=2)


def as_markdown(columns: list[Column]) -> str:
    keys, names = for_a_paper(columns), differing(columns)
    lines = [["", *keys]]
    for column in columns:
        lines.append([title(column, names), *(cell(column, key) for key in keys)])
    lines.append(["real (floor)", *(cell(floor_of(columns), key) for key in keys)])
    text = [f"| {' | '.join(word.replace('|', chr(92) + '|') for word in line)} |" for line in lines]
    text.insert(1, "|---" * (len(keys) + 1) + "|")
    return "\n".join([*text, *("\n" + line for line in differences(columns))]) + "\n"


def as_latex(columns: list[Column]) -> str:
    """A tabular that needs no package."""
    keys, names = for_a_paper(columns), differing(columns)
    lines = [" & ".join(["", *(escaped(marked(key)) for key in keys)]) + r" \\", r"\hline"]
    for column in columns:
        lines.append(
            " & ".join([escaped(title(column, names)), *(escaped(cell(column, key)) for key in keys)]) + r" \\"
        )
    floor = [escaped(cell(floor_of(columns), key)) for key in keys]
    lines += [r"\hline", " & ".join(["real (floor)", *floor]) + r" \\"]
    numbers = columns[0].first.numbers
    about = f"made by evaluate.py: {numbers['samples']} samples, {numbers['data']}; mean and deviation over n seeds"
    comments = [f"% {ascii_only(line)}" for line in (about, *differences(columns))]
    layout = f"\\begin{{tabular}}{{l{'r' * len(keys)}}}"
    return "\n".join([*comments, layout, r"\hline", *lines, r"\hline", r"\end{tabular}", ""])


IN_LATEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$"},
    **{"±": r"$\pm$", "↓": r"$\downarrow$", "↑": r"$\uparrow$", "–": "--", "−": "$-$", "…": r"\dots{}", "|": "$|$"},
}


def escaped(text: str) -> str:
    """A text as LaTeX sets it: its signs escaped."""
    text = "".join(IN_LATEX.get(sign, sign) for sign in text)
    return re.sub(r"(?<![\w-])-(?=\d)", "$-$", text)  # a minus sign, no hyphen


def ascii_only(text: str) -> str:
    """For a comment, which no font has to show."""
    return text.replace("±", "+-").replace("−", "-").encode("ascii", "replace").decode().replace("\n", " ")
