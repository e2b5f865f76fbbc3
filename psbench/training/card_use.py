"""Of a run card: what the weights are for and what not, whose pictures they learnt from, and their limits."""

from __future__ import annotations

from psbench.training.run import Run
from psbench_data.errors import InputError
from psbench_data.terms import Terms, terms

_NOT_FOR = (
    "Not for surveillance, for searching faces, for finding or following people who were not "
    "asked, or on live cameras.",
    "Not for deciding anything about a person: a similarity is no evidence of who somebody is.",
)
_LIMITS = (
    "It knows people by how they looked on few days, above all by their clothes; after a change it often fails.",
    "It learnt the cameras, light and picture sizes of one dataset. On others it finds fewer people and confuses more.",
    "Scores and similarities are not calibrated: no threshold on them has the same meaning on other data.",
    "A larger gallery is harder: numbers hold for the gallery size of their protocol alone.",
    "The dataset does not say how old people are, of which sex, or of which skin colour, so nobody has measured "
    "whether errors fall on some more than on others. Expect that they do.",
)
_MEASURED = (
    "mAP and top-k are of the protocol that is named with them, by the rules of SeqNet's evaluator "
    "(docs/evaluation.md): detections with a score of 0.5 or more, ranked by similarity. Detection recall and AP "
    "count all annotated people."
)


def use_sections(run: Run) -> list[list[str]]:
    """Lines of the sections *Intended use*, *Data*, *Limits* and *Ethics*."""
    its = _terms(run)
    return [_intended_use(run, its), _data(run, its), _limits(run), _ethics(run)]


def _terms(run: Run) -> Terms:
    """Of the data; of data that this version does not know, those of one's own."""
    try:
        return terms("synthetic" if run.record.synthetic else run.record.dataset)
    except InputError:
        return terms("coco")


def _intended_use(run: Run, its: Terms) -> list[str]:
    if run.record.synthetic:
        purpose = "To see that the path works, and to try changes on. It finds drawn people, and nobody in photographs."
    else:
        purpose = f"Research: to study and compare methods of person search on the test split of {its.title}."
    return ["## Intended use", "", *(f"- {words}" for words in (purpose, *_NOT_FOR))]


def _data(run: Run, its: Terms) -> list[str]:
    told = {
        "Pictures": its.collection,
        "Terms": its.conditions,
        "Status": its.status,
        "Cite": its.paper,
        "Page": its.url and f"<{its.url}>",
    }
    learnt = f"- **Learnt from:** the training split, {run.record.num_identities:,} people with an identity"
    lines = ["## Data", "", f"{its.title}, as `psbench-data terms {its.name}` tells it.", "", learnt]
    lines += [f"- **{about}:** {words}" for about, words in told.items() if words]
    if not run.record.synthetic:
        lines += [
            "",
            "Weights trained on data for research only are for research only: pass that on with them.",
        ]
    return lines


def _limits(run: Run) -> list[str]:
    known = () if run.record.synthetic else _LIMITS
    return ["## Metrics and limits", "", _MEASURED, *([""] if known else []), *(f"- {words}" for words in known)]


def _ethics(run: Run) -> list[str]:
    if run.record.synthetic:
        words = "No person was filmed for this."
    else:
        words = (
            "Treat the people in these pictures as not having agreed to it, unless you hold proof that they have. If "
            "one of them asks to be left out, or the dataset is withdrawn, delete the weights, too; `psbench-data "
            "terms` says what else there is to do."
        )
    return ["## Ethics", "", f"{words} docs/ethics.md of psbench has more."]
