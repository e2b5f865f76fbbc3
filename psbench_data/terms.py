"""What each dataset's authors allow, how it is obtained, and what anybody who works with pictures of people owes them.

Only what is known is stated. Where no licence text is known, that is said, and nothing is inferred from it.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from psbench_data.errors import InputError, near_names

_COLUMNS = 100


@dataclass(frozen=True)
class Terms:
    """The terms of one dataset.

    Attributes:
        name: the dataset's name, as `load` takes it.
        title: the name as printed.
        status: `by request`, `available`, `by authors` (they give it out, no public way is known), `withdrawn`,
            `own data` or `generated`.
        obtained: how one gets it.
        conditions: what may be done with it, as far as that is known.
        paper: the citation, "" where there is nothing to cite.
        url: the authors' page, "" where there is none.
        collection: where the pictures come from.
        authors: who made it.
        year: of the paper.
    """

    name: str
    title: str
    status: str
    obtained: str
    conditions: str
    paper: str
    url: str
    collection: str
    authors: tuple[str, ...] = ()
    year: int | None = None


ETHICS = (
    "The people in these pictures did not ask to be in a dataset. Of CUHK-SYSU, PRW, LSPS and MovieNet-CS we know of "
    "no statement that they agreed to it. Treat people as not having consented unless you hold proof that they have.",
    "Use the data for research only: to study and compare methods, on the people of these sets. Do not use it, or "
    "what was trained on it, for surveillance, for searching faces, for finding or following people who were not "
    "asked, or on live cameras.",
    "Do not pass the data on: no copies, no mirrors, no crops, and no uploads of exports. Annotations and tables made "
    "from a dataset are part of it. In figures, blur people or show synthetic ones.",
    "Weights trained on data for research only are for research only. Say so wherever you publish them.",
    "DukeMTMC is the precedent. It was withdrawn in June 2019: people had been filmed outdoors without consent and "
    "against the approved protocol, and the data had served surveillance. At least 135 later papers used it all the "
    "same, mostly through sets derived from it.",
)
"""What holds for every dataset of real people, a paragraph each."""

TAKEDOWN = (
    "If you are in a dataset and do not want to be: write to its authors, who alone can take you out of it. psbench "
    "distributes no dataset; where one of its figures or tables shows you, tell its maintainers, and it is removed.",
    "If a dataset is withdrawn: stop using it, delete your copies, its exports, psbench's cache and the weights "
    "trained on it, and report no new numbers on it. Its status is then given here as withdrawn.",
)
"""What to do when a person or a dataset has to go, a paragraph each."""

_TERMS = (
    Terms(
        name="cuhk_sysu",
        title="CUHK-SYSU",
        status="by request",
        obtained="By e-mail request to the authors from an address at a university or research institution; the "
        "README of their code names the addresses. Copies that circulate elsewhere are not the authors', and some "
        "lack the identity files.",
        conditions="Academic use only, says the authors' README. No public licence text is known.",
        authors=("Tong Xiao", "Shuang Li", "Bochao Wang", "Liang Lin", "Xiaogang Wang"),
        year=2017,
        paper="Tong Xiao, Shuang Li, Bochao Wang, Liang Lin, Xiaogang Wang. Joint Detection and Identification "
        "Feature Learning for Person Search. CVPR 2017.",
        url="https://github.com/ShuangLI59/person_search",
        collection="12,490 photographs taken in streets and 5,694 stills from films.",
    ),
    Terms(
        name="prw",
        title="PRW",
        status="available",
        obtained="From the authors' project page, which links to the archive PRW-v16.04.20.zip (2.67 GB).",
        conditions="No licence text and no statement of consent is known. Treat it as for research only, and do not "
        "pass it on.",
        authors=("Liang Zheng", "Hengheng Zhang", "Shaoyan Sun", "Manmohan Chandraker", "Yi Yang", "Qi Tian"),
        year=2017,
        paper="Liang Zheng, Hengheng Zhang, Shaoyan Sun, Manmohan Chandraker, Yi Yang, Qi Tian. Person "
        "Re-identification in the Wild. CVPR 2017.",
        url="http://zheng-lab.cecs.anu.edu.au/Project/project_prw.html",
        collection="Video frames of six cameras on a university campus (Tsinghua, summer 2014), the video of "
        "Market-1501.",
    ),
    Terms(
        name="lsps",
        title="LSPS",
        status="by authors",
        obtained="By request to the authors. No public download is known; in November 2020 they said that the "
        "release was waiting for approval.",
        conditions="No licence text is known. Treat it as for research only, and do not pass it on.",
        authors=("Yingji Zhong", "Xiaoyu Wang", "Shiliang Zhang"),
        year=2020,
        paper="Yingji Zhong, Xiaoyu Wang, Shiliang Zhang. Robust Partial Matching for Person Search in the Wild. "
        "CVPR 2020.",
        url="https://arxiv.org/abs/2004.09329",
        collection="Video frames of 15 cameras, faces blurred; boxes come from a Faster R-CNN detector.",
    ),
    Terms(
        name="movienet_cs",
        title="MovieNet-CS",
        status="available",
        obtained="From the links in the README of the authors' code, GLCNet.",
        conditions="The author's dataset card asks for non-commercial research and education and is tagged "
        "cc-by-nc-sa-4.0. The pictures are frames of commercial films, which a third party's tag cannot license. "
        "Treat it as for research only, and do not pass it on.",
        authors=("Jie Qin", "Peng Zheng", "Yichao Yan", "Rong Quan", "Xiaogang Cheng", "Bingbing Ni"),
        year=2023,
        paper="Jie Qin, Peng Zheng, Yichao Yan, Rong Quan, Xiaogang Cheng, Bingbing Ni. MovieNet-PS: A Large-Scale "
        "Person Search Dataset in the Wild. ICASSP 2023.",
        url="https://github.com/ZhengPeng7/GLCNet",
        collection="Frames of commercial films, with the character boxes and identities of MovieNet.",
    ),
    Terms(
        name="coco",
        title="COCO-style data",
        status="own data",
        obtained="It is yours, or its owner gave it to you.",
        conditions="Those of its owner. A COCO-style export of a restricted dataset is that dataset, with its terms.",
        paper="",
        url="",
        collection="By its owner; psbench does not know how. Where people are filmed, ask them.",
    ),
    Terms(
        name="synthetic",
        title="Synthetic people",
        status="generated",
        obtained="psbench draws it: `psbench-data synthesize`.",
        conditions="None: pass it on as you like. Numbers measured on it say nothing about real data.",
        paper="",
        url="",
        collection="Drawn by a program from a seed. No person was filmed.",
    ),
)


def all_terms() -> tuple[Terms, ...]:
    """The terms of every dataset."""
    return _TERMS


def terms(name: str) -> Terms:
    """The terms of a dataset.

    Args:
        name: one of `psbench_data.available()`.

    Raises:
        InputError: no dataset has this name.

    Example:
        >>> from psbench_data.terms import terms
        >>> terms("cuhk_sysu").status
        'by request'
    """
    known = {each.name: each for each in _TERMS}
    if name not in known:
        raise InputError(f"no dataset is called {name!r}. {near_names(name, known)}")
    return known[name]


def print_terms(name: str) -> str:
    """The terms of a dataset as text for a terminal, in lines of at most 100 characters.

    Args:
        name: one of `psbench_data.available()`.

    Raises:
        InputError: no dataset has this name.
    """
    its = terms(name)
    lines = [f"{its.title} ({its.status})", ""]
    for label, text in (
        ("Obtained", its.obtained),
        ("Terms", its.conditions),
        ("Pictures", its.collection),
        ("Cite", its.paper),
        ("Page", its.url),
    ):
        if text:
            lines += _wrapped(text, first=f"{label + ':':<10}", rest=" " * 10)
    if name != "synthetic":
        for paragraph in (*ETHICS, *TAKEDOWN):
            lines += ["", *_wrapped(paragraph)]
    return "\n".join(lines)


def _wrapped(text: str, first: str = "", rest: str = "") -> list[str]:
    # Addresses are copied from a terminal: they are never broken.
    return textwrap.wrap(
        text,
        _COLUMNS,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
