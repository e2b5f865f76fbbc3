"""The command `psbench rank`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from psbench.cli_judging import Cbgm, Data, Folder, Keep, Preset, Root, Threshold, cbgm_of
from psbench_data import InputError
from psbench_data.console import DatasetOptions, complain_on_input_error, parsed_options, tell


@complain_on_input_error
def rank(
    predictions: Folder,
    root: Root,
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML page to write.")] = Path("ranking.html"),
    data: Data = "cuhk_sysu",
    option: DatasetOptions = None,
    protocol: Annotated[
        str | None, typer.Option(help="The protocol to search under: gallery-100 if not given, else the first.")
    ] = None,
    preset: Preset = "default",
    det_threshold: Threshold = None,
    cbgm: Cbgm = None,
    keep: Keep = None,
    queries: Annotated[
        int, typer.Option(min=3, help="How many queries to show: random, best, median and worst ones.")
    ] = 12,
    top: Annotated[int, typer.Option(min=1, help="How many detections of each to show.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Of the random queries.")] = 0,
    whole: Annotated[bool, typer.Option("--whole", help="Draw whole scenes, not the part around each box.")] = False,
    figures: Annotated[
        Path | None, typer.Option(help="Also write the rankings and curves there, as PNG and SVG, for papers.")
    ] = None,
) -> None:
    """Show where predictions are right and wrong: numbers, errors, curves, and queries with their top matches.

    Example: psbench rank predictions/seqnet --root /data/CUHK-SYSU -o ranking.html
    """
    from psbench import evaluate as score
    from psbench.folders import load_predictions
    from psbench.reporting.ranking import write_ranking
    from psbench_data import load
    from psbench_data.atomic import place_faults

    faults = [*_run_faults(predictions), *place_faults(output)]
    if figures is not None:
        faults += place_faults(figures / "rankings.png")
    if faults:
        raise InputError(faults)
    dataset = load(data, root=root, **parsed_options(option))
    loaded = load_predictions(predictions)
    first = "gallery-100" if "gallery-100" in dataset.protocols else dataset.require_protocols()[0]
    task = dataset.protocol(protocol or first)
    evaluation = score(
        loaded,
        task,
        preset=preset,
        det_threshold=det_threshold,
        cbgm=cbgm_of(cbgm),
        keep=keep,
        progress=True,
    )
    write_ranking(
        loaded,
        task,
        evaluation,
        output,
        method=loaded.method or predictions.name,
        data=f"{dataset.title}: {dataset.origin}",
        top=top,
        queries=queries,
        seed=seed,
        whole=whole,
        figures=figures,
        progress=True,
    )
    tell(str(output))
    if figures is not None:
        tell(f"{figures}: the figures, as PNG and SVG")


def _run_faults(folder: Path) -> list[str]:
    """That a folder is what was trained, not what that found."""
    made = any((folder / name).is_file() for name in ("run.json", "model.safetensors"))
    if not made or (folder / "manifest.json").is_file():
        return []
    return [
        f"{folder}: is a trained model, expected a predictions folder. Make one and give that: "
        f"psbench predict {folder} --root ROOT --data NAME --output predictions/{folder.name}"
    ]
