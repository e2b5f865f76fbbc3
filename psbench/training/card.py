"""The run card: what a run is, whether it can be trusted and how to get its numbers again, for somebody years later."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from psbench.reporting.markdown import markdown_row, plain_words
from psbench.reporting.run_curves import write_run_curves
from psbench.training.again import changes, old_value, origin, train_command
from psbench.training.card_use import use_sections
from psbench.training.deviations import actual_batch_norm, count, deviations, planned_batch_norm, published_result
from psbench.training.history import read_steps, read_validations
from psbench.training.run import BEST_FILE, METRICS_FILE, VALIDATION_FILE, Run, Validation, clear
from psbench.zoo import model_class
from psbench.zoo.weights import WEIGHTS_FILE, file_digest
from psbench_data import InputError
from psbench_data.atomic import new_file

_log = logging.getLogger("psbench")
CARD_FILE = "card.md"
CURVES_FILE = "curves.png"


def write_card(run: Run) -> Path:
    """Write card.md and curves.png into a run's folder, from what is there; those of before are replaced.

    Returns:
        The card.

    Raises:
        InputError: metrics.jsonl or validation.jsonl is damaged; then nothing is written.
    """
    steps, record = read_steps(run.folder), run.record
    validations = read_validations(run.folder) or [v for v in (record.validation,) if v]
    card = run.folder / CARD_FILE
    if len(steps):
        table = pd.DataFrame([v.model_dump() for v in validations], columns=list(Validation.model_fields))
        title = f"{run.recipe.name}, {record.dataset}"
        write_run_curves(steps, table, run.folder / CURVES_FILE, title=title, synthetic=record.synthetic)
    sections = [
        _head(run),
        _results(run, validations),
        *use_sections(run),
        _curves(steps, bool(validations)),
        _carried_out(run),
        _again(run, validations),
        _facts(run, steps),
        _recipe(run),
    ]
    with new_file(card) as partial:
        partial.write_text("\n\n".join("\n".join(lines) for lines in sections) + "\n", encoding="utf-8")
    return card


def complete(run: Run) -> None:
    """Make a finished run's folder what it is to be: with a card, and without what only its training needed."""
    if not (run.folder / CARD_FILE).is_file():
        try:
            write_card(run)
        except InputError as error:
            # A damaged log must not decide whether a training has been finished.
            _log.warning("no run card: %s", error)
    clear(run.folder)


def _head(run: Run) -> list[str]:
    record, recipe = run.record, run.recipe
    version = record.versions.get("psbench", "")
    lines = [f"# {plain_words(recipe.name)}", ""]
    if record.synthetic:
        lines += [
            f"> **Synthetic data.** Trained on drawn people in the format of `{record.dataset}`. The numbers say that "
            "the path works. They say nothing about the real dataset, and no published number can be put beside them.",
            "",
        ]
    return [
        *lines,
        f"{_KINDS[_trains_on(run)]}: `{recipe.model}`, trained on `{record.dataset}`"
        f"{' (synthetic)' if record.synthetic else ''} by psbench {version}".rstrip()
        + f", finished {record.finished}.",
    ]


_KINDS = {
    "scenes": "A person search model",
    "pairs": "A person search model that looks for one query at a time",
    "crops": "A re-ID network for persons whose boxes are given",
}


def _trains_on(run: Run) -> str:
    return model_class(run.recipe.model).trains_on


