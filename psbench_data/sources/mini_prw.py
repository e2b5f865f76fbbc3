"""PRW-mini: the 30 queries of PRW that query-guided methods are tested on (Munjal et al., CVPR 2019)."""

from __future__ import annotations

import re

import numpy as np

_LIST = """
484 c2s1_159941  493 c4s3_026629  495 c2s1_157566  504 c4s3_025379  537 c2s2_012212  559 c4s3_037479
596 c2s2_036262  601 c6s2_050518  607 c2s2_060532  617 c4s3_063104  640 c6s2_077843  647 c4s4_020410
662 c6s2_057368  696 c6s2_069918  703 c6s2_072743  707 c5s2_127849  713 c5s2_083202  735 c5s2_104727
751 c5s2_105577  755 c5s2_123749  776 c3s2_107603  778 c1s4_047481  828 c1s4_050856  832 c1s4_053261
848 c1s4_055586  862 c1s4_060111  863 c3s2_117519  871 c3s2_119569  902 c3s2_125219  906 c3s2_125794
"""
PROBES: list[tuple[str, str]] = re.findall(r"(\d+) (\S+)", _LIST)
"""Person and frame of each query, in the order of the authors' `prwmini_query_info.txt`
(github.com/munjalbharti/Query-guided-End-to-End-Person-Search)."""


def evenly_spaced(queries: int) -> np.ndarray:
    """(n,) as many of `queries` rows, for a tree that is not PRW itself and has none of the 30."""
    n = min(len(PROBES), queries)
    return np.arange(n) * queries // n
