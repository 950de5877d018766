"""Several processes of one training: each computes its share of every batch, and all of them make the same steps.

Started by `torchrun --nproc-per-node N -m linnet tune ...`; they meet through gloo, and GPUs through NCCL. Process 0
writes, the others only compute. In one process every function here is the plain thing. Knows no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import torch
from torch import Tensor, distributed

from linnet.core.settings import processes

PATIENCE = timedelta(hours=12)  # a process may wait this long for another, which converts or validates


def join() -> None:
    """Meet the other processes that torchrun started; nothing where it started none."""
    if processes() > 1 and not distributed.is_initialized():
        has_gpus = torch.cuda.is_available() and distributed.is_nccl_available()
        distributed.init_process_group("cpu:gloo,cuda:nccl" if has_gpus else "gloo", timeout=PATIENCE)


def leave() -> None:
    """Wait for the others to come here too, and part."""
    if size() > 1:
        distributed.barrier()
        distributed.destroy_process_group()


def size() -> int:
    return int(distributed.get_world_size()) if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """0 for the process that writes."""
    return int(distributed.get_rank()) if size() > 1 else 0


def share(rows: Sequence[int], lengths: Sequence[int]) -> list[int]:
    """This process's part of the rows: dealt by length, so that every process has about as many tokens."""
    if size() == 1:
        return list(rows)
    return sorted(rows, key=lambda i: (-lengths[i], i))[rank() :: size()]


def summed(values: Sequence[float]) -> list[float]:
    """The sums over all processes, the same bits in each."""
    if size() == 1:
        return list(values)
    whole = torch.tensor(values, dtype=torch.float64)
    distributed.all_reduce(whole)
    return [float(value) for value in whole]


def most(value: int) -> int:
    """The largest of all processes."""
    if size() == 1:
        return value
    found = torch.tensor(value)
    distributed.all_reduce(found, distributed.ReduceOp.MAX)
    return int(found)


def sum_gradients(parameters: Sequence[Tensor]) -> None:
    """Add up the gradients of all processes. Each is of a sum over its own targets, divided by the targets of all, so
    that what comes out is the gradient of the mean over the whole batch."""
    if size() == 1 or not parameters:
        return
    flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters])
    distributed.all_reduce(flat)
    for parameter, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        parameter.grad = part.view_as(parameter)


def told(text: str = "") -> str:
    """What process 0 says here, in every process."""
    if size() == 1:
        return text
    said = text.encode()
    length = torch.tensor([len(said)])
    distributed.broadcast(length, src=0)
    carried = torch.zeros(int(length), dtype=torch.uint8)
    if rank() == 0:
        carried[:] = torch.tensor(list(said), dtype=torch.uint8)
    distributed.broadcast(carried, src=0)
    return bytes(carried.tolist()).decode()
