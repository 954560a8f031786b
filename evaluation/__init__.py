"""What an evaluation needs besides evaluate.py, a file for each subject; each imports from those above it only.

    metrics      FID, KID, Inception Score, precision, recall, density, coverage; the likelihood by a Parzen window
    features     what the metrics compare: features of a small classifier, or of random convolutions
    reference    the real images that samples are compared with, and what samples measure against them
    image_files  images from an .npz file or a folder of PNGs
    report       tables, pictures, runs side by side
    many_runs    scripts trained with many seeds

They use training/ below them. A training uses nothing of this.
"""
