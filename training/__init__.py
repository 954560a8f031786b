"""What a training needs besides its script and common.py, a file for each subject. None knows a script; each imports
from those above it only.

    files        files written whole or not at all; what a user can put right, and the words for it
    machine      device, precision, memory; all random numbers as a function of (seed, step)
    processes    several processes that train as one (torchrun); Ctrl-C and SIGTERM between two steps
    terminal     flags read; lines, the progress bar, the command that resumes, pictures in a notebook

    downloads    data sets that are not here yet
    datasets     MNIST, Fashion-MNIST, the offline digits
    folders      a folder of one's own images
    pictures     pixels to numbers and back, grids, PNG and GIF files, images that are all alike
    sampling     noise, G's images for it, a run when it is done

    ema          the exponential moving average of G's weights
    board        the logged values and grids for TensorBoard
    log          the logged values: log.csv, curves.png
    checkpoints  checkpoint.pt as it is written; which hyperparameters two runs share
    earlier      a run that is there already: moved aside, or read, refused, put back, sampled from
    record       the folder of a run: taken, locked, what is written into it and when

common.py stands above them, and hands on to the scripts what these call. Evaluations are in evaluation/.
"""

import os
import sys

if sys.version_info < (3, 10):  # noqa: UP036 - pip does not look at requires-python here
    sys.exit(f"these scripts need Python 3.10 or later; this is {sys.version.split()[0]}, {sys.executable}")

# What others read of the environment, where a wrong value would end a run later, with a traceback or never
if os.environ.get("COLUMNS", "").isdigit() and int(os.environ["COLUMNS"]) < 20:  # tyro would not end
    os.environ["COLUMNS"] = "20"
try:
    import tqdm  # noqa: F401 - it reads TQDM_…

    if os.environ.get("MPLBACKEND"):
        import matplotlib  # noqa: F401 - else it is imported when curves are drawn
except ValueError as error:
    sys.exit(f"a variable of the environment, MPLBACKEND or one of TQDM_…, has a wrong value: {str(error)[:80]} …")
