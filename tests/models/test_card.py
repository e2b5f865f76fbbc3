"""The run card: what it says of a run, and that what it says can be followed."""

import dataclasses
import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from psbench import InputError
from psbench.cli_training import parsed_changes
from psbench.training import Recipe, Run, recipe_for, train
from psbench.training.card import write_card
from psbench.training.recipe import Published
from psbench.training.run import Batches, RunRecord, Validation
from psbench_data import PersonSearchDataset
from psbench_data.terms import terms

PAPER = recipe_for("seqnet-cuhk_sysu")
FIRST = Validation(
    epoch=1, step=4, protocol="gallery-100", map=0.512, top1=0.6, detection_recall=0.8, detection_ap=0.75
)
SECOND = FIRST.model_copy(update={"epoch": 2, "step": 8, "map": 0.9341, "top1": 0.942})


def make_run(
    folder: Path,
    recipe: Recipe = PAPER,
    *,
    processes: int = 1,
    validations: tuple[Validation, ...] = (),
    steps: int = 0,
    **changes: Any,
) -> Run:
    """A run folder as a training leaves it, but for the weights, which are a few bytes, and the log of few steps."""
    how = recipe.execution
    batches = Batches(
        processes=processes,
        images_per_process=how.images_per_process or recipe.batch_size,
        accumulation=how.accumulation,
        lr=recipe.optimizer.lr,
    )
    if how.scale_lr:
        batches.lr *= batches.images_per_step / recipe.batch_size
    values = {
        "recipe": recipe.to_dict(),
        "recipe_digest": recipe.digest,
        "dataset": recipe.dataset,
        "fingerprint": "f" * 63 + "0",
        "synthetic": False,
        "num_identities": 5532,
        "batches": batches,
        "started_from": None,
        "steps": steps,
        "seconds": 7500.0,
        "resumed": 0,
        "peak_memory": 3 * 2**30,
        "hardware": "1 x Some GPU",
        "versions": {"python": "3.11.7", "psbench": "0.1.0"},
        "finished": "2026-01-31",
        "validation": validations[-1] if validations else None,
    }
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log(steps)))
    if validations:
        (folder / "validation.jsonl").write_text("".join(v.model_dump_json() + "\n" for v in validations))
    return Run(folder, RunRecord(**values | changes))


def log(steps: int) -> list[dict[str, float]]:
    lines = []
    for step in range(steps):
        losses = {"rpn_loss_cls": 0.5 / (step + 1), "loss_reid": 8.0 / (step + 1)}
        rest = {"gradient_norm": 1.0, "images_per_second": 20.0 + step % 3, "seconds": 0.1 * step}
        lines.append(
            {"step": step, "epoch": 2 * step // steps, "lr": 0.003, "loss": sum(losses.values()), **losses, **rest}
        )
    return lines


def text_of(run: Run) -> str:
    return write_card(run).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    return text.split(f"## {heading}\n")[1].split("\n## ")[0]


def command_of(text: str) -> list[str]:
    return shlex.split(section(text, "The same again").split("```\n")[1].split("\n```")[0])


def trained_again(words: list[str]) -> Recipe:
    """The recipe that `psbench train` takes from these words, by its own parsing."""
    name = words[words.index("--recipe") + 1] if "--recipe" in words else None
    model, data = words[words.index("--data") - 1], words[words.index("--data") + 1]
    base = recipe_for(name or f"{model}-{data}")
    assert base.model == model
    changes = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
    return base.override(parsed_changes(changes))


def test_paper_recipe_stands_beside_the_published_result(tmp_path: Path) -> None:
    text = text_of(make_run(tmp_path / "run", validations=(SECOND,)))
    results = section(text, "Results")
    assert "| 93.41 | 94.20 | 80.00 | 75.00 |" in results
    assert "SeqNet, AAAI 2021, without CBGM | gallery-100 | 93.8 | 94.6 |" in results
    assert "| -0.39 | -0.40 |" in results
    assert "to the letter" not in results
    assert "No difference from the recipe." in text
    assert command_of(text)[:4] == ["psbench", "train", "seqnet", "--data"]
    assert "--validate-on gallery-100" in section(text, "The same again")


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [
        (PAPER, {"synthetic": True}),
        (PAPER.override({"optimizer.lr": 0.01}), {}),
        # Changed in Python, name and published result kept.
        (dataclasses.replace(PAPER, batch_size=2), {}),
        (recipe_for("glcnet-movienet_cs"), {}),
    ],
    ids=["synthetic", "overridden", "replaced", "nothing published"],
)
@pytest.mark.parametrize("validations", [(), (SECOND,)], ids=["not measured", "measured"])
def test_published_result_is_not_shown_where_it_cannot_be_compared(
    tmp_path: Path, recipe: Recipe, changes: dict[str, Any], validations: tuple[Validation, ...]
) -> None:
    results = section(text_of(make_run(tmp_path / "run", recipe, validations=validations, **changes)), "Results")
    assert "93.8" not in results
    assert "ublished" not in results


