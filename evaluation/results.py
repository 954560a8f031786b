"""Numbers of runs side by side: which differ in the seed alone, mean ± standard deviation, differences seed by seed.

Not here: how the numbers are measured (reference.py), printed or written (tables.py), drawn (report.py).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from evaluation.metrics import BANDWIDTHS
from evaluation.reference import NEEDS_LABELS, SCALARS, Reference
from training.checkpoints import fixed_part
from training.files import UserError

BETTER = dict.fromkeys(("fid", "fid_second", "fid_random", "kid", "inversion"), "↓")
BETTER |= dict.fromkeys(("inception_score", "precision", "recall", "density", "coverage", "classes", "kde_nats"), "↑")


@dataclass
class Result:
    """One thing measured: a run, or images from elsewhere (then without script, hyperparameters, curves)."""

    name: str  # as it was given: a folder, a file
    numbers: dict
    picture: Image.Image
    script: str = ""
    hyperparameters: dict | None = None
    step: int = 0
    log: Path | None = None
    seconds: float | None = None
    source: str = ""  # the images that it learned from

    def settings(self) -> dict:
        """All that makes a run what it is, and may differ between two of them."""
        if self.hyperparameters is None:
            return {}
        of_the_machine = {name: self.hyperparameters.get(name) for name in ("precision", "device")}
        learned = fixed_part(self.hyperparameters)
        return {"script": f"{self.script}.py", **learned, **of_the_machine, "step": self.step}


@dataclass
class Column:
    """Results that differ in the seed alone: one column of a table."""

    name: str
    results: list[Result]

    @property
    def first(self) -> Result:
        return self.results[0]

    def values(self, key: str) -> list[float]:
        """Of all its results; [] if one has none."""
        found = [result.seconds if key == "seconds" else result.numbers.get(key) for result in self.results]
        return [] if any(value is None or math.isnan(value) for value in found) else found

    def cell(self, key: str) -> str:
        """The number, or mean ± standard deviation over the seeds."""
        found = self.values(key)
        return in_table(found[0]) if len(found) == 1 or key == "samples" else mean_and_deviation(found)


def by_seed(results: list[Result]) -> list[Column]:
    """Those that differ in nothing but the seed become one column, where the first of them stands."""
    columns: dict[tuple, list[Result]] = {}
    for i, result in enumerate(results):
        settings = {name: value for name, value in result.settings().items() if name != "seed"}
        alike = (result.source, result.numbers["data"], *sorted(map(repr, settings.items()))) if settings else (i,)
        seeds = {other.hyperparameters["seed"] for other in columns.get(alike, []) if other.hyperparameters}
        if settings and "seed" in result.hyperparameters and result.hyperparameters["seed"] in seeds:
            alike = (*alike, i)  # the same run twice, under two names: a mean of them has no meaning
        columns.setdefault(alike, []).append(result)
    return [Column(name_of(runs), runs) for runs in columns.values()]


def name_of(results: list[Result]) -> str:
    """What the names have in common, such as out/seeds/began of out/seeds/began-0 and out/seeds/began-1."""
    names = [result.name for result in results]
    common = names[0]
    while not all(name.startswith(common) for name in names):
        common = common[:-1]
    stem = common.rstrip("-_. ")
    return names[0] if len(names) == 1 else stem if stem and not stem.endswith(("/", "\\")) else f"{names[0]}, …"


def require_one_source(column: Column) -> None:
    """Raise UserError if the runs of a column learned from different images: such a mean has no meaning."""
    for result in column.results[1:]:
        if result.source != column.first.source:
            sources = f"{column.first.source}; {result.name} from {result.source}"
            raise UserError(f"{column.first.name} learned from {sources}: no mean of these; choose another --out")


def differing(columns: list[Column]) -> list[str]:
    """The settings in which columns differ."""
    every = [column.first.settings() for column in columns]
    names = list(dict.fromkeys(name for settings in every for name in settings))
    if all(len(column.results) > 1 for column in columns):
        names = [name for name in names if name != "seed"]
    return [name for name in names if len({repr(s[name]) for s in every if name in s}) > 1]


def described(column: Column, names: Iterable[str]) -> list[str]:
    """These settings of a column in words: gamma 0.5."""
    settings = column.first.settings()
    if len(column.results) > 1:
        settings.pop("seed", None)
    return [settings[name] if name == "script" else f"{name} {settings[name]}" for name in names if name in settings]


def headings(columns: list[Column]) -> list[list[str]]:
    """What stands above each column: its name, the settings in which columns differ, the number of seeds."""
    names = differing(columns)
    count = [[f"n = {len(column.results)}"] * (len(column.results) > 1) for column in columns]
    return [[column.name, *described(column, names), *n] for column, n in zip(columns, count)]


def rows(columns: list[Column]) -> list[str]:
    """The names of the numbers that any of the columns has; where FID is noise, KID stands first."""
    names = [*SCALARS, "inversion", "inversion_own", "kde_nats", "samples", "seconds"]
    names = [name for name in names if any(column.values(name) for column in columns)]
    if "kid" in names and any(few_samples(column) for column in columns):
        names.remove("kid")
        names.insert(0, "kid")
    return names


def few_samples(column: Column) -> bool:
    """Whether FID is mostly noise: of fewer than ten samples for each feature, it is made of the errors of Σ."""
    return column.first.numbers["samples"] < 10 * column.first.numbers["features"]


def floor_of(columns: list[Column]) -> Column:
    """Real images in place of samples, as a column."""
    return Column("real (floor)", [Result("real", columns[0].first.numbers["floor"], columns[0].first.picture)])


def paired(ours: Column, theirs: Column, key: str) -> list[float]:
    """The differences of a number, seed by seed; [] if fewer than two seeds are in both, or it is missing."""
    found = []
    for result in ours.results:
        seed = (result.hyperparameters or {}).get("seed")
        partners = [r for r in theirs.results if r.hyperparameters and r.hyperparameters.get("seed") == seed]
        if not partners or None in (pair := (result.numbers.get(key), partners[0].numbers.get(key))):
            continue
        found.append(pair[0] - pair[1])
    return found if len(found) > 1 else []


def mean_and_deviation(values: list[float | None]) -> str:
    """mean ± standard deviation, with three digits of the mean; of a single value that value."""
    if not values or any(value is None or np.isnan(value) for value in values):
        return "–"
    mean = np.mean(values)
    digits = max(0, 2 - int(np.floor(np.log10(abs(mean) + 1e-12)))) if mean else 2
    return f"{mean:.{digits}f}" + (f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else "")


def in_table(number: float | int | None) -> str:
    return "–" if number is None else f"{number:,}" if isinstance(number, int) else f"{number:.4g}"


def remarks_on(numbers: dict, source: str, reference: Reference) -> list[str]:
    """What to know of one target. source: the images that it learned from, if it is a run that learned from others."""
    found, floor = [], numbers["floor"]
    if source not in ("", reference.train.source):
        found.append(f"it learned from {source}, and is compared with {reference.train.source}")
    if numbers["memorisation"] < 0.5 * floor["memorisation"]:
        found.append("the samples are far nearer to training images than new real ones are: copies, or blanks")
    elif numbers["memorisation_low"] < 0.5 * floor["memorisation_low"]:
        found.append(
            "one sample in a hundred is far nearer to a training image than new real ones are: some are copies"
        )
    if reference.classifier is None:
        found.append(f"no labels, hence no classifier and no {', '.join(NEEDS_LABELS)}")
        found.append("fid_random is by random convolutions: it compares on the same images and image size only")
    elif reference.learned is reference.train:
        few = f"{len(reference.train.images):,} training images are too few to keep some from the classifier"
        found.append(f"{few}: fid, kid, precision and the like of copies may lie below the floor")
    return found


def require_different(targets: Sequence[str]) -> None:
    """Raise UserError if two targets are one place: it would count twice in a mean."""
    places: dict[Path, str] = {}
    for target in targets:
        if (place := Path(target).resolve()) in places:
            raise UserError(f"{target} is given twice" + f" (also as {places[place]})" * (target != places[place]))
        places[place] = target


def remarks(columns: list[Column]) -> list[str]:
    """What a reader of the table should know."""
    found = []
    every = [result for column in columns for result in column.results]
    data = {result.numbers["data"] for result in every}
    if len(data) > 1:
        found.append(f"compared with different data ({', '.join(sorted(data))}): their numbers do not compare")
    sources = {result.source for result in every if result.source}
    if len(sources) > 1 and len(data) == 1:
        found.append(f"they learned from different images ({'; '.join(sorted(sources))}): never in one mean")
    counts = {result.numbers["samples"] for result in every}
    if len(counts) > 1:
        numbers = ", ".join(map(str, sorted(counts)))
        found.append(f"made of {numbers} images: with fewer fid is higher; the floor is of the first")
    for result in every:
        if result.hyperparameters and result.step < result.hyperparameters.get("steps", 0):
            found.append(f"{result.name} is not finished: step {result.step} of {result.hyperparameters['steps']}")
        if result.numbers.get("kde_bandwidth") in (BANDWIDTHS[0], BANDWIDTHS[-1]):
            end = f"kde_bandwidth {result.numbers['kde_bandwidth']:.3g} is the end of the range that was tried"
            found.append(f"{result.name}: {end}: kde_nats says little (one image for every z does this)")
    few = [column for column in columns if few_samples(column)]
    if few:
        numbers = few[0].first.numbers
        name, other = ("fid_random", "") if numbers["fid"] is None else ("fid", "; read kid first")
        count = f"{numbers['samples']:,} samples and {numbers['features']} features"
        found.append(f"{name} of {count}, fewer than ten for each, is mostly noise{other}")
    return found
