"""What an evaluation needs besides evaluate.py, a file for each subject; each imports from those above it only.

    metrics      FID, KID, Inception Score, precision, recall, density, coverage; the likelihood by a Parzen window
    features     what the metrics compare: features of a small classifier, or of random convolutions
    second       another classifier, by whose FID no default was or will be chosen
    reference    the real images that samples are compared with, and what samples measure against them
    inversion    for a given image the z whose G(z) is nearest, and the way between two such z
    curve        the FID while a script trains
    image_files  images from an .npz file, a folder of pictures, or Python
    targets      what is evaluated: looked at first, then loaded

    results      numbers side by side: which runs differ in the seed alone, mean ± std, what a reader should know
    tables       in the terminal, as .csv, .json, .md, .tex
    options      the flags
    report       pictures: of one run, of several side by side
    listing      the runs that are there
    many_runs    scripts trained with many seeds

They use training/ below them. A training uses nothing of this, but for curve with --fid-every.
"""
