"""The query files of PRW and LSPS: a person, a frame and a box a line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from psbench_data.faults import RowFaults, require_some
from psbench_data.galleries import QueryList
from psbench_data.pixels import have_area
from psbench_data.scenes import Scenes
from psbench_data.sources.text_files import lines

Fields = tuple[str, str, np.ndarray]
"""The person's official id, the frame's file name, and the box: (4,) xyxy, pixels."""


def read_queries(
    path: Path,
    test: Scenes,
    frames_file: str,
    parse: Callable[[list[str]], Fields],
    remark: Callable[[Path, str, str, str], None],
) -> QueryList:
    """The queries of a file, in its order; a line that says what an earlier one said is noted and left out.

    Args:
        path: the file.
        test: the test scenes.
        frames_file: where these are listed, for messages.
        parse: takes a line's fields apart; raises ValueError where they are others.
        remark: notes what is odd.

    Raises:
        InputError: listing every line that cannot be used.
    """
    ids = {label: person_id for person_id, label in enumerate(test.identities)}
    first: dict[tuple[str | float, ...], int] = {}
    scenes, boxes, person_ids = [], [], []
    with RowFaults(path) as faults:
        for number, line in lines(path):
            with faults.row(f"line {number}"):
                label, frame, box = parse(line.split())
                if not have_area(box):
                    raise ValueError(f"expected a box with area, found {box.tolist()} (x1 y1 x2 y2, as it is read)")
                if frame not in test.positions:
                    raise ValueError(f"frame {frame!r} is not in {frames_file}")
                if label not in ids:
                    raise ValueError(f"person {label} is in no test frame")
                if (before := first.setdefault((label, frame, *box.tolist()), number)) != number:
                    what = f"person {label} in {frame} is queried a second time with the same box (line {before})"
                    remark(path, f"line {number}", what, "It is left out.")
                    continue
                scenes.append(test.positions[frame])
                boxes.append(box)
                person_ids.append(ids[label])
    require_some(scenes, path, "query")
    return QueryList(np.array(scenes), np.array(boxes), np.array(person_ids))
