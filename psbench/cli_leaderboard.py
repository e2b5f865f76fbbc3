"""The commands of the leaderboards: `psbench validate`, `submit`, `card new`, `leaderboard verify | check | render`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Annotated

import typer

from psbench.cli_judging import Device, Folder, Root
from psbench.leaderboard import BOARD
from psbench_data.console import DatasetOptions, complain_on_input_error, list_input_errors, parsed_options, tell

if TYPE_CHECKING:
    from psbench.leaderboard import Entry

card_app = typer.Typer(no_args_is_help=True, help="Cards of methods, for `psbench submit`.")
leaderboard_app = typer.Typer(no_args_is_help=True, help="Verify entries, check changes, render pages.")

_Board = Annotated[Path, typer.Option("--board", help="The folder of the leaderboards.")]
_Entries = Annotated[
    list[Path] | None, typer.Argument(help="Files of entries; all of the board by default.", show_default=False)
]


@list_input_errors
def validate(
    predictions: Folder,
    data: Annotated[
        str | None,
        typer.Option("--data", help="What was predicted on, a name from `psbench-data list`; with --root cuhk_sysu."),
    ] = None,
    root: Annotated[Path | None, typer.Option("--root", help="The dataset's top folder.", show_default=False)] = None,
    option: DatasetOptions = None,
    protocols: Annotated[list[str], typer.Option("--protocol", help="Those that it must serve; all by default.")] = [],  # noqa: B006
) -> None:
    """List every fault of a predictions folder at once, and with --root all that does not fit the dataset.

    Example: psbench validate predictions/mine --data prw --root /data/PRW
    """
    from psbench.leaderboard.validating import validate as find_faults
    from psbench_data import InputError, load

    if root is None and (data or option or protocols):
        raise InputError("--data, --option and --protocol are of a dataset: give --root, the folder where it is, too.")
    dataset = None if root is None else load(data or "cuhk_sysu", root=root, **parsed_options(option))
    for remark in find_faults(predictions, dataset, protocols=protocols or None, progress=True):
        tell(f"note: {remark}")
    beside = f", and fits {dataset.name} ({dataset.origin})" if dataset else ""
    tell(f"{predictions}: no fault is found{beside}.")


@list_input_errors
def submit(
    predictions: Annotated[
        list[Path], typer.Argument(help="Predictions folders, one for each seed of the card.", show_default=False)
    ],
    root: Root,
    card: Annotated[Path, typer.Option(help="The method's card; `psbench card new` writes one.", show_default=False)],
    data: Annotated[str, typer.Option("--data", help="A name from `psbench-data list`.")] = "cuhk_sysu",
    option: DatasetOptions = None,
    board: _Board = BOARD,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite the method's earlier entry.")] = False,
    device: Device = None,
) -> None:
    """Validate and evaluate predictions, write the leaderboard's entry, and show where it stands.

    Example: psbench submit predictions/mine --data prw --root /data/PRW --card card.toml
    """
    from psbench.leaderboard import Entry
    from psbench.leaderboard import submit as submit_predictions
    from psbench.leaderboard.boards import standing
    from psbench.leaderboard.folder import entry_files
    from psbench_data import load
    from psbench_data.names import given_path

    before = entry_files(given_path(board))
    dataset = load(data, root=root, **parsed_options(option))
    path = submit_predictions(
        predictions, dataset=dataset, card=card, board=board, replace=replace, device=device, progress=True
    )
    entry = Entry.load(path)
    tell(f"{dataset.name}: {dataset.origin}\n\n{_entry_text(entry, dataset.protocols)}")
    tell(f"\n{standing(board, entry)}")
    for number, run in enumerate(entry.runs):
        for sign in run.review:
            tell(f"\nto be reviewed, run {number}: {sign}")
    if replace and path not in before and (others := _others_of(entry, before)):
        tell(f"\nnothing was replaced. If one of these is the same method, remove its file: {', '.join(others)}")
    tell(f"\n{path}")


@card_app.command("new")
@complain_on_input_error
def new_card(
    output: Annotated[Path, typer.Argument(help="The file to write.")] = Path("card.toml"),
) -> None:
    """Write a card in which each line is explained, to be filled in.

    Example: psbench card new card.toml
    """
    from psbench.leaderboard.card import TEMPLATE
    from psbench_data import InputError
    from psbench_data.atomic import new_file, place_faults

    if faults := place_faults(output):
        raise InputError(faults)
    if output.exists():
        raise InputError(f"{output}: is there already. Give another name, or remove it first.")
    with new_file(output) as partial:
        partial.write_text(TEMPLATE, encoding="utf-8")
    tell(str(output))


@card_app.callback()
def _cards() -> None:
    """Cards of methods, for `psbench submit`."""


@leaderboard_app.command()
@complain_on_input_error
def verify(
    entries: _Entries = None,
    predictions: Annotated[Path, typer.Option(help="Predictions folders are looked for everywhere below it.")] = Path(
        "predictions"
    ),
    roots: Annotated[
        list[str],
        typer.Option("--root", metavar="NAME=PATH", help="A dataset's or a board's name, and where it is. Repeatable."),
    ] = [],  # noqa: B006
    board: _Board = BOARD,
    device: Device = None,
) -> None:
    """Compute entries again from their predictions, and compare every number to 1e-6.

    Fails where an entry is wrong, or none is verified, or one that was named is not.

    Example: psbench leaderboard verify leaderboards/entries/prw/my-method.json --root prw=/data/PRW
    """
    from psbench.leaderboard.folder import ENTRIES, entry_files
    from psbench.leaderboard.verifying import Verifier
    from psbench_data import InputError

    paths = entries or entry_files(board)
    if not paths:
        raise InputError(f"{board / ENTRIES}: there is no entry. Give the folder of the leaderboards as --board.")
    verifier = Verifier(predictions, _named_roots(roots), device=device, progress=True)
    outcomes = []
    for path in paths:
        verification = verifier.verify(path)
        outcomes.append(verification.outcome)
        tell("\n  - ".join([f"{path}: {verification.outcome}", *verification.reasons]))
    tell(", ".join(f"{outcomes.count(o)} {o}" for o in dict.fromkeys(outcomes)))
    if "wrong" in outcomes or "verified" not in outcomes or (entries and "not verified" in outcomes):
        raise typer.Exit(1)


@leaderboard_app.command()
@list_input_errors
def check(entries: _Entries = None, board: _Board = BOARD) -> None:
    """Check entries, their places and the rendered pages, without predictions and images, as is done with each change.

    Example: psbench leaderboard check leaderboards/entries/prw/my-method.json
    """
    from psbench.leaderboard.checking import check as find_faults
    from psbench.leaderboard.checking import reviews
    from psbench_data import InputError

    if faults := find_faults(entries or (), board):
        raise InputError(faults)
    for review in reviews(board):
        tell(review)
    tell(f"{board}: no fault is found.")


@leaderboard_app.command()
@complain_on_input_error
def render(board: _Board = BOARD) -> None:
    """Write README.md and index.html of the leaderboards from its entries and published numbers.

    Example: psbench leaderboard render --board leaderboards
    """
    from psbench.leaderboard.rendering import render as render_pages

    for page in render_pages(board, progress=True):
        tell(str(page))


def _others_of(entry: Entry, paths: Iterable[Path]) -> list[str]:
    """Which of some entries' files are of the same submitter and board."""
    from psbench.leaderboard import Entry

    others = [(path, Entry.load(path)) for path in paths if path.parent.name == entry.board]
    return [str(path) for path, other in others if other.card.submitter.name == entry.card.submitter.name]


