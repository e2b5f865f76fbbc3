"""DATA_LICENSES.md: the terms of all datasets and of released weights on one page; `psbench-data terms` prints both."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from psbench_data.terms import ETHICS, TAKEDOWN, Terms, all_terms


@dataclass(frozen=True)
class ReleasedWeights:
    """What is known of the terms of weights that the authors of a method released.

    Attributes:
        title: of the method.
        code: the repository that released them, or whose code trains them; "" where no code was published.
        licence: of that code.
        weights: what is known of the weights themselves.
    """

    title: str
    code: str
    licence: str
    weights: str


_UNSTATED = "Released by the authors; no licence of their own is known."
RELEASED = (
    ReleasedWeights("OIM, the network of 2017", "serend1p1ty/person_search", "none is stated", _UNSTATED),
    ReleasedWeights("NAE, NAE+", "DeanChan/NAE4PS", "MIT", _UNSTATED),
    ReleasedWeights("SeqNet", "serend1p1ty/SeqNet", "MIT", _UNSTATED),
    ReleasedWeights("GLCNet", "ZhengPeng7/GLCNet", "MIT", _UNSTATED + " Files: cuhk_957.pth, prw_469.pth."),
    ReleasedWeights("PCNet", "zhongyingji/PCNetPS", "none is stated", "None were released."),
    ReleasedWeights("IGPN", "", "", "None were released, nor any code."),
)
WEIGHTS = (
    "psbench ships no weights, neither its own nor others'. `psbench import-weights` reads files that you have.",
    "A licence of code does not license weights: these are made from a dataset, too. All of those that are listed "
    "were trained on datasets for research only, and are for research only. Where a repository states no licence, "
    "nothing is granted.",
    "The recipes start from ImageNet weights that timm fetches from the Hugging Face hub; the page of each there has "
    "its terms.",
)
"""What holds for weights, a paragraph each."""


def print_weights() -> str:
    """The terms of released weights as text for a terminal, in lines of at most 100 characters."""
    lines = ["Released weights", ""]
    for released in RELEASED:
        code = f" Code: {released.code}, licence: {released.licence}." if released.code else ""
        text = f"{released.title}: {released.weights}{code}"
        lines += textwrap.wrap(text, 100, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    for paragraph in WEIGHTS:
        lines += ["", *textwrap.wrap(paragraph, 100, break_long_words=False, break_on_hyphens=False)]
    return "\n".join(lines)


def markdown_page() -> str:
    """The whole page, as DATA_LICENSES.md has it."""
    sections = [
        "# Terms of data and weights",
        "**psbench ships no dataset and no weights**, and links no copies. Its own code is under the MIT licence "
        "(`LICENSE`), which covers none of what is listed here. Only what is known is stated: where no licence text is "
        "known, that is said, and nothing is inferred from it.",
        "This page is what `psbench-data terms --markdown` prints; `psbench-data terms NAME` prints those of one "
        "dataset.",
        *(_section(each) for each in all_terms()),
        "## Released weights",
        *WEIGHTS,
        _table(),
        "## People in pictures",
        *ETHICS,
        "## If you are in a dataset, or a dataset is withdrawn",
        *TAKEDOWN,
    ]
    return "\n\n".join(sections) + "\n"


def _section(its: Terms) -> str:
    lines = [f"## {its.title}", ""]
    for label, text in (
        ("Name", f"`{its.name}`"),
        ("Status", its.status),
        ("Terms", its.conditions),
        ("Obtained", its.obtained),
        ("Pictures", its.collection),
        ("Cite", its.paper),
        ("Page", f"<{its.url}>" if its.url else ""),
    ):
        if text:
            lines.append(f"- **{label}:** {text}")
    return "\n".join(lines)


def _table() -> str:
    rows = [f"| {r.title} | {r.code} | {r.licence} | {r.weights} |" for r in RELEASED]
    return "\n".join(["| Weights of | Code | Its licence | What is known |", "| --- | --- | --- | --- |", *rows])
