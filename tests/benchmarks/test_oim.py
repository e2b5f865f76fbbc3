"""The OIM loss at the size of CUHK-SYSU; `make bench`."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from psbench.zoo.layers.oim import OIMLoss
from tests.benchmarks.calibrated import Kernel

pytestmark = pytest.mark.bench
IDENTITIES, QUEUE, DIM, ROWS = 5532, 5000, 256, 100
TIMES = 10
"""A single update takes too little to be timed."""


def test_update(calibrated: Callable[..., float]) -> None:
    """Loss, gradient and update of the tables for 100 labelled people, in products of these with the tables."""
    generator = torch.Generator().manual_seed(0)
    oim = OIMLoss(IDENTITIES, DIM, queue_size=QUEUE)
    for table in (oim.table, oim.queue):
        table.copy_(F.normalize(torch.randn(table.shape, generator=generator)))
    x = F.normalize(torch.randn(ROWS, DIM, generator=generator)).requires_grad_()
    ids = torch.randperm(IDENTITIES, generator=generator)[:ROWS]
    tables = torch.cat([oim.table, oim.queue])

    def product() -> None:
        with torch.no_grad():
            for _ in range(TIMES):
                x @ tables.T

    def update() -> None:
        for _ in range(TIMES):
            oim(x, ids).backward()

    calibrated(update, Kernel("10 products of its operands", product), rounds=9)