def test_another_protocol_is_not_compared(tmp_path: Path) -> None:
    other = SECOND.model_copy(update={"protocol": "gallery-50"})
    results = section(text_of(make_run(tmp_path / "run", validations=(other,))), "Results")
    assert "93.8" not in results
    assert "published result is under gallery-100" in results


def test_own_recipe_may_have_its_own_published_result(tmp_path: Path) -> None:
    published = Published(protocol="gallery-100", map=90.0, top1=91.0, source="Mine, 2030")
    own = dataclasses.replace(PAPER, name="mine", batch_size=7, expected=published)
    text = text_of(make_run(tmp_path / "run", own, validations=(SECOND,)))
    assert "Mine, 2030 | gallery-100 | 90.0 | 91.0 |" in text
    again = section(text, "The same again")
    assert "`mine` is not one of psbench's recipes" in again
    compile(again.split("```python\n")[1].split("```")[0], "card", "exec")


def test_synthetic_data_are_named_before_anything_else(tmp_path: Path) -> None:
    text = text_of(make_run(tmp_path / "run", validations=(SECOND,), synthetic=True))
    assert text.index("Synthetic data") < text.index("##")
    assert "say nothing about the real dataset" in text
    assert "measured (synthetic data)" in text
    assert "ynthetic" not in text_of(make_run(tmp_path / "real", validations=(SECOND,)))


def test_unmeasured_runs_say_how_to_measure(tmp_path: Path) -> None:
    results = section(text_of(make_run(tmp_path / "run")), "Results")
    assert "Nothing was measured" in results
    assert "psbench predict RUN --data cuhk_sysu --root ROOT --output PREDICTIONS" in results
    assert "psbench evaluate PREDICTIONS --data cuhk_sysu --root ROOT" in results
    assert "mAP 93.8 %, top-1 94.6 % under gallery-100" in results


def test_more_processes_are_a_difference(tmp_path: Path) -> None:
    text = text_of(make_run(tmp_path / "run", processes=4, validations=(SECOND,)))
    done = section(text, "As it was carried out")
    assert "| 5 | 20 = 4 processes x 5 images x 1 batch |" in done
    assert "A step took 20 images, the recipe's 5; the learning rate was left as it is." in done
    assert "The learning rate was" not in done
    assert "not carried out to the letter" in section(text, "Results")
    assert command_of(text)[:6] == ["accelerate", "launch", "--multi_gpu", "--num_processes", "4", "-m"]


def test_rate_batch_norm_precision_and_accumulation_are_named(tmp_path: Path) -> None:
    changes = {"images_per_process": 2, "accumulation": 3, "scale_lr": True, "precision": "fp32"}
    recipe = PAPER.override({f"execution.{name}": value for name, value in changes.items()})
    done = section(text_of(make_run(tmp_path / "run", recipe, processes=2)), "As it was carried out")
    assert "| 5 | 12 = 2 processes x 2 images x 3 batches |" in done
    assert "The learning rate was 0.0072 (scaled by" in done
    assert "Batch norm took statistics of 2 images (batch), the recipe's statistics of 5 images (batch)." in done
    assert "3 batches of each process were added up" in done
    assert "The precision was fp32, the recipe's bf16." in done
    assert '| `execution.precision` | `"bf16"` | `"fp32"` |' in done
    frozen = PAPER.override({"batch_norm": "frozen"})
    done = section(text_of(make_run(tmp_path / "frozen", frozen)), "As it was carried out")
    assert "running statistics (frozen), the recipe's statistics of 5 images" in done
    assert "A step took" not in done
    together = PAPER.override({"batch_norm": "synchronised", "execution.images_per_process": 1})
    done = section(text_of(make_run(tmp_path / "together", together, processes=5)), "As it was carried out")
    assert "| statistics of 5 images, of all processes (synchronised) |" in done


