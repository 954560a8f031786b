"""README, docs and the lessons' texts: their length, no history, one name for a single run; links into pages."""

import ast
import re

import pytest
from conftest import LESSONS, ROOT

PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
TEXTS = {name: text for name, text in PAGES.items() if name != "LOG.md"}  # the log alone tells what was when, and where
TEXTS |= {name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md")}
TEXTS |= {f"{script}.py": (ROOT / f"{script}.py").read_text(encoding="utf-8") for script in LESSONS}

every_text = pytest.mark.parametrize("name", sorted(TEXTS))


def words(text: str) -> int:
    """As `wc -w` counts them: the signs of tables and diffs, too."""
    return len(text.split())


def test_pages_are_short():
    counts = {name: words(text) for name, text in PAGES.items()}
    print("\n".join(f"{count:6} {name}" for name, count in counts.items()))
    assert counts.pop("LOG.md") <= 4000
    assert sum(counts.values()) <= 9000


def test_an_entry_of_the_log_is_three_lines():
    """Tried, found, decided; newest first within a subject."""
    _, *subjects = re.split(r"^## .*\n", PAGES["LOG.md"], flags=re.M)
    assert len(subjects) >= 5
    for subject in subjects:
        entries = re.split(r"^\*\*(\d{4}-\d\d-\d\d), .*\*\*\n", subject, flags=re.M)[1:]
        dates, bodies = entries[::2], entries[1::2]
        assert dates == sorted(dates, reverse=True)
        assert len(dates) >= 1
        for body in bodies:
            assert [line.split(":")[0] for line in body.strip().splitlines()] == ["- Tried", "- Found", "- Decided"], (
                body
            )


MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
DATE = rf"\b20\d\d-\d\d\b|\b20\d\d 年 ?\d|\b(?:{MONTHS}) (?:\d+, )?20\d\d\b"
HISTORY = r"\bdefaults? (?:until|of then)\b|\buntil 20\d\d\b|\bolder defaults?\b|\bsince then\b|\bearlier machines?\b"
# Of processors and cards. AMX is none: what it does to the numbers is a fact about all that have it.
MACHINE = r"\b(?:EPYC|Xeons?|Ryzen|Threadripper|Core i\d|[AHBV][12]00|RTX ?\d+|T4|M[1-4] (?:Pro|Max|Ultra))\b"
WHERE_MACHINES_STAND = {"results.md", "machines.md"}


@every_text
def test_no_date_and_no_history(name):
    assert re.findall(DATE, TEXTS[name]) == []
    assert re.findall(HISTORY, TEXTS[name]) == []


@every_text
def test_machines_stand_beside_results_only(name):
    text = TEXTS[name]
    if name.startswith("README"):
        text = re.sub(r"^## (?:Results|结果)\n.*?(?=^## )", "", text, flags=re.M | re.S)
    assert name in WHERE_MACHINES_STAND or re.findall(MACHINE, text) == []


MEASURED = r"FIDs?\W+(?:is |of |at )?\d|`fid_random` \d|\|[^|\n]*\bfid|\|[^|\n]*`fid_random`"
SINGLE, SAID = r"\bseed \d\b|\bone seed\b|单个种子|种子 \d", r"\bone run\b|单次运行"


def paragraphs(text: str) -> list[str]:
    """Between blank lines. A table belongs to the paragraph before it, a fold with measured numbers is one."""
    parts: list[str] = []
    for part in re.split(r"\n\s*\n", text):
        if part.startswith("|") and parts:
            parts[-1] += "\n" + part
        else:
            parts.append(part)
    return parts


@every_text
def test_a_single_seeds_number_is_called_one_run(name):
    """Where a paragraph names a seed and an FID, it says the two words."""
    for paragraph in paragraphs(TEXTS[name]):
        if re.search(SINGLE, paragraph) and re.search(MEASURED, paragraph):
            assert re.search(SAID, paragraph), paragraph


def test_what_is_looked_for_is_found():
    """The patterns above, on what stood on the pages once."""
    for text in ("the default until 2026-11-26", "In November 2026", "May 3, 2026"):
        assert re.search(DATE, text), text
    for text in ("Arjovsky 2017, arXiv 1701.07875", "in 2500 steps", "2014-2017", "may 2048"):
        assert not re.search(DATE, text), text
    for text in ("two cores of an EPYC", "On an H200, 1200 steps", "newer Xeons"):
        assert re.search(MACHINE, text), text
    for text in ("seed 0 has FID 26", "FID of 38 with one seed", "seed 0: `fid_random` 3.41", "| seed 0 | fid |"):
        assert re.search(SINGLE, text), text
        assert re.search(MEASURED, text), text
    assert not re.search(MEASURED, "FID by our own classifier, 10,000 samples; seed 0")
    assert words("| wgan | 4.7 ± 0.1 | – |\n- two  *words*") == 12


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md", *PAGES])
def test_a_link_into_a_page_leads_to_one_of_its_headings(name):
    folder = ROOT / "docs" if name in PAGES else ROOT
    for page, anchor in re.findall(r"\]\(([^)#\s]*)#([^)]+)\)", {**TEXTS, **PAGES}[name]):
        if not page.startswith("http"):
            text = (folder / page).read_text(encoding="utf-8") if page else {**TEXTS, **PAGES}[name]
            headings = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in headings_of(text)]
            assert anchor in headings, (page, anchor)


def headings_of(text: str) -> list[str]:
    return re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M)


def test_every_picture_is_shown():
    shown = {link for text in TEXTS.values() for link in re.findall(r"!\[[^]]*\]\((?:docs/)?([^)]+)\)", text)}
    drawn = {path.name for kind in ("png", "gif") for path in (ROOT / "docs").glob(f"*.{kind}")}
    assert drawn <= shown


@pytest.mark.parametrize("script", LESSONS)
def test_the_text_of_a_lesson_fits_on_a_screen(script):
    lines = ast.get_docstring(ast.parse((ROOT / f"{script}.py").read_text(encoding="utf-8")), clean=False).splitlines()
    assert len(lines) <= 60
    assert not [line for line in lines if len(line) > 110]
