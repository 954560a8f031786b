"""How good are the samples, how diverse, and how does that compare with real images?

    python evaluate.py                                the runs in out/: what differs, steps, FID if known
    python evaluate.py out/began                      a finished run
    python evaluate.py out/began out/began.1 …        several: what differs, numbers, one picture; those that differ
                                                      in the seed alone are one column, mean ± std
    python evaluate.py samples.npz                    images from elsewhere: arr_0, uint8, N×H×W×C
    python evaluate.py folder_of_pngs                 the same as pictures
    python evaluate.py --seeds 5 began.py "began.py --gamma 0.5"    train, then the same
    python evaluate.py … --table results.tex          the table as .tex, .md (for reading), .csv, .json (for programs)
    evaluate.measure("out/began")                     from Python: the numbers as a dictionary (a run, or images, too)

A GAN's losses say little about its samples and an eye sees a few dozen of them, so each number here
answers one question, and stands beside the *floor*: the same number for real images that no GAN has seen (of a
folder: one half against the other), of as many samples. A number at the floor sees no difference. Another may.

As a whole (↓ lower is better)
    fid         are the two clouds of features alike in mean and covariance? (Heusel 2017, 1706.08500) Of fewer than
                ten samples for each of the 128 features it is mostly noise: then kid stands first
    kid         the same by a kernel, unbiased for few samples (Bińkowski 2018, 1801.01401)
    fid_second  with --second: fid by another classifier, by which no default was or will be chosen. The defaults were
                chosen by fid, which is a little too kind to them (evaluation/second.py)
Quality and diversity (↑ higher is better)
    precision   share of samples inside the real data's neighbourhoods: quality
    recall      share of real images inside the samples' neighbourhoods: diversity (Kynkäänniemi 2019, 1904.06991)
    density, coverage  the same two questions, robust against outliers (Naeem 2020, 2002.09797). --k 5 is Naeem's, for
                all four, as in their code; Kynkäänniemi's is 3
    inception_score  is each image surely of one class, and are all classes there? (Salimans 2016, 1606.03498)
    classes     how many classes the classifier finds among the samples, and class_share, how often each
    spread      standard deviation over the samples, mean over pixels, as a share of the real images': 0 is one image
Learned or copied? (distances are RMS over pixels, which lie in [0, 1])
    memorisation  median distance to the nearest training image. Far below the floor: most are copies, or blanks
    memorisation_low  what 1 % of the samples lie below: far below the floor, some are copies, whatever the median says
    inversion   of runs: distance of held-out real images to the nearest G(z), z found by Adam (Berthelot 2017, 4.3);
                inversion_own the same for G's own samples: what the search misses. A G that copies is far from them
    kde_nats    with --kde: mean log-likelihood of held-out real images when each sample is a Gaussian, ± its standard
                error (floor: training images as samples). For old papers: ranks models wrongly (Theis 2016, 1511.01844)

Features are the last hidden layer of a small classifier, trained here once on labelled images and kept under data/.
Samples are compared with training images that it has not learned from, where there are enough: a G that copies them
may lie below the floor, so see memorisation. Inception, after which these metrics are named, knows no digits. So the
numbers compare with each other, and not with those of papers: docs/inception.md. For the neighbourhoods the
classifier's convolutional maps are added (256 numbers): in the last layer alone noise is as close to digits as digits
are, with a precision of 0.99; with the maps it is 0.00. A folder of images has no labels, hence no classifier: what
needs one is null, the neighbourhoods are those of the pixels, and

    fid_random  the fid on features of random, untrained convolutions (what it sees, what not: docs/without-labels.md)
"""

import copy
import functools
import json
import shlex
import sys
from pathlib import Path

import torch
from torch import Tensor

import common
from evaluation.features import choose_device_to_measure
from evaluation.image_files import as_images
from evaluation.inversion import continuity
from evaluation.listing import print_runs
from evaluation.many_runs import train_seeds
from evaluation.metrics import SAMPLES as PARZEN_SAMPLES
from evaluation.options import Options
from evaluation.reference import Reference, drawn
from evaluation.report import compare, draw, pictures
from evaluation.results import Column, Result, by_seed, remarks_on, require_different, require_one_source
from evaluation.targets import Samples, check_target, load_samples, script_of
from training.files import UserError, make_folder, write_file
from training.pictures import to_uint8
from training.terminal import read_flags


def reference_for(data: str, shape: torch.Size, data_dir: str, device: torch.device) -> Reference:
    """The real images of a data set in the shape C×H×W of the samples."""
    train, test = (common.load_images(data, data_dir, shape[1], shape[0], train=part) for part in (True, False))
    return Reference(train, test, data, data_dir, device)


