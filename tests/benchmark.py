"""How fast the training loops are, and how fast they get good.

    python tests/benchmark.py                steps/s of each script's loop, of its bare step, of a textbook loop
    python tests/benchmark.py --quality      FID over wall-clock: the five defaults and five settings in use
    python tests/benchmark.py --correlation  does the Wasserstein estimate fall as the FID does?
    python tests/benchmark.py --processes    images/s for one and two processes, and the cost of averaging
    python tests/benchmark.py --memory       time to prepare a large folder of images, and memory of a run on it

Loop, bare step and textbook loop are one and the same `train` function; what stands around it is exchanged:
    loop      as it is
    bare      forward, backward and optimizers alone: one fixed batch, one fixed noise, nothing logged or averaged
    textbook  a DataLoader with transforms, unfused optimizers, .item() of every loss at every step, float32, the
              system's malloc as it is; in dcgan, wgan and wgan_gp also G's graph kept in D's step, and gradients
              for D in G's
    graph     the loop with --cuda-graph (on NVIDIA GPUs alone)
"""

import contextlib
import functools
import importlib
import io
import itertools
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
import tyro  # noqa: E402
from PIL import Image  # noqa: E402
from scipy.stats import spearmanr  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402
from torchvision import transforms  # noqa: E402
from tqdm import tqdm  # noqa: E402

import common  # noqa: E402
import evaluate  # noqa: E402

SCRIPTS = ("began", "fgan", "dcgan", "wgan", "wgan_gp")


@dataclass(kw_only=True)
class Options:
    """What to measure, and for how long."""

    quality: bool = False
    """FID over wall-clock instead of steps/s."""
    correlation: bool = False
    """Spearman's correlation of the smoothed Wasserstein estimate with FID, over runs of wgan.py and wgan_gp.py."""
    processes: bool = False
    """Images/s for one and two processes instead."""
    memory: bool = False
    """Peak memory of fgan.py on a folder of many images of 64 px instead."""
    images: int = 200_000
    """--memory: how many."""
    scripts: tuple[str, ...] = SCRIPTS
    """Which scripts."""
    steps: int = 250
    """Steps per measurement; in 250 one of them makes a sample grid."""
    repeats: int = 9
    """Measurements of each kind, of the slow textbook loop a third as many; the median counts."""
    seconds: float = 120
    """--quality: wall-clock of each training."""
    seeds: int = 3
    """--quality, --correlation: trainings of each setting."""
    jobs: int = 1
    """--quality, --correlation: trainings at the same time, each with its share of the cores."""
    data_dir: str = "data"
    """Folder of the data sets."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    out: str = "out/benchmark.json"
    """Where the numbers go."""


class Enough(Exception):
    """Raised in a training to end it."""


TURN = 50  # steps, as many as make a row of the log


class Training:
    """One script's training in one of the surroundings, in a process that rests but for its turns.

    So several are measured in turns of a few steps, and what else slows the machine slows all of them alike. Each
    measurement has new ones: where a process's memory happens to lie makes it up to a tenth faster or slower.
    """

    def __init__(self, script: str, kind: str, options: Options) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.process_end, theirs = spawn.Pipe()
        self.process = spawn.Process(target=train_by_turns, args=(theirs, script, kind, options), daemon=True)
        self.process.start()
        theirs.close()

    def advance(self) -> float:
        """The seconds of the next TURN steps."""
        self.process_end.send(True)
        try:
            return self.process_end.recv()
        except EOFError:
            sys.exit("benchmark.py: a measured training has failed, as said above")

    def end(self) -> None:
        self.process_end.send(False)
        self.process.join()


def train_by_turns(parent: Connection, script: str, kind: str, options: Options) -> None:
    """What a training's process does."""
    Turns.parent = parent
    Turns.wait()
    with tempfile.TemporaryDirectory() as folder, surroundings(script, kind) as module, quiet():
        hp = module.Hyperparameters(
            steps=10**9,
            out=f"{folder}/run",
            data_dir=options.data_dir,
            device=options.device,
            precision="float32" if kind == "textbook" else "auto",
            cuda_graph=kind == "graph",
            log_every=TURN,
        )
        with contextlib.suppress(Enough):
            module.train(hp)


