"""The commands that judge: `psbench evaluate` and `psbench compare`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from psbench_data.console import DatasetOptions, complain_on_input_error, complete_dataset, parsed_options, tell

if TYPE_CHECKING:
    from psbench import CBGM, Evaluation

Data = Annotated[str, typer.Option("--data", help="A name from `psbench-data list`.", autocompletion=complete_dataset)]
Root = Annotated[Path, typer.Option("--root", help="The dataset's top folder.", show_default=False)]
Folder = Annotated[Path, typer.Argument(help="A predictions folder.", show_default=False)]
_Protocols = Annotated[list[str], typer.Option("--protocol", help="One protocol, or several; all by default.")]
Threshold = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Leave out detections below this score. 0.5, or the preset's, if not given."),
]
Cbgm = Annotated[str | None, typer.Option(metavar="K1,K2", help="Match the people around, e.g. 10,3.")]
Preset = Annotated[str, typer.Option(help="Whose rules: default, seqnet, glcnet, nae, oim, pcnet, alignps or pstr.")]
Keep = Annotated[
    int | None, typer.Option(min=1, help="Of pairwise predictions: keep so many proposals a query, over its gallery.")
]
Device = Annotated[str | None, typer.Option(help="Compute similarities with torch there, e.g. cuda.")]
_Json = Annotated[Path | None, typer.Option("--json", help="Also write the full numbers to this file.")]


@complain_on_input_error
def evaluate(
    predictions: Folder,
    root: Root,
    data: Data = "cuhk_sysu",
    option: DatasetOptions = None,
    protocols: _Protocols = [],  # noqa: B006
    preset: Preset = "default",
    audit: Annotated[bool, typer.Option("--audit", help="Compare the rules of all published evaluators.")] = False,
    det_threshold: Threshold = None,
    cbgm: Cbgm = None,
    keep: Keep = None,
    device: Device = None,
    by: Annotated[
        list[str], typer.Option("--by", help="Break mAP down by a column: camera_id, box_height, matches, ...")
    ] = [],  # noqa: B006
    errors: Annotated[bool, typer.Option("--errors", help="Say what the lost average precision is lost to.")] = False,
    json_output: _Json = None,
    per_query: Annotated[Path | None, typer.Option(help="Also write a Parquet file with one row a query.")] = None,
) -> None:
    """Score predictions: mAP and top-k under each protocol, with intervals, and detection.

    Example: psbench evaluate predictions/seqnet --data cuhk_sysu --root /data/CUHK-SYSU --protocol gallery-100
    """
    from psbench import InputError, PairwisePredictions, evaluate_all
    from psbench import audit as audit_all
    from psbench.evaluation.borders import resized_note
    from psbench.evaluation.breakdown import column_faults
    from psbench.folders import load_predictions
    from psbench.reporting.text import audit_text, breakdown_text, errors_text, evaluations_text
    from psbench_data import load
    from psbench_data.atomic import place_faults

    dataset = load(data, root=root, **parsed_options(option))
    loaded = load_predictions(predictions)
    # All that can be said before the work is said before it.
    faults = [
        *place_faults(json_output),
        *place_faults(per_query),
        *(f for column in by for f in column_faults(column)),
    ]
    if errors and isinstance(loaded, PairwisePredictions):
        faults.append("--errors: the queries of pairwise predictions share no detections. Leave it out for these.")
    if faults:
        raise InputError(faults)
    chosen = [dataset.protocol(name) for name in protocols or dataset.require_protocols()]
    options: dict[str, Any] = {"det_threshold": det_threshold, "cbgm": cbgm_of(cbgm), "device": device}
    evaluations = evaluate_all(loaded, chosen, preset=preset, keep=keep, progress=True, **options)
    tell(f"{dataset.name}: {dataset.origin}\n")
    tell(evaluations_text(evaluations))
    if note := resized_note(loaded, chosen[0].scenes):
        tell(f"\nnote: {note}")
    for evaluation in evaluations:
        for column in by:
            tell(f"\n{evaluation.protocol}\n{breakdown_text(evaluation.breakdown(column), column)}")
    analyses = []
    if errors:
        from psbench import error_analysis

        analyses = [error_analysis(loaded, p, preset=preset, progress=True, **options) for p in chosen]
        tell(f"\n{errors_text(analyses)}")
    table = None
    if audit:
        table = audit_all(loaded, chosen, keep=keep, progress=True, **options)
        tell(f"\n{audit_text(table)}")
    if json_output:
        written: dict[str, Any] = {"evaluations": [json.loads(e.to_json()) for e in evaluations]}
        if errors:
            written["errors"] = [json.loads(analysis.to_json()) for analysis in analyses]
        if table is not None:
            written["audit"] = json.loads(table.to_json(orient="records", double_precision=15))
        _write_json(json_output, written)
    if per_query:
        _write_queries(per_query, evaluations)


@complain_on_input_error
def compare(
    a: Folder,
    b: Folder,
    root: Root,
    data: Data = "cuhk_sysu",
    option: DatasetOptions = None,
    protocols: _Protocols = [],  # noqa: B006
    metric: Annotated[str, typer.Option(help="map, or top1, top5 ...")] = "map",
    preset: Preset = "default",
    det_threshold: Threshold = None,
    cbgm: Cbgm = None,
    keep: Keep = None,
    device: Device = None,
    queries: Annotated[int, typer.Option(min=0, help="How many of the largest losses and gains to list.")] = 5,
    json_output: _Json = None,
    per_query: Annotated[Path | None, typer.Option(help="Also write a Parquet file with one row a query.")] = None,
) -> None:
    """Say whether predictions B are better than predictions A: difference, interval, p-value, and on which queries.

    Example: psbench compare predictions/oim predictions/seqnet --data prw --root /data/PRW --protocol regular
    """
    import pandas as pd

    from psbench import InputError, evaluate_all
    from psbench import compare as compare_evaluations
    from psbench.evaluation.uncertainty import metric_faults
    from psbench.folders import load_predictions
    from psbench.reporting.text import comparison_text, differences_text
    from psbench_data import load
    from psbench_data.atomic import new_file, place_faults

    dataset = load(data, root=root, **parsed_options(option))
    chosen = [dataset.protocol(name) for name in protocols or dataset.require_protocols()]
    if faults := [*place_faults(json_output), *place_faults(per_query), *metric_faults(metric)]:
        raise InputError(faults)
    both = [load_predictions(folder) for folder in (a, b)]
    options = {"det_threshold": det_threshold, "cbgm": cbgm_of(cbgm), "keep": keep}
    pairs = zip(
        *(
            evaluate_all(loaded, chosen, preset=preset, device=device, progress=True, **_of_kind(options, loaded, both))
            for loaded in both
        ),
        strict=True,
    )
    comparisons = [compare_evaluations(one, other, metric=metric) for one, other in pairs]
    tell(f"{dataset.name}: {dataset.origin}")
    for comparison in comparisons:
        tell(f"\n{comparison_text(comparison, str(a), str(b))}")
        if queries:
            tell(differences_text(comparison, queries))
    if json_output:
        _write_json(json_output, {"comparisons": [json.loads(c.to_json()) for c in comparisons]})
    if per_query:
        with new_file(per_query) as partial:
            frames = [c.per_query.assign(protocol=c.protocol) for c in comparisons]
            pd.concat(frames, ignore_index=True).to_parquet(partial, index=False)


def cbgm_of(text: str | None) -> CBGM | None:
    """What `--cbgm K1,K2` says."""
    from psbench import CBGM, InputError

    if text is None:
        return None
    numbers = text.split(",")
    if len(numbers) != 2 or not all(number.strip().isdecimal() for number in numbers):
        raise InputError(f"--cbgm {text}: expected K1,K2, for example 10,3.")
    return CBGM(*map(int, numbers))


def _of_kind(options: dict[str, Any], loaded: Any, both: Sequence[Any]) -> dict[str, Any]:
    """The options that these predictions can take; where both are of one kind all, to be refused if they do not fit."""
    from psbench import PairwisePredictions

    kinds = [isinstance(one, PairwisePredictions) for one in both]
    if kinds[0] == kinds[1]:
        return options
    names = ["keep"] if isinstance(loaded, PairwisePredictions) else ["det_threshold", "cbgm"]
    return {name: options[name] for name in names}


def _write_json(path: Path, written: dict[str, Any]) -> None:
    from psbench_data.atomic import new_file

    with new_file(path) as partial:
        partial.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


def _write_queries(path: Path, evaluations: Sequence[Evaluation]) -> None:
    import pandas as pd

    from psbench_data.atomic import new_file

    with new_file(path) as partial:
        frames = [e.per_query.assign(protocol=e.protocol, query=range(len(e.per_query))) for e in evaluations]
        pd.concat(frames, ignore_index=True).to_parquet(partial, index=False)