def _results(run: Run, validations: Sequence[Validation]) -> list[str]:
    published = published_result(run)
    lines = ["## Results", ""]
    if not validations:
        lines += [
            "Nothing was measured in this training. This measures it:",
            "",
            *_judge(run),
        ]
        if published:
            numbers = f"mAP {published.map} %, top-1 {published.top1} % under {published.protocol}"
            lines += ["", f"Published for this recipe: {numbers} ({published.source})."]
        return lines
    last, best = run.record.validation, run.record.best if (run.folder / BEST_FILE).is_file() else None
    mark = " (synthetic data)" if run.record.synthetic else ""
    rows = [[f"measured{mark}: `{WEIGHTS_FILE}`, after epoch {last.epoch}", *_measured(last)]] if last else []
    if last and published and published.protocol == last.protocol:
        rows.append([f"published: {published.source}", published.protocol, f"{published.map}", f"{published.top1}"])
        gains = [100 * last.map - published.map, 100 * last.top1 - published.top1]
        rows.append(["measured - published", "", *(f"{gain:+.2f}" for gain in gains)])
    if best:
        rows.append([f"chosen on the test split{mark}: `{BEST_FILE}`, after epoch {best.epoch}", *_measured(best)])
    if rows:
        lines += ["On the test split, in percent.", "", *_table(["", *_METRICS], rows)]
    if best:
        lines += [
            "",
            f"**Do not report `{BEST_FILE}`.** Its epoch was chosen by mAP on the test split, on which it is then "
            "measured, so its numbers are too high. Those to report are the last epoch's.",
        ]
    if not last:
        lines += ["", f"`{WEIGHTS_FILE}` itself, the weights of the last epoch, was not measured."]
    if last and published and published.protocol != last.protocol:
        lines += ["", f"The published result is under {published.protocol}, and these are not comparable with it."]
    if published and deviations(run, run.recipe):
        lines += ["", "The recipe was not carried out to the letter: see *As it was carried out*."]
    if len(validations) > 1:
        rows = [[str(v.epoch), *_measured(v)] for v in validations]
        lines += ["", "After each epoch that was validated:", "", *_table(["epoch", *_METRICS], rows)]
    return [*lines, "", "All protocols, with confidence intervals:", "", *_judge(run)]


_METRICS = ("protocol", "mAP", "top-1", "detection recall", "detection AP")


def _measured(v: Validation) -> list[str]:
    return [v.protocol, *(f"{100 * value:.2f}" for value in (v.map, v.top1, v.detection_recall, v.detection_ap))]


_MEASURED_BY = {
    "scenes": ("RUN", "", ""),
    "pairs": ("RUN", " --protocol PROTOCOL", " PROTOCOL is one of the dataset's."),
    "crops": ("DETECTOR --reid RUN", "", " DETECTOR is the run of a model that detects people."),
}
"""What `predict` is given, what both commands are told of protocols, and what that means."""


def _judge(run: Run) -> list[str]:
    given, protocol, meaning = _MEASURED_BY[_trains_on(run)]
    data = f"--data {run.record.dataset} --root ROOT{protocol}"
    lines = _block("", f"psbench predict {given} {data} --output PREDICTIONS", f"psbench evaluate PREDICTIONS {data}")
    return [*lines, "", f"RUN is this folder, ROOT the dataset's.{meaning}"]


def _curves(steps: pd.DataFrame, validated: bool) -> list[str]:
    if not len(steps):
        return ["## Curves", "", f"`{METRICS_FILE}` is not there or empty, so there is nothing to draw."]
    drawn = "Losses, learning rate" + (" and validation" if validated else "")
    numbers = f"`{METRICS_FILE}`" + (f", `{VALIDATION_FILE}`" if validated else "")
    return ["## Curves", "", f"![{drawn} over the steps]({CURVES_FILE})", "", f"The numbers are in {numbers}."]


def _carried_out(run: Run) -> list[str]:
    """What a result depends on most, beside the recipe's; every difference in words."""
    recipe, batches = run.recipe, run.record.batches
    base = origin(recipe) or recipe
    made = f"{batches.images_per_step}"
    if batches.images_per_step != batches.images_per_process:
        made += f" = {count(batches.processes, 'process')} x {count(batches.images_per_process, 'image')}"
        made += f" x {count(batches.accumulation, 'batch')}"
    rows = [
        ["images a step (global batch)", f"{base.batch_size}", made],
        ["learning rate after the warm-up", f"{base.optimizer.lr:g}", f"{batches.lr:g}"],
        ["batch norm", planned_batch_norm(base), actual_batch_norm(run)],
        ["precision", base.execution.precision, recipe.execution.precision],
        ["epochs", f"{base.schedule.epochs}", f"{recipe.schedule.epochs}"],
    ]
    lines = ["## As it was carried out", "", *_table(["", f"recipe `{base.name}`", "this run"], rows), ""]
    if different := deviations(run, base):
        lines += ["Different from the recipe:", "", *(f"- {deviation}" for deviation in different)]
    if changed := changes(recipe, base):
        values = [[f"`{n}`", f"`{json.dumps(old_value(base, n))}`", f"`{json.dumps(v)}`"] for n, v in changed.items()]
        lines += [""] if different else []
        lines += ["Values of the recipe that were changed:", "", *_table(["", f"`{base.name}`", "this run"], values)]
    return lines if different or changed else [*lines, "No difference from the recipe."]