def _named_roots(roots: Iterable[str]) -> list[tuple[str, Path]]:
    from psbench_data import InputError
    from psbench_data.names import given_path

    pairs = [root.partition("=") for root in roots]
    if wrong := ["".join(pair) for pair in pairs if not all(pair)]:
        raise InputError(f"--root {root}: expected NAME=PATH, for example prw=/data/PRW." for root in wrong)
    return [(name, given_path(path)) for name, _, path in pairs]


def _entry_text(entry: Entry, protocols: Sequence[str]) -> str:
    """One line a protocol, in percent: the mean over the runs and, of several, the standard deviation."""
    lines = [f"{'protocol':<16}{'queries':>8}{'mAP':>16}{'top-1':>16}{'top-5':>16}{'top-10':>16}"]
    first = entry.runs[0].results
    for protocol in [name for name in protocols if name in first]:
        cells = []
        for metric in ("map", "top1", "top5", "top10"):
            values = [getattr(run.results[protocol], metric) for run in entry.runs]
            cells.append("-" if None in values else _mean_text([100 * value for value in values]))
        lines.append(f"{protocol:<16}{first[protocol].queries:>8,}" + "".join(f"{cell:>16}" for cell in cells))
    found = [run.detection for run in entry.runs if run.detection]
    if found:
        recall, ap = (_mean_text([100 * getattr(one, name) for one in found]) for name in ("recall", "ap"))
        lines.append(f"detection: recall {recall}, AP {ap}")
    lines.append("one seed" if len(entry.runs) == 1 else f"mean ± standard deviation of {len(entry.runs)} seeds")
    return "\n".join(lines)


def _mean_text(values: list[float]) -> str:
    return f"{fmean(values):.2f}" + (f" ± {stdev(values):.2f}" if len(values) > 1 else "")
