"""A result as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from psbench.efficiency.result import AtSize, Efficiency, Search, Timing


def to_markdown(result: Efficiency) -> str:
    """What was measured, as tables, with what has to be known to read them."""
    words = "crop" if any(size.score_threshold is None for size in result.sizes) else "image"
    parts = [f"# {result.model}: {result.device}", result.provenance, _costs(result)]
    parts += [_timings(size, words) for size in result.sizes]
    parts += [_search(search) for search in result.searches]
    return "\n\n".join([*parts, *_notes(result)]) + "\n"


def _costs(result: Efficiency) -> str:
    rows = [["parameters", f"{result.parameters:,}"], ["of these trained", f"{result.trained:,}"]]
    rows += [[f"GMAC at {_sides(size)}", f"{size.gmac:.4g}"] for size in result.sizes]
    for search in result.searches:
        parts = ("scene", search.scene_gmac), ("query", search.query_gmac), ("pair", search.pair_gmac)
        rows += [[f"GMAC of a {name}, {_sides(search)}", f"{gmac:.4g}"] for name, gmac in parts]
    measured: list[AtSize | Search] = [*result.sizes, *result.searches]
    rows += [[f"peak memory at {_sides(of_size)}", _bytes(of_size.memory)] for of_size in measured]
    return _table(["", ""], rows)


def _timings(size: AtSize, words: str) -> str:
    heading = [_sides(size), "batch", f"{words}s/s", "median", "p95", "people", "images timed", "memory"]
    if words == "crop":
        heading[5] = "crops an image"
    return _table(heading, [_timing(timing, words) for timing in size.timings])


def _timing(timing: Timing, words: str) -> list[str]:
    speed = timing.people_per_second if words == "crop" else timing.images_per_second
    overlapping = f", {timing.workers} workers" if timing.workers else ""
    return [
        timing.way + overlapping,
        f"{timing.batch}",
        f"{speed:.4g}",
        _ms(timing.median),
        _ms(timing.p95),
        f"{timing.people:.1f}",
        f"{timing.images}",
        _bytes(timing.memory),
    ]


def _search(search: Search) -> str:
    seconds = {
        "decoding the scenes": search.decoding,
        "encoding the scenes": search.encoding,
        "encoding the query": search.query,
        "correlation": search.correlation,
        "head": search.head,
        f"re-ID of {search.crops} crops ({search.reid})": search.ranking,
        "first query (without decoding)": search.first,
        "each further query": search.further,
    }
    rows = [[name, f"{value:.4g} s"] for name, value in seconds.items()]
    rows += [
        [f"{p.queries} {'query' if p.queries == 1 else 'queries'} at once", f"{p.pairs_per_second:.4g} pairs/s"]
        for p in search.pairs
    ]
    return _table([f"{search.scenes} scenes, {_sides(search)}", f"{search.queries} timed"], rows)


def _notes(result: Efficiency) -> list[str]:
    memory = {
        "allocated": "Memory: the most that torch had allocated on the GPU, weights included.",
        "resident growth": "Memory: by how much the process grew while the model ran on the CPU; weights not included.",
    }
    notes = [memory[result.memory_is]]
    if result.sizes:
        notes.append(
            "Network: from images on the device, resized before, to results there. End to end: from JPEG bytes to "
            "results on the host; with workers, decoding overlaps the network, and a call has no time of its own."
        )
    for size in result.sizes:
        if size.score_threshold is not None:
            rois = f", {size.rois:.0f} RoIs an image" if size.rois else ""
            notes.append(f"{_sides(size)}: detections kept above a score of {size.score_threshold:.6g}{rois}.")
        if size.too_large:
            notes.append(f"{_sides(size)}: memory does not suffice for batches of {size.too_large}.")
    counted = f" at {result.rois} RoIs" if result.rois else ""
    people = f" and {round(result.people)} people" if result.people else ""
    return [*notes, f"GMAC: 10^9 multiply-adds{counted}{people}; FLOP counts are twice as large."]


def _sides(of: AtSize | Search) -> str:
    return f"{of.height}x{of.width}"


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else f"{1000 * seconds:.4g} ms"


def _bytes(memory: int) -> str:
    return f"{memory / 2**30:.2f} GiB" if memory >= 2**28 else f"{memory / 2**20:.0f} MiB"


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    alignment = [":--", *["--:"] * (len(heading) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (heading, alignment, *rows))