def _again(run: Run, validations: Sequence[Validation]) -> list[str]:
    recipe, record = run.recipe, run.record
    options: dict[str, str | int] = {"--start-from": "WEIGHTS"} if record.started_from else {}
    if validations:
        options["--validate-on"] = validations[0].protocol
    if record.detections:
        options["--detections"] = "DETECTIONS"
    if len(validations) > 1:
        options["--validate-every"] = validations[0].epoch
    words = [str(word) for option in options.items() for word in option]
    if command := train_command(recipe, processes=record.batches.processes, options=words):
        block = _block("", command)
    else:
        data = f'psbench_data.load("{record.dataset}", root="ROOT")'
        keywords = "".join(f", {name[2:].replace('-', '_')}={json.dumps(value)}" for name, value in options.items())
        code = ["import psbench_data", "from psbench.training import Run, train", "", f"data = {data}"]
        block = _block("python", *code, f'train(Run.load("THIS").recipe, data, "RUN"{keywords})')
        block = [f"`{recipe.name}` is not one of psbench's recipes. From this folder, THIS:", "", *block]
    lines = ["## The same again", "", *block, ""]
    lines.append(
        "RUN is the folder to make. The data are the same if "
        f"`psbench-data summary {record.dataset} ROOT` shows the fingerprint {record.fingerprint[:12]}; options that "
        "they were opened with (`--option`) have to be given again."
    )
    if record.started_from:
        of = f", trained by `{recipe.starts_from}`" if recipe.starts_from else ""
        lines += ["", f"WEIGHTS is the file with the SHA-256 `{record.started_from}`{of}."]
    if record.detections:
        of = f"`{recipe.detections_from}`" if recipe.detections_from else "a detector"
        lines += ["", f"DETECTIONS is what {of} finds in the training scenes, by `psbench predict --split train`."]
    return lines


def _facts(run: Run, steps: pd.DataFrame) -> list[str]:
    record = run.record
    speed = f", {steps['images_per_second'].median():.1f} images a second" if len(steps) else ""
    facts = [
        ["recipe", f"`{run.recipe.name}`, digest `{record.recipe_digest}`"],
        ["data", f"`{record.dataset}`{', synthetic' if record.synthetic else ''}, fingerprint `{record.fingerprint}`"],
        ["identities", f"{record.num_identities:,}"],
        ["training", f"{record.steps:,} steps in {_duration(record.seconds)}{speed}"],
        ["interrupted", f"{record.resumed} x, gone on from a checkpoint" if record.resumed else "never"],
        ["peak memory", f"{record.peak_memory / 2**30:.2f} GiB"],
        ["hardware", plain_words(record.hardware)],
        ["versions", ", ".join(f"{package} {version}" for package, version in record.versions.items())],
        [f"`{WEIGHTS_FILE}`", _digest(run.folder / WEIGHTS_FILE) or "not in the folder"],
        [f"`{BEST_FILE}`", _digest(run.folder / BEST_FILE)],
        ["detected boxes", f"used, digest `{record.detections}`" if record.detections else _unused_detections(run)],
        ["started from", f"weights with the SHA-256 `{record.started_from}`" if record.started_from else ""],
    ]
    return ["## Facts", "", *_table(["", ""], [fact for fact in facts if fact[1]])]


def _unused_detections(run: Run) -> str:
    return "none: annotated boxes alone" if _trains_on(run) == "crops" else ""


def _recipe(run: Run) -> list[str]:
    values = [f" {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in run.record.recipe.items()]
    return [
        "## Recipe",
        "",
        "All its values, as `run.json` has them.",
        "",
        *_block("json", "{", ",\n".join(values), "}"),
    ]


def _digest(path: Path) -> str:
    return f"SHA-256 `{file_digest(path)}`" if path.is_file() else ""


def _duration(seconds: float) -> str:
    """The two largest units."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [markdown_row(headings), markdown_row(["---"] * len(headings))]
    return lines + [markdown_row(row, len(headings)) for row in rows]


def _block(language: str, *lines: str) -> list[str]:
    return [f"```{language}", *lines, "```"]