def numbers_of(
    name: str, samples: Samples, options: Options, references: dict
) -> tuple[dict, Tensor | None, Reference]:
    """All numbers of some samples; lines from one real image to another, if there is a G; what was compared with.

    references: keeps what was loaded for one target for the next one. Raises UserError.
    """
    device = choose_device_to_measure(options.device)
    data = samples.data if options.data == "auto" else options.data
    key = (data, tuple(samples.images.shape[1:]), options.data_dir)
    if key not in references:
        references[key] = reference_for(data, samples.images.shape[1:], options.data_dir, device)
    reference = references[key]
    count = min(len(samples.images), len(reference.test.images), options.samples)
    if count < 100:
        raise UserError(f"{name}: {count} images to compare; needed are 100 samples and 100 held-out real ones")
    numbers = reference.measure(samples.some(count), options.k, second=options.second)
    floor = reference.floor(count, options.k, options.second)
    if options.kde:
        numbers |= reference.density(samples.some(min(PARZEN_SAMPLES, len(reference.others))))
        floor = floor | reference.density_floor(numbers["kde_samples"])
    lines = None
    if samples.G is not None:
        held_out = drawn(reference.test.images, 32)
        noise = functools.partial(common.noise_from_seed, z_dim=samples.z_dim)
        found, lines = continuity(samples.G, held_out, lambda seed, n: noise(seed, n).to(device))
        numbers |= found
    return numbers | {"data": data, "floor": floor}, lines, reference


def evaluate(target: str, options: Options, references: dict) -> Result:
    """All numbers of one target, and what a comparison shows of it; writes metrics.json and evaluate.png into
    a run, and beside anything else (FOLDER.metrics.json). Raises UserError."""
    samples = load_samples(target, options, choose_device_to_measure(options.device))
    numbers, lines, reference = numbers_of(target, samples, options, references)
    panels = pictures(samples.some(24), samples.between, lines, reference, common.grid)
    try:
        write_file(samples.metrics, json.dumps(numbers, indent=2).encode())
        draw(panels, numbers["class_share"], numbers["floor"]["class_share"], samples.picture)
    except UserError as error:  # such as a run of somebody else's
        print(f"{target}: its numbers are not kept: {error}")
    source = "" if samples.identity == reference.train.identity else samples.source
    for line in remarks_on(numbers, source, reference):
        print(f"{target}: {line}")
    return Result(target, numbers, common.grid(samples.some(64)), **samples.run, source=samples.source)


REFERENCES: dict = {}  # of measure(): what one call has loaded serves the next one


def measure(what, **settings) -> dict:
    """The numbers of a run's folder, a finished run, an .npz file, a folder of pictures, or images, as a dictionary.

    what: a path; or what train(hp) or common.load(folder) returns; or images: a tensor N×C×H×W, uint8 or float in
    [-1, 1], or an array N×H×W×C, uint8. settings: as the flags, such as samples=2000, second=True. Writes no files.
    Raises UserError, and ValueError for a setting that the command line would refuse.
    """
    if hasattr(what, "hp"):
        settings.setdefault("data_dir", what.hp.data_dir)
    options = Options(**settings)
    device = choose_device_to_measure(options.device)
    if hasattr(what, "hp"):
        images = to_uint8(what.sample(options.samples, options.sample_seed))
        G = copy.deepcopy(what.G).to(device)
        samples = Samples(images, what.hp.data, None, None, run={"script": what.script}, G=G, z_dim=what.hp.z_dim)
    elif isinstance(what, str | Path):
        samples = load_samples(str(what), options, device)
    else:
        samples = Samples(as_images(what), "mnist", None, None)
    return numbers_of(str(what) if isinstance(what, str | Path) else "measure", samples, options, REFERENCES)[0]


def over_seeds(options: Options, references: dict) -> list[Column]:
    """Train what is not trained yet; a column for each target."""
    device = ["--device", options.device] if options.device != "auto" else []
    flags = f"{options.flags} {shlex.join(['--data-dir', options.data_dir, *device])}"
    folders = train_seeds(options.targets, options.seeds, flags, options.out, options.jobs)
    columns = [Column(target, [evaluate(run, options, references) for run in runs]) for target, runs in folders.items()]
    for column in columns:
        require_one_source(column)
    return columns


def main() -> None:
    try:
        options = read_flags(Options, "evaluate.py", __doc__)
    except SystemExit:
        if {"-h", "--help"} & set(sys.argv):
            print(__doc__)
        raise
    references: dict = {}
    try:
        if not options.targets:
            print_runs(Path("out"), lambda script: script_of(script, Path("out")).Hyperparameters)
        elif options.seeds:
            compare(over_seeds(options, references), options)
        else:
            require_different(options.targets)
            for target in options.targets:
                check_target(target, options)
            if len(options.targets) > 1:
                make_folder(Path(options.compare).parent, "--compare")
            compare(by_seed([evaluate(target, options, references) for target in options.targets]), options)
    except UserError as error:
        sys.exit(f"evaluate.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