class Turns:
    """The measured process's side of Training."""

    parent: Connection
    started: float

    @classmethod
    def wait(cls) -> None:
        if not cls.parent.recv():
            raise Enough
        cls.started = time.perf_counter()

    @classmethod
    def over(cls) -> None:
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        cls.parent.send(time.perf_counter() - cls.started)
        cls.wait()


class Loop(common.Run):
    """The run as it is."""

    count = 0

    def log(self, **values) -> None:
        super().log(**values)
        self.tick()

    def tick(self) -> None:
        self.count += 1
        if self.count % TURN == 0:
            Turns.over()


class Graph(common.Run):
    """The loop with --cuda-graph. Its body is only run to be recorded, so a turn ends with a row of the log."""

    def write_row(self) -> None:
        super().write_row()
        Turns.over()


class Bare(Loop):
    """Only what the networks do."""

    def steps(self, **parts):
        self.x, self.z, self.e = super().real(), super().noise(), super().epsilon()
        for step in itertools.count(1):
            with torch.autocast(self.device.type, torch.bfloat16, self.bfloat16, cache_enabled=False):
                yield step

    def real(self) -> Tensor:
        return self.x

    def noise(self) -> Tensor:
        return self.z

    def epsilon(self) -> Tensor:
        return self.e

    def average(self, *networks_and_decay) -> None:
        """Not part of the bare step."""

    def log(self, **values) -> None:
        self.tick()


class Textbook(Bare):
    """What tutorials do around the same networks."""

    def steps(self, **parts):
        class Images(torch.utils.data.Dataset):  # as torchvision's datasets: a PIL image at a time, transformed
            def __init__(self, images, transform):
                self.images, self.transform = images, transform

            def __len__(self):
                return len(self.images)

            def __getitem__(self, i):
                return self.transform(transforms.functional.to_pil_image(self.images[i]))

        channels = self.images.shape[1]
        normalise = transforms.Normalize([0.5] * channels, [0.5] * channels)
        transform = transforms.Compose([transforms.ToTensor(), normalise])
        loader = DataLoader(Images(self.images.cpu(), transform), self.hp.batch_size, shuffle=True, drop_last=True)
        self.batches = itertools.chain.from_iterable(itertools.repeat(loader))
        yield from itertools.count(1)

    def real(self) -> Tensor:
        return next(self.batches).to(self.device)

    def noise(self) -> Tensor:
        return Loop.noise(self)

    def epsilon(self) -> Tensor:
        return Loop.epsilon(self)

    def log(self, **values) -> None:
        for value in values.values():
            value.item() if isinstance(value, Tensor) else value
        self.tick()


class Unfused:
    """`torch` with plain optimizers, and in the twins with G's graph kept in D's step.

    There `no_grad` stands around G; in wgan.py a second time around the clipping, which needs it.
    """

    def __init__(self, script: str) -> None:
        self.optim = type("optim", (), {})()
        self.optim.Adam = lambda p, lr, betas, **_: torch.optim.Adam(p, lr, betas, foreach=False)
        self.optim.RMSprop = lambda p, lr, **_: torch.optim.RMSprop(p, lr, foreach=False)
        contexts = {"dcgan": [contextlib.nullcontext], "wgan": [contextlib.nullcontext, torch.no_grad]}
        contexts["wgan_gp"] = contexts["dcgan"]
        if script in contexts:
            around = itertools.cycle(contexts[script])
            self.no_grad = lambda: next(around)()

    def __getattr__(self, name: str):
        return getattr(torch, name)


@contextlib.contextmanager
def surroundings(script: str, kind: str):
    """Exchange what stands around a script's loop."""
    module = importlib.import_module(script)
    kept = common.Run, common.frozen, common.keep_freed_memory, module.torch
    common.Run = {"loop": Loop, "bare": Bare, "textbook": Textbook, "graph": Graph}[kind]
    if kind == "textbook":
        common.frozen = contextlib.nullcontext
        common.keep_freed_memory = lambda: None
        module.torch = Unfused(script)
    try:
        yield module
    finally:
        common.Run, common.frozen, common.keep_freed_memory, module.torch = kept


