"""Several processes that train one model, as torchrun starts them: who is first, what is added up, how weights are
spread.

Each process reads every batch whole and computes its share of the rows. Gradients are added up by torch's DDP, or by
FSDP where weights, gradients and the optimizer's state are spread over the processes. transformers and accelerate are
not told: to them each process is a training of its own, so nothing but the order of sums differs from a training by one
process. With one process all of this is nothing.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from ft_assets.errors import UserError
from ft_assets.training.config import TrainingConfig

__all__ = [
    "add_up",
    "any_of",
    "count",
    "gathered",
    "is_first",
    "join",
    "least",
    "own_share",
    "put",
    "rank",
    "shard",
    "spreads",
    "whole",
]

_Item = TypeVar("_Item")
_TOLD = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
"""Variables by which torchrun tells a process its place."""


def join() -> None:
    """Join the other processes, if torchrun has started this one; before anything is done on a GPU.

    Each process sees one GPU only, which to it is the first.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return
    local = int(os.environ["LOCAL_RANK"])
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = visible.split(",") if visible else [str(i) for i in range(local + 1)]
    os.environ["CUDA_VISIBLE_DEVICES"] = gpus[local] if local < len(gpus) else ""
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
        store=_store(),
        rank=int(os.environ["RANK"]),
        world_size=int(os.environ["WORLD_SIZE"]),
    )
    for name in _TOLD:
        del os.environ[name]


def _store() -> dist.Store:
    """Where the processes find each other: torchrun's if it has opened one, else that of the first process. It listens
    where torchrun has told them to look and on no other interface; by itself torch's store listens on all of them."""
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    if int(os.environ["RANK"]) > 0 or os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        return dist.TCPStore(host, port, is_master=False)
    listening = socket.create_server((host, port)).detach()  # the store closes it
    return dist.TCPStore(host, port, is_master=True, master_listen_fd=listening, wait_for_workers=False)


def count() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_first() -> bool:
    """Whether this is the process that speaks and writes."""
    return rank() == 0


def add_up(tensor: torch.Tensor) -> torch.Tensor:
    """The sum of a tensor over all processes, in place."""
    if count() > 1:
        dist.all_reduce(tensor)
    return tensor


def any_of(flag: bool) -> bool:
    """Whether it is so in any process."""
    return -least(-int(flag)) > 0


def least(number: int) -> int:
    """The smallest of the processes' numbers."""
    if count() == 1:
        return number
    tensor = torch.tensor(number)
    dist.all_reduce(tensor, op=dist.ReduceOp.MIN)
    return int(tensor)


def own_share(items: Sequence[_Item]) -> Iterator[tuple[_Item, bool]]:
    """This process's share of some passes, and whether each counts.

    All processes get equally many, because spread weights are gathered anew in each pass: what does not count fills up.
    """
    for start in range(0, len(items), count()):
        place = start + rank()
        yield (items[place], True) if place < len(items) else (items[start], False)


def spreads(config: TrainingConfig) -> bool:
    """Whether weights are spread over the processes."""
    return config.sharded and count() > 1


def shard(model: Any) -> None:
    """Spread the weights over the processes, layer by layer (FSDP; Zhao et al. 2023), in place. Those of a model in the
    host's memory go to the GPUs by and by, so that none of them ever holds the whole.

    Raises:
        UserError: the model does not say what its layers are.
    """
    names = set(getattr(model, "_no_split_modules", None) or ())
    layers = [module for module in model.modules() if type(module).__name__ in names]
    if not layers:
        raise UserError(
            f"{type(model).__name__} does not say what its layers are, so its weights cannot be spread",
            where="training.sharded",
            do="leave it out",
        )
    for layer in layers:
        fully_shard(layer)
    # After an evaluation, too, what is read of the weights is the spread ones.
    fully_shard(model, reshard_after_forward=True)


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """All of a tensor that may be spread over the processes; to be called by all of them."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gathered(tensor: torch.Tensor) -> torch.Tensor:
    """As `whole`, in one piece; in the memory of the host if it was spread, since no GPU need have room for all."""
    return whole(tensor).cpu() if isinstance(tensor, DTensor) else tensor.contiguous()


def put(value: torch.Tensor, into: torch.Tensor) -> torch.Tensor:
    """A whole tensor, spread as the other is if that is spread."""
    if isinstance(into, DTensor) and not isinstance(value, DTensor):
        return distribute_tensor(value.to(into.device), into.device_mesh, into.placements)
    return value
