"""Making things ahead of their use, in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def made_ahead(make: Callable[[T], R], items: Iterable[T], *, workers: int, waiting: int) -> Generator[R]:
    """What is made of each item, in their order; while it is used, threads make what comes next.

    Threads, not processes: decoding holds no interpreter lock, and what processes make would have to be copied to this
    one through shared memory, which takes about as long as decoding and is short in containers.

    Args:
        make: from an item; called in several threads at once. What it raises is raised here, in its turn.
        items: may be endless; of them so many are taken as are wanted.
        workers: threads; 0 makes each thing here when it is asked for.
        waiting: how many made or half-made things may wait for their use.
    """
    if not workers:
        yield from map(make, items)
        return
    threads, begun = ThreadPoolExecutor(workers, thread_name_prefix="ahead"), deque[Future[R]]()
    try:
        for item in items:
            begun.append(threads.submit(make, item))
            if len(begun) > waiting:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        threads.shutdown(cancel_futures=True)
