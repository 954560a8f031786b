"""What surrounds a training, a file for each subject. None knows a script; each imports from those above it only.

    errors       what a user can put right, and the words for it
    files        files that are written whole or not at all
    machine      device, precision, how memory is reused
    processes    several processes that train as one (torchrun)
    signals      Ctrl-C and SIGTERM between two steps
    terminal     flags read; lines, the progress bar, the command that resumes, pictures in a notebook
    seeds        all random numbers as a function of (seed, step)

    datasets     MNIST, Fashion-MNIST, CIFAR-10, the offline digits
    folders      a folder of one's own images
    pictures     pixels to numbers and back, PNG and GIF files
    curves       curves.png
    spread       training images or samples that are all alike

    settings     hyperparameters as a whole: which a continuation shares, which differ
    log          the logged values: log.csv and its curves
    board        the same for TensorBoard
    ema          the exponential moving average of G's weights
    checkpoints  checkpoint.pt: written, read, refused, put back
    run_folder   the folder of a run: taken, locked, an earlier run moved aside
    record       what a run leaves in that folder, and when

    metrics      FID, KID, Inception Score, precision, recall, density, coverage
    density      the log-likelihood by a Parzen window
    classifier   the small network whose features the metrics compare
    random_features  the same without labels: a network that was never trained
    reference    the real images that samples are compared with
    image_files  images from an .npz file or a folder of PNGs
    report       tables and the picture of an evaluation
    comparison   runs side by side: what differs, samples and curves in one picture
    many_runs    scripts trained with many seeds

common.py stands above them, and hands on to the scripts what these call.
"""

import sys

if sys.version_info < (3, 10):  # noqa: UP036 - pip does not look at requires-python here
    sys.exit(f"these scripts need Python 3.10 or later; this is {sys.version.split()[0]}, {sys.executable}")
