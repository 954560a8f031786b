"""Several processes that train as one (torchrun), and the signals that end them: Ctrl-C and SIGTERM.

With a single process the functions of the first part do nothing. Not here: what a run does when it is ended.
"""

import contextlib
import datetime
import os
import signal
import threading
from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn

from training.files import UserError, first_line
from training.machine import choose_device, from_torchrun

PATIENCE = datetime.timedelta(days=1)  # while process 0 prepares a large folder; one that has ended is noticed at once


@contextlib.contextmanager
def process_group(device: str) -> Iterator[None]:
    """Within: joined with the other processes, if torchrun started this one. Raises UserError if it has no device."""
    if from_torchrun()["WORLD_SIZE"] > 1:
        if on_gpu := (chosen := choose_device(device)).type == "cuda":
            torch.cuda.set_device(chosen)
        try:
            dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=PATIENCE)
        except (RuntimeError, ValueError) as error:
            place = f"{os.environ['MASTER_ADDR']}, port {os.environ['MASTER_PORT']}"
            raise UserError(f"the processes can't meet at {place}: {first_line(error)}") from error
    try:
        yield
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def rank() -> int:
    """The number of this process: 0 without torchrun."""
    return dist.get_rank() if dist.is_initialized() else 0


def which_process() -> str:
    """Behind the name of a script in what it says of an error; nothing without torchrun."""
    return f" [process {rank()}]" if world_size() > 1 else ""


def world_size() -> int:
    """How many processes there are: 1 without torchrun."""
    return dist.get_world_size() if dist.is_initialized() else 1


def share(batch: Tensor) -> Tensor:
    """The part of the whole batch that this process works on. All draw the same numbers and take their own
    rows, so that N processes see exactly the samples that a single one would have seen."""
    return batch if world_size() == 1 else batch.chunk(world_size())[rank()]


def average_gradients(network: nn.Module) -> None:
    """Between backward() and step(): the mean of the gradients over all processes. Nothing to do for one.

    By hand rather than with DistributedDataParallel, whose hooks fire in backward() and know nothing of
    the second backward pass of a gradient penalty, nor of two players that take turns.
    """
    if world_size() > 1:
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        flat = all_reduce(torch.cat([g.flatten() for g in gradients]), dist.ReduceOp.SUM) / world_size()
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients])):
            gradient.copy_(part.view_as(gradient))


def mean_over_processes(tensor: Tensor) -> Tensor:
    """The mean of a tensor over all processes; the tensor itself if there is only one."""
    return tensor if world_size() == 1 else all_reduce(tensor.clone(), dist.ReduceOp.SUM) / world_size()


@contextlib.contextmanager
def main_process_first() -> Iterator[None]:
    """Process 0 does what is within (a download, say) before the others do it."""
    if world_size() > 1 and rank() > 0:
        all_reduce(torch.zeros(1), dist.ReduceOp.SUM)
    yield
    if world_size() > 1 and rank() == 0:
        all_reduce(torch.zeros(1), dist.ReduceOp.SUM)


def all_reduce(tensor: Tensor, operation: dist.ReduceOp) -> Tensor:
    """Combine `tensor` over all processes, in place."""
    try:
        dist.all_reduce(tensor, operation)
    except RuntimeError as error:
        raise UserError(
            "another process of this run has ended: stopped too; go on from the last checkpoint with --resume"
            f" ({first_line(error)})"
        ) from error
    return tensor


@contextlib.contextmanager
def signals_noted() -> Iterator[list[int]]:
    """Within: the first Ctrl-C or SIGTERM is only noted in the list; a second one acts at once
    (not under torchrun, which may send the first one twice)."""
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # Python delivers signals there alone
        yield noted
        return

    def note(number: int, _frame: object) -> None:
        noted.append(number)
        if world_size() == 1:  # torchrun may well send the same signal again
            signal.signal(number, before[number])

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in before:
            signal.signal(number, note)
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def agree_to_stop(noted: list[int]) -> int:
    """The signal that ends the run after this step, 0 for none; the same answer in every process."""
    number = noted[0] if noted else 0
    return number if world_size() == 1 else int(all_reduce(torch.tensor(number), dist.ReduceOp.MAX))


def end_by(number: int) -> None:
    """End as a process ends that the signal has stopped: KeyboardInterrupt, or exit code 128 + number."""
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