def test_start_from_other_weights_is_named(tmp_path: Path) -> None:
    text = text_of(make_run(tmp_path / "run", started_from="a" * 64))
    assert f"started from trained weights (SHA-256 `{'a' * 64}`), the recipe does not" in text
    assert command_of(text)[-2:] == ["--start-from", "WEIGHTS"]
    plus = recipe_for("nae_plus-cuhk_sysu")
    assert "did not start from the trained weights of `nae-cuhk_sysu`" in text_of(make_run(tmp_path / "none", plus))
    text = text_of(make_run(tmp_path / "as asked", plus, started_from="a" * 64))
    assert "No difference from the recipe." in text
    assert f"SHA-256 `{'a' * 64}`, trained by `nae-cuhk_sysu`" in text


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer.lr": 0.01, "schedule.milestones": [3, 5], "optimizer.clip_norm": None, "workers": 0},
        {"model_options.backbone": "resnet 18's", "model_options.pretrained": "true", "flip": 1},
        {"model_options.anchor_sizes": [32, 64.5], "model_options.score_thresh_test": 1, "model_options.new": 1.0},
        {"model_options": {"min_size": 90}, "execution.accumulation": 2, "ema": 0.999},
        {"dataset": "prw", "seed": 0, "model": "oim"},
        {"model_options.pretrained": 1, "model_options.freeze_stem": 0},
    ],
    ids=lambda changes: " ".join(changes),
)
@pytest.mark.parametrize("name", ["seqnet-cuhk_sysu", "seqnet-demo"])
def test_command_trains_the_same_recipe(tmp_path: Path, name: str, changes: dict[str, Any]) -> None:
    recipe = recipe_for(name).override(changes)
    again = trained_again(command_of(text_of(make_run(tmp_path / "run", recipe))))
    assert again.digest == recipe.digest
    assert again.workers == recipe.workers
    twice = recipe.override({"optimizer.momentum": 0.5})
    again = trained_again(command_of(text_of(make_run(tmp_path / "twice", twice))))
    assert again.digest == twice.digest


def test_recipe_is_there_whole(tmp_path: Path) -> None:
    recipe = PAPER.override({"model_options.backbone": "resnet18"})
    block = section(text_of(make_run(tmp_path / "run", recipe)), "Recipe").split("```json\n")[1].split("```")[0]
    assert Recipe.from_dict(json.loads(block), source="card") == recipe


def test_choosing_on_the_test_split_is_called_that(tmp_path: Path) -> None:
    lower = SECOND.model_copy(update={"epoch": 3, "map": 0.9})
    run = make_run(tmp_path / "run", validations=(FIRST, SECOND, lower))
    assert "Do not report" not in text_of(run)
    (run.folder / "best.safetensors").write_bytes(b"best")
    run = Run(run.folder, run.record.model_copy(update={"best": SECOND}))
    results = section(text_of(run), "Results")
    assert "**Do not report `best.safetensors`.**" in results
    assert re.search(r"chosen on the test split: `best.safetensors`, after epoch 2 \| gallery-100 \| 93.41", results)
    assert re.search(r"measured: `model.safetensors`, after epoch 3 \| gallery-100 \| 90.00", results)
    for row in ("| 1 | gallery-100 | 51.20", "| 2 | gallery-100 | 93.41", "| 3 | gallery-100 | 90.00"):
        assert row in results
    assert command_of(write_card(run).read_text())[-2:] == ["--validate-every", "1"]


