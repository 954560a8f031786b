"""Several processes that train as one, started by torchrun. With a single process every function here does nothing."""

import contextlib
import datetime
import os
from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn

from workshop.errors import UserError, first_line
from workshop.machine import choose_device

PATIENCE = datetime.timedelta(days=1)  # while process 0 prepares a large folder; one that has ended is noticed at once


@contextlib.contextmanager
def process_group(device: str) -> Iterator[None]:
    """Within: joined with the other processes, if torchrun started this one. Raises UserError if it has no device."""
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        if (chosen := choose_device(device)).type == "cuda":
            torch.cuda.set_device(chosen)
            dist.init_process_group("cpu:gloo,cuda:nccl", timeout=PATIENCE)
        else:
            dist.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def rank() -> int:
    """The number of this process: 0 without torchrun."""
    return dist.get_rank() if dist.is_initialized() else 0


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


def max_over_processes(number: int) -> int:
    """The largest of the numbers that the processes give."""
    return number if world_size() == 1 else int(all_reduce(torch.tensor(number), dist.ReduceOp.MAX))


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
