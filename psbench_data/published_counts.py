"""How large the datasets are, as published: each number with its source, and whether somebody counted it.

Where a count on the genuine files and a paper disagree, the count stands here and its note tells the paper's number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Evidence = Literal["counted", "printed"]
"""`counted` on the authors' files, or `printed` by a paper, a README or a data card and not counted."""


@dataclass(frozen=True)
class PublishedCount:
    """A published number.

    Attributes:
        part: `train`, `test`, `total`, or the name of a protocol.
        what: `scenes`, `boxes`, `labelled boxes`, `identities`; of a protocol `queries`, `gallery` (entries that every
            query has), `true boxes`.
        count: the number.
        evidence: how it is known.
        source: where from.
        comparable: whether an intact tree has this number; False where what is loaded is a part of what was counted.
    """

    part: str
    what: str
    count: int
    evidence: Evidence
    source: str
    comparable: bool = True


_XIAO = "Xiao et al., CVPR 2017"
_SYSU_READERS = "statistics of the NAE and SeqNet readers, after boxes without area are dropped"
_SYSU_LIST = "TestG100.mat"
_ZHENG = "PRW v16.04.20"
_ZHONG = "Zhong et al., CVPR 2020"
_QIN = "Qin et al., 2023"
_SUBSETS = "Xiao et al., CVPR 2017, and the readers of later work"
_PRW_QUERIES = "PRW v16.04.20, query_info.txt"
_MUNJAL = "Munjal et al., CVPR 2019, prwmini_query_info.txt"


def _cuhk_sysu() -> list[PublishedCount]:
    counts = [
        PublishedCount("train", "scenes", 11_206, "counted", _XIAO),
        PublishedCount("train", "boxes", 55_272, "printed", _SYSU_READERS),
        PublishedCount(
            "train", "labelled boxes", 15_085, "printed", "23,430 labelled boxes in all, less the 8,345 counted in test"
        ),
        PublishedCount("train", "identities", 5_532, "printed", _XIAO),
        PublishedCount("test", "scenes", 6_978, "counted", _XIAO),
        PublishedCount("test", "boxes", 40_871, "printed", _SYSU_READERS),
        PublishedCount("test", "labelled boxes", 8_345, "counted", _SYSU_LIST),
        PublishedCount("test", "identities", 2_900, "counted", _SYSU_LIST),
        PublishedCount("total", "boxes", 96_143, "printed", _XIAO),
        PublishedCount("total", "labelled boxes", 23_430, "printed", _XIAO),
        PublishedCount("total", "identities", 8_432, "printed", _XIAO),
        PublishedCount("gallery-100", "true boxes", 5_447, "counted", _SYSU_LIST),
        PublishedCount("gallery-all", "queries", 2_900, "counted", _SYSU_LIST),
        PublishedCount("occlusion", "queries", 187, "printed", _SUBSETS),
        PublishedCount("occlusion", "gallery", 100, "printed", _SUBSETS),
        PublishedCount("low-resolution", "queries", 290, "printed", _SUBSETS),
        PublishedCount("low-resolution", "gallery", 100, "printed", _SUBSETS),
    ]
    for size in (50, 100, 500, 1000, 2000, 4000):
        # Only the list of 100 was at hand to be counted; all sizes hold the same queries.
        evidence: Evidence = "counted" if size == 100 else "printed"
        source = _SYSU_LIST if size == 100 else _XIAO
        counts.append(PublishedCount(f"gallery-{size}", "queries", 2_900, evidence, source))
        counts.append(PublishedCount(f"gallery-{size}", "gallery", size, evidence, source))
    return counts


def _prw() -> list[PublishedCount]:
    return [
        PublishedCount("train", "scenes", 5_704, "counted", _ZHENG),
        PublishedCount("train", "boxes", 18_048, "counted", _ZHENG),
        PublishedCount("train", "labelled boxes", 14_907, "counted", _ZHENG),
        PublishedCount("train", "identities", 483, "counted", f"{_ZHENG}; papers print 482"),
        PublishedCount("test", "scenes", 6_112, "counted", _ZHENG),
        PublishedCount("test", "boxes", 25_062, "counted", _ZHENG),
        PublishedCount("test", "labelled boxes", 19_127, "counted", _ZHENG),
        PublishedCount(
            "test", "identities", 544, "counted", f"{_ZHENG}; 450 that are queried and 94 of training, papers print 450"
        ),
        PublishedCount("total", "boxes", 43_110, "counted", _ZHENG),
        PublishedCount(
            "total", "labelled boxes", 34_034, "counted", f"{_ZHENG}; papers print 34,304, two digits exchanged"
        ),
        PublishedCount("total", "identities", 933, "counted", f"{_ZHENG}; papers print 932"),
        PublishedCount("regular", "gallery", 6_111, "counted", "every test frame but the query's own"),
        PublishedCount("mini", "queries", 30, "counted", _MUNJAL),
        PublishedCount("mini", "gallery", 6_111, "counted", "every test frame but the query's own"),
        *(
            PublishedCount(protocol, "queries", 2_057, "counted", _PRW_QUERIES)
            for protocol in ("regular", "multi-view", "same-camera")
        ),
    ]


def _lsps() -> list[PublishedCount]:
    return [
        PublishedCount("train", "scenes", 18_163, "printed", _ZHONG),
        PublishedCount("train", "identities", 1_041, "printed", _ZHONG),
        PublishedCount("test", "scenes", 33_673, "printed", f"{_ZHONG}: 51,836 less the training frames"),
        PublishedCount("test", "identities", 3_026, "printed", f"{_ZHONG}: 4,067 less the training identities"),
        PublishedCount("total", "scenes", 51_836, "printed", _ZHONG),
        PublishedCount("total", "boxes", 60_433, "printed", _ZHONG),
        PublishedCount("total", "identities", 4_067, "printed", _ZHONG),
    ]


def _movienet_cs() -> list[PublishedCount]:
    # A tree is loaded with one of five training lists, and no count by list or pool was ever printed.
    return [
        PublishedCount("total", "scenes", 160_816, "printed", f"{_QIN}, all training lists", comparable=False),
        PublishedCount("total", "boxes", 274_274, "printed", f"{_QIN}, all training lists", comparable=False),
        PublishedCount("total", "identities", 3_087, "printed", f"{_QIN}, train and test", comparable=False),
    ]


def published_counts(dataset: str) -> list[PublishedCount]:
    """What is published about a dataset; nothing for one's own data."""
    tables = {"cuhk_sysu": _cuhk_sysu, "prw": _prw, "lsps": _lsps, "movienet_cs": _movienet_cs}
    return tables[dataset]() if dataset in tables else []
