"""The commands `psbench search` and `psbench index`: person search in one's own pictures."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from psbench.doctor import require_zoo
from psbench_data import InputError
from psbench_data.console import list_input_errors, tell
from psbench_data.faults import Collected
from psbench_data.names import given_path

if TYPE_CHECKING:
    from psbench.inference.gallery_search import People

_Weights = Annotated[
    Path,
    typer.Option(help="A folder that `train` or `import-weights` made, or its model.safetensors.", show_default=False),
]
_Reid = Annotated[
    Path | None, typer.Option(help="A re-ID run that embeds whom the weights detect.", show_default=False)
]
_BatchSize = Annotated[
    int | None,
    typer.Option(
        min=1, help="Pictures at once, of those that are of one size: 8 on a GPU, else 1.", show_default=False
    ),
]
_Workers = Annotated[
    int | None,
    typer.Option(min=0, help="Threads that decode pictures: 4 beside a GPU, else none.", show_default=False),
]
_Skip = Annotated[
    bool, typer.Option("--skip-unreadable", help="Leave out pictures that cannot be read, instead of stopping.")
]


@list_input_errors
def search(
    weights: _Weights,
    query: Annotated[Path, typer.Option(help="A picture with the person.", show_default=False)],
    gallery: Annotated[
        Path, typer.Option(help="A folder of pictures, or what `psbench index` made of one.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML page to write.")] = Path("found.html"),
    box: Annotated[
        str | None,
        typer.Option(
            metavar="X1,Y1,X2,Y2", help="Around the person, pixels. Asked for if not given.", show_default=False
        ),
    ] = None,
    largest: Annotated[bool, typer.Option("--largest", help="Take the largest person and do not ask.")] = False,
    top: Annotated[int, typer.Option(min=1, help="Matches to show.")] = 20,
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Leave out detections below this score.", show_default="0.5"),
    ] = None,
    reid: _Reid = None,
    batch_size: _BatchSize = None,
    workers: _Workers = None,
    skip_unreadable: _Skip = False,
    json_output: Annotated[
        Path | None, typer.Option("--json", help="Also write the matches to this file.", show_default=False)
    ] = None,
) -> None:
    """Search your own pictures for a person: whoever is in them, ranked by the similarity to the one in a picture.

    Without --box you are asked whom of the query picture you mean; where there is no terminal, it is the largest.

    Example: psbench search --weights runs/seqnet --query photo.jpg --gallery holiday/ -o found.html
    """
    require_zoo()
    from psbench.inference.gallery_search import search_pictures
    from psbench.matches import CAUTION, shown_box
    from psbench.processes import from_main, this_process
    from psbench.reporting.found import write_found
    from psbench_data.atomic import new_file, place_faults

    with Collected() as faults:
        _require_paths(faults, weights, reid, gallery)
        given = _parsed_box(faults, box, query)
        wrong = [*place_faults(output), *place_faults(json_output)]
        if box is not None and largest:
            wrong.append("--largest: the person is given by --box. Give one or the other.")
        if wrong:
            raise InputError(wrong)
    process = this_process()
    model, method = _searcher(weights, reid)
    if given is None and hasattr(model, "search_encoded"):
        raise InputError(f"--box: {method} cannot detect people by itself. Say where the person is: --box x1,y1,x2,y2.")
    if given is None:
        given = from_main(_chosen_box(model, query, output, threshold, largest) if process.is_main_process else None)
    found = search_pictures(
        model,
        query,
        given,
        gallery,
        top=top,
        threshold=threshold,
        batch_size=batch_size,
        workers=workers,
        skip_unreadable=skip_unreadable,
        method=method,
    )
    if process.is_main_process:
        if box is not None:
            tell(f"query: --box {shown_box(found.box)}")
        write_found(found, output)
        if json_output is not None:
            with new_file(json_output) as partial:
                partial.write_text(found.to_json(), encoding="utf-8")
        tell(found.table())
        tell(f"\n{found.summary()}\n{CAUTION}")
        _tell_unreadable(found.unreadable)
        tell(f"{output}")
    process.destroy_process_group()


@list_input_errors
def index(
    weights: _Weights,
    gallery: Annotated[Path, typer.Option(help="A folder of pictures; links are not followed.", show_default=False)],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The folder to make, or to bring up to date.", show_default=False)
    ],
    reid: _Reid = None,
    batch_size: _BatchSize = None,
    workers: _Workers = None,
    skip_unreadable: _Skip = False,
) -> None:
    """Detect and embed everybody in your own pictures once, so that every `psbench search` in them takes a moment.

    Run it again after pictures were added, changed or removed, or when it was interrupted: it does what is left to do.

    Example: psbench index --weights runs/seqnet --gallery holiday/ -o holiday-index
    """
    require_zoo()
    from psbench.inference.gallery import index_pictures
    from psbench.processes import this_process

    with Collected() as faults:
        _require_paths(faults, weights, reid, gallery)
    process = this_process()
    model, method = _searcher(weights, reid)
    done = index_pictures(
        model,
        gallery,
        output,
        batch_size=batch_size,
        workers=workers,
        skip_unreadable=skip_unreadable,
        method=method,
    )
    if process.is_main_process:
        tell(f"{output}: {done.summary()}")
        _tell_unreadable(done.unreadable)
    process.destroy_process_group()


def _searcher(weights: Path, reid: Path | None) -> tuple[Any, str]:
    """The model that searches, and what it is called.

    Raises:
        InputError: these weights, or both together, cannot.
    """
    from psbench.zoo import model_class
    from psbench.zoo.two_step import two_step
    from psbench.zoo.weights import load_weights, read_info, weights_path

    paths = [weights_path(path) for path in (weights, reid) if path is not None]
    infos = [read_info(path) for path in paths]
    kinds = [model_class(info.model).trains_on for info in infos]
    faults = []
    if kinds[0] == "crops":
        faults.append(
            f"--weights {weights}: {infos[0].model} embeds boxes that others find. Give a model that detects, such as "
            "seqnet, and this one as --reid."
        )
    if kinds[0] == "pairs" and reid is not None:
        faults.append(f"--reid: {infos[0].model} searches for one query at a time and ranks by itself. Leave it out.")
    if kinds[1:] == ["pairs"]:
        faults.append(f"--reid {reid}: {infos[1].model} searches for one query at a time. Give a re-ID network.")
    if faults:
        raise InputError(faults)
    models = [load_weights(path) for path in paths]
    return two_step(*models) if reid is not None else models[0], " + ".join(info.method for info in infos)


def _require_paths(faults: Collected, weights: Path, reid: Path | None, gallery: Path) -> None:
    """Note what is not where it is said to be, before anything is loaded."""
    from psbench.own_gallery import is_gallery
    from psbench.own_pictures import find_pictures
    from psbench.zoo.weights import weights_path

    for path in filter(None, (weights, reid)):
        with faults.step():
            weights_path(path)
    with faults.step():
        if not is_gallery(gallery := given_path(gallery)):
            find_pictures(gallery)


def _parsed_box(faults: Collected, given: str | None, query: Path) -> list[float] | None:
    """The sides of a box, if one is given; notes why it is none in this picture, or why that cannot be read."""
    from psbench.own_pictures import box_faults, decoded

    size = None
    with faults.step():
        size = decoded(given_path(query)).size
    if given is None:
        return None
    with faults.step():
        try:
            box = [float(side) for side in given.split(",")]
        except ValueError:
            box = []
        if len(box) != 4 or not all(map(math.isfinite, box)):
            raise InputError(
                f"--box {given}: expected x1,y1,x2,y2 in pixels: left, top, right, bottom, as in 104,20,180,260."
            )
        if wrong := box_faults(box, size):
            raise InputError(f"--{fault}" for fault in wrong)
        return box
    return None


def _chosen_box(model: Any, query: Path, output: Path, threshold: float | None, largest: bool) -> list[float]:
    """Of the people in a picture the one that is to be searched for; it is said who."""
    from psbench.inference.gallery_search import people_in
    from psbench.matches import shown_box

    people = people_in(model, query, threshold=threshold)
    count, ask = len(people.boxes), not largest and _somebody_can_be_asked()
    chosen = people.largest
    if count > 1 and ask:
        chosen = _asked(query, people, output)
    box = people.boxes[chosen]
    why = "the only person" if count == 1 else "chosen" if ask else f"the largest of {count} people"
    tell(f"query: {why}, --box {shown_box(box)}, score {people.scores[chosen]:.2f}")
    return box.tolist()


def _somebody_can_be_asked() -> bool:
    return sys.stdin.isatty()


def _asked(query: Path, people: People, output: Path) -> int:
    from psbench.matches import shown_box
    from psbench.reporting.found import write_choice

    def number_of(answer: str) -> int:
        if answer.strip() not in map(str, range(1, len(people.boxes) + 1)):
            raise typer.BadParameter(f"expected a number from 1 to {len(people.boxes)}.")
        return int(answer)

    picture = write_choice(query, people.boxes, output.with_name(f"{output.stem}-people.jpg"))
    try:
        for number, (box, score) in enumerate(zip(people.boxes, people.scores, strict=True), start=1):
            tell(f"{number:>4}  box {shown_box(box):<22}score {score:.2f}")
        tell(f"These people are numbered in {picture}")
        return typer.prompt("Which one", value_proc=number_of) - 1
    finally:
        # In a folder of pictures it would be taken for one of them.
        picture.unlink(missing_ok=True)


def _tell_unreadable(faults: Any) -> None:
    if faults:
        from psbench.matches import left_out

        tell("\n  - ".join([f"warning: {left_out(faults)}:", *faults]), err=True)
