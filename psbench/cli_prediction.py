"""The command `psbench predict`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from psbench.cli_judging import Data, Root
from psbench.doctor import require_zoo
from psbench_data.console import DatasetOptions, complain_on_input_error, parsed_options, tell, telling_when_stopped

if TYPE_CHECKING:
    from psbench.zoo.weights import WeightsInfo

Task = Literal["predict", "search", "rank"]
"""What is done: scenes are predicted, protocols are searched query by query, or such a search is ranked."""
_DOES = {
    "scenes": "detects and embeds everybody at once",
    "pairs": "searches for one query at a time",
    "crops": "embeds boxes that others find",
}
"""What a model does that trains on scenes, pairs or crops."""
_WHERE: dict[Task, str] = {"predict": "", "search": "", "rank": ", here those of --proposals"}
_TAKES: dict[Task, set[str]] = {
    "predict": {"--protocol", "--split", "--ground-truth-boxes", "--detections", "--context", "--reid"},
    "search": {"--protocol", "--reid", "--keep", "--queries-at-once"},
    "rank": {"--protocol", "--proposals", "--keep"},
}
"""The options that count."""


@complain_on_input_error
@telling_when_stopped(lambda: "the same command goes on")
def predict(
    weights: Annotated[
        Path,
        typer.Argument(
            help="A folder that `train` or `import-weights` made, or its model.safetensors.", show_default=False
        ),
    ],
    root: Root,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The predictions folder to make or continue.", show_default=False)
    ],
    data: Data = "cuhk_sysu",
    option: DatasetOptions = None,
    protocols: Annotated[
        list[str],
        typer.Option("--protocol", help="Whose queries: all by default. A query-guided model needs one or several."),
    ] = [],  # noqa: B006
    split: Annotated[
        str, typer.Option(help="test, or train: its people alone, for a re-ID network to learn.")
    ] = "test",
    ground_truth_boxes: Annotated[
        bool, typer.Option("--ground-truth-boxes", help="Embed the annotated boxes instead of detecting.")
    ] = False,
    detections: Annotated[
        Path | None,
        typer.Option(help="Embed the boxes of these predictions instead of detecting.", show_default=False),
    ] = None,
    context: Annotated[
        bool, typer.Option("--context", help="Detect around each query, too, as CBGM needs it.")
    ] = False,
    reid: Annotated[
        Path | None, typer.Option(help="A re-ID run that embeds what the model finds.", show_default=False)
    ] = None,
    proposals: Annotated[
        Path | None,
        typer.Option(help="For a re-ID run: a search by a query-guided model, to be ranked.", show_default=False),
    ] = None,
    keep: Annotated[
        int | None,
        typer.Option(
            min=1, help="Of a search: so many proposals of a query, over each gallery; else all.", show_default=False
        ),
    ] = None,
    queries_at_once: Annotated[
        int | None, typer.Option(min=1, help="Queries that are searched in a scene at once.", show_default="8")
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1, help="Images at once, of those that are of one size: 8 on a GPU, else 1.", show_default=False
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Threads that decode images: 4 beside a GPU, else none.", show_default=False),
    ] = None,
    other_data: Annotated[
        bool, typer.Option("--other-data", help="Allow data that the model was not trained on.")
    ] = False,
) -> None:
    """Detect and embed the people of the test scenes, and embed the queries; continues where it was interrupted.

    A query-guided model (igpn) searches the galleries of some protocols instead, query by query and each pair once.

    Example: psbench predict runs/seqnet --data cuhk_sysu --root /data/CUHK-SYSU --output predictions/seqnet

    Example: psbench predict runs/igpn --protocol gallery-100 --keep 100 --root /data/CUHK-SYSU -o predictions/igpn
    """
    require_zoo()
    from psbench.inference import predict_into, rescore_into, search_into
    from psbench.processes import main_process_first, this_process
    from psbench.zoo.two_step import two_step
    from psbench.zoo.weights import load_weights
    from psbench_data import InputError, load

    given = {
        "--protocol": protocols,
        "--split": split != "test",
        "--ground-truth-boxes": ground_truth_boxes,
        "--detections": detections,
        "--context": context,
        "--reid": reid,
        "--proposals": proposals,
        "--keep": keep,
        "--queries-at-once": queries_at_once,
    }
    with main_process_first():
        chosen = [_weights_for(path, data, other_data) for path in (weights, reid) if path is not None]
        dataset = load(data, root=root, **parsed_options(option))
        task, faults = _task([info for _, info in chosen], given, dataset.protocols)
        if faults:
            raise InputError(faults)
        model, *embedder = [load_weights(path) for path, _ in chosen]
    process = this_process()
    common: dict[str, Any] = {"workers": workers, "method": " + ".join(info.method for _, info in chosen)}
    if task == "search":
        common |= {"reid": embedder[0] if embedder else None, "queries_at_once": queries_at_once or 8}
        search_into(model, dataset, output, protocol=protocols, keep=keep, batch_size=batch_size, **common)
    elif task == "rank":
        assert proposals is not None
        protocol = protocols[0] if protocols else None
        rescore_into(model, dataset, output, proposals=proposals, protocol=protocol, keep=keep, **common)
    else:
        predict_into(
            two_step(model, *embedder) if embedder else model,
            dataset,
            output,
            protocols=protocols or None,
            split=split,
            ground_truth_boxes=ground_truth_boxes,
            detections=detections,
            context=context,
            batch_size=batch_size,
            **common,
        )
    if process.is_main_process:
        tell(f"{output}: {_summary(output, task)}")
    # GPUs' connections that are left to the interpreter's end are warned of.
    process.destroy_process_group()


def _task(models: Sequence[WeightsInfo], given: Mapping[str, Any], protocols: Sequence[str]) -> tuple[Task, list[str]]:
    """What is to be done, and everything that does not go together.

    Args:
        models: the model, and the one that embeds what it finds, if any.
        given: the options, falsy where they are not given.
        protocols: those that there are.
    """
    from psbench.zoo import model_class

    name, kinds = models[0].model, [model_class(info.model).trains_on for info in models]
    task: Task = (
        "search" if kinds[0] == "pairs" else "rank" if kinds[0] == "crops" and given["--proposals"] else "predict"
    )
    faults = [
        f"{option}: not for {name}, which {_DOES[kinds[0]]}{_WHERE[task]}. Leave it out."
        for option, value in given.items()
        if value and option not in _TAKES[task]
    ]
    if task == "search" and not given["--protocol"]:
        faults.append(
            f"--protocol: {name} searches for one query at a time, in the galleries that are named. Name at least one "
            f"of {', '.join(protocols)}."
        )
    if task == "rank" and len(given["--protocol"]) > 1:
        faults.append("--protocol: of a search of several protocols, one is ranked, or without the option all.")
    if task == "predict" and kinds[0] == "crops" and not (given["--ground-truth-boxes"] or given["--detections"]):
        faults.append(
            f"{name} embeds boxes that others find. Predict with a model that detects or searches, and this one as its "
            "--reid; or give somebody's --detections, the --proposals of a search, or --ground-truth-boxes."
        )
    if task == "predict" and given["--detections"] and (given["--reid"] or given["--context"]):
        faults.append("--detections: these are embedded as they are. Leave --reid and --context out.")
    if task == "predict" and kinds[0] == "crops" and given["--reid"]:
        faults.append(f"--reid: {name} is a re-ID network itself. Leave it out.")
    if kinds[1:] == ["pairs"]:
        faults.append(f"--reid: {models[1].model} searches for one query at a time. Give a re-ID network.")
    return task, faults


def _summary(folder: Path, task: Task) -> str:
    """What a finished folder holds, and what a search took."""
    from psbench.inference.search_cost import COST, read_cost
    from psbench.pairwise_folder import count_proposals
    from psbench.predictions_folder import count_people

    if task == "predict":
        people, scenes = count_people(folder)
        return f"{people} people in {scenes} scenes"
    proposals, pairs = count_proposals(folder)
    cost = f"\n{read_cost(folder)}" if (folder / COST).is_file() else ""
    return f"{proposals} proposals in {pairs} pairs of a query and a scene{cost}"


def _weights_for(weights: Path, data: str, other_data: bool) -> tuple[Path, WeightsInfo]:
    """The file of the weights, and what it says of itself, if these are weights for this data."""
    from psbench.zoo.weights import read_info, weights_path
    from psbench_data import InputError

    path = weights_path(weights)
    info = read_info(path)
    if info.dataset != data and not other_data:
        raise InputError(f"{path}: trained on {info.dataset}, not on {data}. Add --other-data where that is intended.")
    return path, info
