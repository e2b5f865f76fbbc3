"""What a model costs and how fast it is, every model measured in one way; docs/performance.md says in which.

    from psbench.efficiency.measuring import measure

    result = measure("seqnet")
    result.at(900, 1500).alone.images_per_second

A result itself needs no torch.
"""

from psbench.efficiency.result import AtSize, Efficiency, Search, Timing

__all__ = ["AtSize", "Efficiency", "Search", "Timing"]