def test_facts(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", resumed=2, steps=9)
    facts = section(text_of(run), "Facts")
    # printf weights | sha256sum
    assert (
        "| `model.safetensors` | SHA-256 `9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c` |" in facts
    )
    assert "9 steps in 2 h 5 min, 21.0 images a second" in facts
    assert "2 x, gone on from a checkpoint" in facts
    assert "3.00 GiB" in facts
    assert f"digest `{PAPER.digest}`" in facts
    assert "python 3.11.7, psbench 0.1.0" in facts
    assert run.record.fingerprint in facts


def test_picture_has_a_panel_for_validations(tmp_path: Path) -> None:
    sizes = {}
    for name, validations in (("without", ()), ("with", (FIRST, SECOND))):
        run = make_run(tmp_path / name, validations=validations, steps=8)
        assert "](curves.png)" in text_of(run)
        with Image.open(run.folder / "curves.png") as picture:
            sizes[name] = picture.size
    assert sizes["with"][1] > sizes["without"][1] + 150


@pytest.mark.parametrize("steps", [1, 2, 300, 3000])
def test_any_length_can_be_drawn(tmp_path: Path, steps: int) -> None:
    run = make_run(tmp_path / "run", steps=steps)
    lines = log(steps)
    lines[-1] |= {"loss_reid": 0.0, "gradient_norm": None}
    (run.folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_card(run)
    with Image.open(run.folder / "curves.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 5


@pytest.mark.parametrize("name", ["seqnet-cuhk_sysu", "seqnet-prw", "glcnet-movienet_cs"])
def test_says_what_it_is_for_and_on_whose_pictures_it_stands(tmp_path: Path, name: str) -> None:
    recipe = recipe_for(name)
    text = text_of(make_run(tmp_path / "run", recipe))
    its = terms(recipe.dataset)
    assert "Not for surveillance" in section(text, "Intended use")
    data = section(text, "Data")
    for words in (its.title, its.collection, its.conditions, its.paper, its.url, "5,532 people", "for research only"):
        assert words in data
    limits = section(text, "Metrics and limits")
    assert "whether errors fall on some more than on others" in limits
    assert "docs/evaluation.md" in limits
    assert "docs/ethics.md" in section(text, "Ethics")
    assert "drawn" not in section(text, "Intended use")


def test_drawn_people_have_no_rights_to_mention(tmp_path: Path) -> None:
    text = text_of(make_run(tmp_path / "run", PAPER, synthetic=True))
    assert "nobody in photographs" in section(text, "Intended use")
    assert "None: pass it on as you like" in section(text, "Data")
    assert "No person was filmed" in section(text, "Ethics")
    assert "for research only" not in text
    own = text_of(make_run(tmp_path / "own", PAPER.override({"dataset": "mine"}), dataset="mine"))
    assert "Those of its owner" in section(own, "Data")


def test_damaged_lines_are_named_and_nothing_is_written(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", validations=(FIRST, SECOND), steps=8)
    lines = (run.folder / "metrics.jsonl").read_text().splitlines()
    lines[2], lines[5] = lines[2][:30], lines[5].replace('"lr": 0.003', '"lr": "fast"')
    (run.folder / "metrics.jsonl").write_text("\n".join(lines))
    with pytest.raises(InputError) as error:
        write_card(run)
    first, second = error.value.faults
    assert "metrics.jsonl, line 3: " in first
    assert "metrics.jsonl, line 6: lr: " in second
    assert not (run.folder / "card.md").exists()
    (run.folder / "metrics.jsonl").write_text("")
    (run.folder / "validation.jsonl").write_text('{"epoch": 1}')
    with pytest.raises(InputError, match=r"validation.jsonl, line 1: step: Field required"):
        write_card(run)


def test_card_of_a_training_can_be_written_again_from_its_folder(world: PersonSearchDataset, tmp_path: Path) -> None:
    small = {"min_size": 96, "max_size": 128, "roi_batch_size_per_image": 8, "rpn_post_nms_top_n_test": 8}
    changes = {"schedule.epochs": 1} | {f"model_options.{name}": value for name, value in small.items()}
    recipe = recipe_for("oim-demo").override(changes)
    run = train(recipe, world, tmp_path / "run", validate_on="gallery-50", progress=False)
    card, picture = run.folder / "card.md", run.folder / "curves.png"
    text, pixels = card.read_text(encoding="utf-8"), picture.read_bytes()
    assert "Synthetic data" in text
    assert f"{100 * run.record.validation.map:.2f}" in section(text, "Results")
    assert trained_again(command_of(text)).digest == recipe.digest
    card.unlink()
    picture.unlink()
    assert text_of(Run.load(run.folder)) == text
    assert picture.read_bytes() == pixels


def test_without_logs_there_is_still_a_card(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", validations=(SECOND,))
    for name in ("metrics.jsonl", "validation.jsonl", "model.safetensors"):
        (run.folder / name).unlink()
    text = text_of(run)
    assert "nothing to draw" in text
    assert "](curves.png)" not in text
    assert "93.41" in text
    assert "not in the folder" in text
    assert [path.name for path in run.folder.iterdir()] == ["card.md"]


def test_weights_that_were_not_measured_are_not_said_to_be(tmp_path: Path) -> None:
    """A validation of an earlier epoch is told as that, where the last one was left out."""
    run = make_run(tmp_path / "run", validations=(FIRST, SECOND), validation=None)
    results = section(text_of(run), "Results")
    assert "`model.safetensors` itself, the weights of the last epoch, was not measured." in results
    assert "measured: `model.safetensors`" not in results
    assert "| 2 | gallery-100 | 93.41 |" in results