@contextlib.contextmanager
def quiet():
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def flops_of_step(script: str, options: Options) -> float:
    """Floating-point operations of one step: matrix products and convolutions."""
    counter, counts = FlopCounterMode(display=False), []
    # Its tracker of modules can't look into a gradient penalty's torch.autograd.grad; the total needs none
    counter.mod_tracker = type("Nothing", (contextlib.nullcontext,), {"parents": {"Global"}})()

    class Counting(Bare):
        def log(self, **values) -> None:
            counts.append(counter.get_total_flops())
            if len(counts) == 2:
                raise Enough

    with tempfile.TemporaryDirectory() as folder, surroundings(script, "bare") as module, quiet():
        common.Run = Counting
        hp = module.Hyperparameters(steps=9, out=f"{folder}/run", data_dir=options.data_dir, device=options.device)
        with contextlib.suppress(Enough), counter:
            module.train(hp)
    return counts[1] - counts[0]


def peak_flops(device: torch.device, dtype: torch.dtype) -> float:
    """What the machine reaches in a large matrix product."""
    a = torch.randn(2048, 2048, device=device).to(dtype)
    best = 0.0
    for _ in range(20):
        start = time.perf_counter()
        a @ a
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = max(best, 2 * 2048**3 / (time.perf_counter() - start))
    return best


