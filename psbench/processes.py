"""The processes that were started together, by `accelerate launch` or torchrun; mostly there is only one."""

from __future__ import annotations

import errno
import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, parse_flag_from_env

T = TypeVar("T")
M = TypeVar("M", bound=torch.nn.Module)
_DECODING = 4
"""Threads or processes beside a GPU; without one they would take its work's cores."""
_AT_ONCE = 8
"""Images, on a GPU: so many keep it busy with a ResNet-50 at 900x1500; a CPU gains nothing by more than one."""
_PATIENCE = timedelta(hours=2)
"""How long processes wait for one another: one of them may have a long last shard, or others' shards to put together.
One that died is noticed by the launcher, at once."""


def this_process() -> PartialState:
    """This process among the others: its number, its device, and how to wait for them."""
    # Without a GPU, accelerate joins the processes only when told that none is wanted.
    cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()
    return PartialState(cpu=cpu, timeout=_PATIENCE)


def decoding_workers(device: torch.device) -> int:
    """Threads or processes that decode images for one that computes on a device, where nobody says how many."""
    return min(_DECODING, usable_cores()) if device.type == "cuda" else 0


def usable_cores() -> int:
    """Of the CPU, those that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def images_at_once(device: torch.device) -> int:
    """Images that a device looks at together, where nobody says how many."""
    return _AT_ONCE if device.type == "cuda" else 1


def placed(model: M, device: torch.device) -> M:
    """A model on a device; on a GPU and in evaluation mode, laid out as `channels_innermost`.

    In the middle of a training its layout is left alone, so that the training goes on as it would have.
    """
    model = model.to(device)
    return model if device.type == "cpu" or model.training else channels_innermost(model)


def channels_innermost(model: M) -> M:
    """A model whose convolutions compute with the channels of their maps innermost, as GPUs do fastest."""
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.to(memory_format=torch.channels_last)
    return model


def while_memory_lasts(work: Callable[..., T], *arguments: Any) -> T | None:
    """What some work gives; None if the device's memory does not suffice for it."""
    try:
        return work(*arguments)
    except torch.OutOfMemoryError:
        pass
    # Now that the exception is gone, and what it held.
    gc.collect()
    torch.cuda.empty_cache()
    return None


@contextmanager
def main_process_first() -> Iterator[None]:
    """Let the main process do something before the others: what it finds wrong is told once, what it keeps is found."""
    main = this_process().is_main_process
    if not main:
        wait_for_others()
    yield
    if main:
        wait_for_others()


def wait_for_others() -> None:
    """Go on when every process has come as far.

    Raises:
        ConnectionAbortedError: another one has ended.
    """
    with _telling_when_one_ends():
        this_process().wait_for_everyone()


def from_main(value: T) -> T:
    """What the main process gave, in every process.

    Raises:
        ConnectionAbortedError: another one has ended.
    """
    with _telling_when_one_ends():
        return broadcast_object_list([value])[0]


@contextmanager
def _telling_when_one_ends() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        state = this_process()
        raise ConnectionAbortedError(
            errno.ECONNABORTED,
            "another process has ended before the work was done; its own message says why",
            f"process {state.process_index} of {state.num_processes}",
        ) from error
