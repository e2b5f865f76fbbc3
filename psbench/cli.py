"""The command `psbench`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from psbench.cli_demo import demo
from psbench.cli_doctor import doctor
from psbench.cli_efficiency import cost, efficiency
from psbench.cli_importing import import_detections
from psbench.cli_judging import compare, evaluate
from psbench.cli_leaderboard import card_app, leaderboard_app, submit, validate
from psbench.cli_looking import view_points
from psbench.cli_prediction import predict
from psbench.cli_ranking import rank
from psbench.cli_searching import index, search
from psbench.cli_training import train
from psbench.cli_viewing import view
from psbench.cli_weights import import_weights
from psbench_data.console import version_option

app = typer.Typer(
    no_args_is_help=True,
    help="Person search: train, predict, evaluate, look. Datasets: see `psbench-data`.",
)


@app.callback()
def _main(version: Annotated[bool, version_option("psbench")] = False) -> None: ...


_TASKS: dict[str, dict[Callable[..., None], str]] = {
    "Begin": {
        demo: "The whole path on drawn people, in minutes.",
        doctor: "Whether this installation can work.",
    },
    "Train and predict": {
        train: "Train a model by a recipe.",
        predict: "Detect and embed the people of a dataset.",
        import_weights: "Take over a released checkpoint.",
        import_detections: "Take over what other code detected.",
    },
    "Judge and measure": {
        evaluate: "Score predictions: mAP, top-k, detection.",
        compare: "Say whether one is better than another.",
        validate: "List every fault of a predictions folder.",
        efficiency: "Parameters, multiply-adds, memory, speed.",
        cost: "Parameters and multiply-adds alone.",
    },
    "Look": {
        rank: "Where predictions are right and wrong.",
        view: "Scenes with boxes, queries with their matches.",
        view_points: "What a PCNet looks at.",
        search: "Find a person in your own pictures.",
        index: "Keep who is in your pictures, to search them.",
    },
    "Leaderboards": {
        submit: "Make a leaderboard's entry of predictions.",
    },
}
"""The commands, in one line each, by what they are for; each says more by itself."""

for _task, _commands in _TASKS.items():
    for _command, _words in _commands.items():
        app.command(short_help=_words, rich_help_panel=_task)(_command)
app.add_typer(card_app, name="card", rich_help_panel="Leaderboards")
app.add_typer(leaderboard_app, name="leaderboard", rich_help_panel="Leaderboards")


if __name__ == "__main__":
    app()