def speed(options: Options) -> None:
    device = common.choose_device(options.device)
    kinds = ["loop", "bare", "textbook"] + ["graph"] * (device.type == "cuda")
    bfloat16 = common.has_bfloat16_units(device)
    peak = peak_flops(device, torch.bfloat16 if bfloat16 else torch.float32)
    print(f"{machine(device)}; matrix product: {peak / 1e9:.0f} GFLOP/s ({'bfloat16' if bfloat16 else 'float32'})\n")
    print("| script | loop, steps/s | bare step | loop / bare | textbook | loop / textbook | GFLOP/s | of peak |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    everything = {}
    for script in options.scripts:
        rates = measure(script, kinds, options)
        median = {kind: statistics.median(rates[kind]) for kind in kinds}
        # of measurements made together
        to_bare = statistics.median(a / b for a, b in zip(rates["loop"], rates["bare"]))
        to_textbook = statistics.median(a / b for a, b in zip(rates["loop"][::3], rates["textbook"]))
        achieved = flops_of_step(script, options) * median["loop"]
        everything[script] = {"rates": rates, "flops": achieved, "peak": peak}
        print(
            f"| {script} | {median['loop']:.1f} | {median['bare']:.1f} | {to_bare:.2f} "
            f"| {median['textbook']:.1f} | {to_textbook:.2f} | {achieved / 1e9:.0f} | {achieved / peak:.1%} |",
            flush=True,
        )
        if "graph" in kinds:
            graph = median["graph"]
            print(
                f"  {script} with --cuda-graph: {graph:.1f} steps/s, {graph / median['loop']:.2f} of the loop without",
                flush=True,
            )
    save(options, everything)


def measure(script: str, kinds: list[str], options: Options) -> dict[str, list[float]]:
    """Steps per second of each kind, `repeats` times; of the textbook loop in every third of them."""
    rates: dict[str, list[float]] = {kind: [] for kind in kinds}
    for repeat in range(options.repeats):
        trainings = {kind: Training(script, kind, options) for kind in kinds if kind != "textbook" or repeat % 3 == 0}
        for training in trainings.values():
            training.advance()  # not counted: the first steps are slower
        seconds = dict.fromkeys(trainings, 0.0)
        turns = max(1, options.steps // TURN)
        for turn in range(turns):
            for kind in [*trainings] if turn % 2 == 0 else [*trainings][::-1]:  # none always comes first
                seconds[kind] += trainings[kind].advance()
        for kind, training in trainings.items():
            rates[kind].append(turns * TURN / seconds[kind])
            training.end()
    return rates


def machine(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, PyTorch {torch.__version__}"
    model = "CPU"
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return f"{model}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}"


def save(options: Options, content: object) -> None:
    path = Path(options.out)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1))


# Quality over time.


def dense(*sizes: int, activation: type[nn.Module], last: nn.Module | None = None, norm: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(itertools.pairwise(sizes)):
        layers.append(nn.Linear(before, after))
        if i < len(sizes) - 2:
            layers += [nn.BatchNorm1d(after)] * (norm and i > 0) + [activation()]
    return nn.Sequential(*layers, *([last] if last is not None else []))


class InUse:
    """A setting that people use today, trained by its own plain loop. `range01`: its images lie in [0, 1]."""

    def __init__(self, name: str, images: Tensor, seed: int) -> None:
        torch.manual_seed(seed)
        self.name, self.images, self.range01 = name, images, name in ("began", "fgan")
        self.batch = 32 if self.range01 else 64
        self.z_dim = 10 if self.range01 else 100
        if name in ("began", "fgan"):
            self.G = dense(10, 128, 784, activation=nn.ReLU, last=nn.Sigmoid())
            if name == "began":
                self.D = dense(784, 128, 784, activation=nn.ReLU)
            else:
                self.D = dense(784, 128, 1, activation=nn.ReLU, last=nn.Sigmoid())  # bounds V, as is common
            self.opts = [torch.optim.Adam(net.parameters(), 1e-3) for net in (self.G, self.D)]
            self.k = 0.0
        elif name == "dcgan":
            self.G = nn.Sequential(
                *(
                    nn.Linear(100, 128 * 64),
                    nn.Unflatten(1, (128, 8, 8)),
                    nn.BatchNorm2d(128),
                    nn.Upsample(scale_factor=2),
                ),
                *(
                    nn.Conv2d(128, 128, 3, padding=1),
                    nn.BatchNorm2d(128),
                    nn.LeakyReLU(0.2),
                    nn.Upsample(scale_factor=2),
                ),
                *(nn.Conv2d(128, 64, 3, padding=1), nn.BatchNorm2d(64), nn.LeakyReLU(0.2)),
                *(nn.Conv2d(64, 1, 3, padding=1), nn.Tanh()),
            )
            layers: list[nn.Module] = []
            for before, after in itertools.pairwise((1, 16, 32, 64, 128)):
                layers += [nn.Conv2d(before, after, 3, 2, 1), nn.LeakyReLU(0.2), nn.Dropout2d(0.25)]
                layers += [nn.BatchNorm2d(after)] * (before > 1)
            self.D = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 4, 1))
            self.opts = [torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999)) for net in (self.G, self.D)]
        else:
            leaky = lambda: nn.LeakyReLU(0.2)  # noqa: E731
            self.G = dense(100, 128, 256, 512, 1024, 784, activation=leaky, last=nn.Tanh(), norm=True)
            self.D = dense(784, 512, 256, 1, activation=leaky)
            if name == "wgan":
                self.opts = [torch.optim.RMSprop(net.parameters(), 5e-5) for net in (self.G, self.D)]
            else:
                self.opts = [torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999)) for net in (self.G, self.D)]

    def real(self) -> Tensor:
        x = self.images[torch.randint(len(self.images), (self.batch,))].float() / 255
        x = x if self.range01 else 2 * x - 1
        if self.name == "dcgan":
            return nn.functional.interpolate(x, size=(32, 32), mode="bilinear")
        return x.flatten(1)

    def noise(self) -> Tensor:
        return torch.randn(self.batch, self.z_dim)

    def update(self, which: int, loss: Tensor) -> None:
        self.opts[which].zero_grad()
        loss.backward()
        self.opts[which].step()

    def step(self) -> None:
        G, D, bce = self.G, self.D, nn.functional.binary_cross_entropy_with_logits
        if self.name == "began":
            x, fake = self.real(), G(self.noise())
            error = lambda v: (v - D(v)).abs().sum(1).mean()  # noqa: E731
            real, generated = error(x), error(fake.detach())
            self.update(1, real - self.k * generated)
            self.update(0, error(G(self.noise())))
            self.k = min(max(self.k + 0.001 * (0.5 * real.item() - generated.item()), 0.0), 1.0)
        elif self.name == "fgan":  # reverse KL with the sign as printed: a small V means real
            v_real, v_fake = D(self.real()), D(G(self.noise()).detach())
            self.update(1, torch.exp(v_real).mean() - (v_fake + 1).mean())
            self.update(0, D(G(self.noise())).mean())
        elif self.name == "dcgan":
            ones, zeros = torch.ones(self.batch, 1), torch.zeros(self.batch, 1)
            fake = G(self.noise())
            self.update(0, bce(D(fake), ones))
            self.update(1, (bce(D(self.real()), ones) + bce(D(fake.detach()), zeros)) / 2)
        else:
            for _ in range(5):
                x, fake = self.real(), G(self.noise()).detach()
                loss = D(fake).mean() - D(x).mean()
                if self.name == "wgan_gp":
                    e = torch.rand(self.batch, 1)
                    between = (e * x + (1 - e) * fake).requires_grad_()
                    (slope,) = torch.autograd.grad(D(between).sum(), between, create_graph=True)
                    loss = loss + 10 * ((slope.norm(dim=1) - 1) ** 2).mean()
                self.update(1, loss)
                if self.name == "wgan":
                    for weight in D.parameters():
                        weight.data.clamp_(-0.01, 0.01)
            self.update(0, -D(G(self.noise())).mean())

    @torch.no_grad()
    def samples(self, n: int) -> Tensor:
        self.G.eval()
        torch.manual_seed(0)
        images = torch.cat([self.G(torch.randn(500, self.z_dim)) for _ in range(n // 500)])
        self.G.train()
        if self.name == "dcgan":
            images = nn.functional.interpolate(images, size=(28, 28), mode="bilinear", antialias=True)
        images = images.view(n, 1, 28, 28)
        return common.to_uint8(2 * images - 1 if self.range01 else images)


class Stopwatch:
    """Takes the FID of a training at given moments of its own time; the clock stands still meanwhile."""

    def __init__(self, data_dir: str, moments: list[float]) -> None:
        self.data_dir, self.moments, self.found = data_dir, moments, []
        self.start = 0.0

    def look(self, samples: Callable[[int], Tensor]) -> bool:
        """True when the last moment has passed. samples: images, from their number."""
        now = time.perf_counter()
        self.start = self.start or now
        if now - self.start >= self.moments[len(self.found)]:
            self.found.append(score(samples(10_000), self.data_dir))
            self.start += time.perf_counter() - now
        return len(self.found) == len(self.moments)


@functools.cache
def reference(data_dir: str) -> evaluate.Reference:
    return evaluate.Reference("mnist", torch.Size((1, 28, 28)), data_dir, common.choose_device("auto"))


def score(images: Tensor, data_dir: str) -> float:
    """The FID of uint8 images, against as many training images."""
    known = reference(data_dir)
    return evaluate.fid(known.real_features(len(images))[0], known.features(images)[0])


def watched(script: str, seed: int, options: Options, look: Callable[[common.Run, dict], None]) -> None:
    """Train a script with its defaults. After every step look(run, logged values); it may raise Enough."""
    module = importlib.import_module(script)

    class Watched(common.Run):
        def log(self, **values) -> None:
            super().log(**values)
            look(self, values)

    kept, common.Run = common.Run, Watched
    try:
        with tempfile.TemporaryDirectory() as folder, quiet(), contextlib.suppress(Enough):
            module.train(module.Hyperparameters(steps=10**9, seed=seed, out=f"{folder}/run", data_dir=options.data_dir))
    finally:
        common.Run = kept


def images_of(run: common.Run, count: int) -> Tensor:
    z = common.noise_from_seed(0, count, run.hp.z_dim).to(run.device)
    return common.to_uint8(common.generate(run.networks()["G_average"], z))


def moments(options: Options) -> list[float]:
    return [moment * options.seconds / 120 for moment in (5, 12, 20, 30, 45, 60, 90, 120)]


def fid_over_time(task: tuple[str, int, Options]) -> list[float]:
    """FIDs of one training at all moments. The name of a setting in use ends in IN_USE."""
    name, seed, options = task
    script = name.removesuffix(IN_USE)
    reference(options.data_dir)
    watch = Stopwatch(options.data_dir, moments(options))
    if name == script:

        def look(run: common.Run, _values: dict) -> None:
            if watch.look(lambda count: images_of(run, count)):
                raise Enough

        watched(script, seed, options, look)
    else:
        training = InUse(script, reference(options.data_dir).train.images, seed)
        while not watch.look(training.samples):
            training.step()
    return watch.found


IN_USE = ", in use"


@contextlib.contextmanager
def side_by_side(options: Options):
    """A pool of `jobs` processes that share the cores; each task has a new one, as our own training changes malloc."""
    reference(options.data_dir)  # trains the classifier, if need be, once for all
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // options.jobs))
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, mp_context=spawn, max_tasks_per_child=1) as pool:
        yield pool


def quality(options: Options) -> None:
    names = [name for script in options.scripts for name in (script, script + IN_USE)]
    tasks = [(name, seed, options) for seed in range(options.seeds) for name in names]
    curves: dict[str, list[list[float]]] = {name: [] for name in names}
    with side_by_side(options) as pool:
        for (name, seed, _), curve in zip(tasks, pool.map(fid_over_time, tasks)):
            curves[name].append(curve)
            print(f"seed {seed} {name}: {', '.join(f'{fid:.0f}' for fid in curve)}", flush=True)
            save(options, {"moments": moments(options), "curves": curves})
    cores = f"{options.jobs} trainings at a time, {os.environ['OMP_NUM_THREADS']} threads each"
    floor = score(reference(options.data_dir).test.images, options.data_dir)
    print(f"\nFID after so many seconds; {machine(common.choose_device('auto'))}; {cores}; floor {floor:.1f}\n")
    print("| setting | " + " | ".join(f"{moment:g} s" for moment in moments(options)) + " |")
    print("|---" * (len(moments(options)) + 1) + "|")
    for name, runs in curves.items():
        print(f"| {name} | " + " | ".join(evaluate.spread(fids) for fids in zip(*runs)) + " |")
    plot_quality(moments(options), curves, Path(options.out).with_suffix(".png"))


def estimate_and_fid(task: tuple[str, int, Options]) -> tuple[list[float], list[float]]:
    """20 times in a default run: the mean Wasserstein estimate since the last time, and FID of 5,000 samples."""
    script, seed, options = task
    steps = importlib.import_module(script).Hyperparameters().steps
    since, estimates, fids = [], [], []

    def look(run: common.Run, values: dict) -> None:
        since.append(values["wasserstein"].detach())
        if (run.step + 1) % (steps // 20) == 0:
            estimates.append(torch.stack(since).mean().item())
            since.clear()
            fids.append(score(images_of(run, 5000), options.data_dir))
        if run.step + 1 == steps:
            raise Enough

    watched(script, seed, options, look)
    return estimates, fids


def correlation(options: Options) -> None:
    tasks = [(script, seed, options) for seed in range(options.seeds) for script in ("wgan", "wgan_gp")]
    found: dict[str, list[float]] = {"wgan": [], "wgan_gp": []}
    everything = []
    with side_by_side(options) as pool:
        for (script, seed, _), (estimates, fids) in zip(tasks, pool.map(estimate_and_fid, tasks)):
            found[script].append(spearmanr(estimates, fids).statistic)
            everything.append({"script": script, "seed": seed, "estimates": estimates, "fids": fids})
            print(
                f"{script}, seed {seed}: correlation {found[script][-1]:.2f}; estimate {estimates[0]:.3g} to"
                f" {estimates[-1]:.3g}, FID {fids[0]:.0f} to {fids[-1]:.0f}",
                flush=True,
            )
            save(options, everything)
    print("\n| script | Spearman's correlation, estimate and FID |\n|---|---|")
    for script, values in found.items():
        print(f"| {script} | {evaluate.spread(values)} |")


def plot_quality(moments: list[float], curves: dict[str, list[list[float]]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    colours = {name.split(",")[0]: f"C{i // 2}" for i, name in enumerate(curves)}
    for name, runs in curves.items():
        style = "--" if "in use" in name else "-"
        axes.plot(moments, np.mean(runs, axis=0), style, color=colours[name.split(",")[0]], label=name)
    axes.set_yscale("log")
    axes.set_xlabel("seconds")
    axes.set_ylabel("FID")
    axes.legend(fontsize=8, ncols=2)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=90)


# Several processes.

WORKER = """
import sys, time, torch, torch.distributed as dist
sys.path.insert(0, {root!r})
import common, importlib
script, data_dir, out, steps = sys.argv[1:]
module = importlib.import_module(script)
torch.set_num_threads(1)
common.start_processes("cpu")
spent, times = [0.0], []
def timed(function):
    def wrapper(*arguments):
        start = time.perf_counter()
        result = function(*arguments)
        spent[0] += time.perf_counter() - start
        return result
    return wrapper
common.average_gradients = timed(common.average_gradients)
class Enough(Exception): pass
def log(self, **values):
    times.append((time.perf_counter(), spent[0]))
    if len(times) > int(steps): raise Enough
common.Run.log = log
hp = module.Hyperparameters(steps=10**9, out=out, data_dir=data_dir, device="cpu", sample_every=10**9)
try: module.train(hp)
except Enough: pass
(t0, s0), (t1, s1) = times[int(steps) // 5], times[-1]
if common.process()[0] == 0:
    print("RESULT", hp.batch_size * (int(steps) - int(steps) // 5) / (t1 - t0), (s1 - s0) / (t1 - t0))
import os; sys.stdout.flush(); os._exit(0)
"""


def processes(options: Options) -> None:
    print("| script | 1 process, images/s | 2 processes | ratio | averaging, of the step |")
    print("|---|---|---|---|---|")
    for script in options.scripts:
        found: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
        for _ in range(options.repeats):
            for count in (1, 2):
                with tempfile.TemporaryDirectory() as folder:
                    worker = Path(folder) / "worker.py"
                    worker.write_text(WORKER.format(root=str(ROOT)))
                    words = [
                        sys.executable,
                        "-m",
                        "torch.distributed.run",
                        "--standalone",
                        "--nproc-per-node",
                        str(count),
                    ]
                    words += [str(worker), script, options.data_dir, f"{folder}/run", str(options.steps)]
                    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
                    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
                line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT")), None)
                if line is None:
                    sys.exit(f"{script} with {count} processes failed: {done.stderr[-500:]}")
                rate, part = map(float, line.split()[1:])
                found[count].append((rate, part))
        one, two = (statistics.median(rate for rate, _ in found[n]) for n in (1, 2))
        part = statistics.median(part for _, part in found[2])
        print(f"| {script} | {one:.0f} | {two:.0f} | {two / one:.2f} | {part:.0%} |", flush=True)


# A large folder.


def memory(options: Options) -> None:
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "images").mkdir()
        for i in tqdm(range(options.images), desc="making images"):
            coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
            coarse.resize((80, 70)).save(f"{folder}/images/{i:06d}.jpg")
        words = ["fgan.py", "--data", f"{folder}/images", "--data-dir", f"{folder}/data", "--out", f"{folder}/run"]
        for steps in (1, 2000):
            start = time.perf_counter()
            subprocess.run([sys.executable, *words, "--steps", str(steps), "--overwrite"], cwd=ROOT, check=True)
            seconds = time.perf_counter() - start
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20  # of the largest child so far
            what = "preparing and a first step" if steps == 1 else f"{steps} steps more, prepared before"
            print(f"{options.images:,} images: {what}: {seconds:.0f} s; peak memory {peak:.2f} GiB", flush=True)


def main() -> None:
    options = tyro.cli(Options, prog="benchmark.py", description=common.first_line(__doc__))
    chosen = [kind for kind in (quality, correlation, processes, memory) if getattr(options, kind.__name__)]
    if len(chosen) > 1:
        sys.exit("benchmark.py: one of --quality, --correlation, --processes, --memory at a time")
    (chosen or [speed])[0](options)


if __name__ == "__main__":
    main()
