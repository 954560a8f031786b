"""Scripts in processes of their own, forked from one that has imported everything: Python and PyTorch take seconds."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent

# Reads orders, a line of JSON each, and answers each with one number. A child leaves the loop and becomes the script.
SERVER = """
import io, json, os, runpy, signal, sys
sys.path.insert(0, {root!r})
import torch, torch._dynamo, torch.distributed
import common
from matplotlib.figure import Figure
torch.set_num_threads(1)
Figure().add_subplot(title="the first picture takes long").figure.savefig(io.BytesIO())
children = set()
for line in sys.stdin:
    order = json.loads(line)
    if "child" in order:
        child, status = os.waitpid(order["child"], os.WNOHANG)
        children.discard(child)
        print(os.waitstatus_to_exitcode(status) if child else None, flush=True)
        continue
    child = os.fork()
    if child == 0:
        break
    children.add(child)
    print(child, flush=True)
else:
    for child in children:  # of tests that failed
        os.kill(child, signal.SIGKILL)
    sys.exit()
os.chdir(order["cwd"])
os.environ.update(order["environment"])
for number, name in enumerate((os.devnull, order["out"], order["err"])):
    os.dup2(os.open(name, os.O_RDWR | os.O_CREAT), number)
sys.argv = order["words"]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class Server:
    """The process that forks."""

    def __init__(self) -> None:
        words = [sys.executable, "-c", SERVER.format(root=str(ROOT))]
        environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "CUDA_VISIBLE_DEVICES": ""}  # CUDA can't be forked
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "encoding": "utf-8"}
        self.process = subprocess.Popen(words, env=environment, **pipes)
        self.started = 0

    def ask(self, **order: object) -> int | None:
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline().replace("None", "null"))

    def start(self, *words: object, cwd: Path, **environment: str) -> "Child":
        """`python words[0] words[1] …` in the folder cwd; a script of the project by its name alone."""
        self.started += 1
        return Child(self, [str(ROOT / str(words[0])), *map(str, words[1:])], cwd, environment)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


class Child:
    """A script that runs."""

    def __init__(self, server: Server, words: list[str], cwd: Path, environment: dict[str, str]) -> None:
        self.server = server
        self.out, self.err = (cwd / f"std{name}-{server.started}" for name in ("out", "err"))
        files = {"out": str(self.out), "err": str(self.err)}
        self.pid = server.ask(words=words, cwd=str(cwd), environment=environment, **files)

    def wait(self, seconds: float = 120) -> tuple[int, str, str]:
        """Exit code (below 0: the signal that killed it), stdout and stderr."""
        end = time.monotonic() + seconds
        while (code := self.server.ask(child=self.pid)) is None:
            assert time.monotonic() < end, self.err.read_text(encoding="utf-8")
            time.sleep(0.01)
        return code, self.out.read_text(encoding="utf-8"), self.err.read_text(encoding="utf-8")
