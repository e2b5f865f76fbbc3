"""Recipes: the papers' values, and what may be changed of them."""

import dataclasses

import pytest

import psbench
from psbench import InputError
from psbench.training import Recipe, recipe_for, recipes
from psbench.training.optimization import learning_rate_factor
from psbench.training.recipe import Schedule


def test_every_recipe_names_a_model_and_survives_json() -> None:
    for name in recipes():
        recipe = recipe_for(name)
        assert recipe.model in psbench.zoo.available()
        assert Recipe.from_dict(recipe.to_dict(), source="test") == recipe


def test_paper_recipe_has_the_papers_values() -> None:
    """SeqNet on CUHK-SYSU: 20 epochs at 0.003, a tenth of it from epoch 16, one epoch of warm-up, batches of 5."""
    recipe = recipe_for("seqnet-cuhk_sysu")
    assert (recipe.optimizer.lr, recipe.optimizer.weight_decay, recipe.optimizer.clip_norm) == (0.003, 5e-4, 10)
    assert (recipe.schedule.epochs, recipe.schedule.milestones, recipe.batch_size) == (20, (16,), 5)


def test_overrides_are_checked_all_at_once() -> None:
    recipe = recipe_for("seqnet-cuhk_sysu")
    changed = recipe.override({"optimizer.lr": "0.01", "model_options.backbone": "resnet18"})
    assert (changed.optimizer.lr, changed.model_options["backbone"]) == (0.01, "resnet18")
    assert changed.digest != recipe.digest
    assert (changed.name, changed.expected) == ("seqnet-cuhk_sysu-changed", None)
    assert recipe.override({"workers": 0}) == dataclasses.replace(recipe, workers=0)
    recipe.model_options["backbone"] = "mine"
    assert "backbone" not in recipe_for("seqnet-cuhk_sysu").model_options
    with pytest.raises(InputError) as error:
        recipe.override({"optimizer.learning_rate": 1, "epoch": 3})
    assert len(error.value.faults) == 2
    with pytest.raises(InputError, match=r"optimizer.lr is 'fast'"):
        recipe.override({"optimizer.lr": "fast"})


def test_learning_rate_rises_then_falls() -> None:
    factor = learning_rate_factor(Schedule(epochs=4, milestones=(2, 3), warmup_epochs=1, warmup_start=0.001), 100)
    assert factor(0) == pytest.approx(0.001)
    assert factor(49) == pytest.approx(0.001 + 0.999 * 49 / 99)
    assert [factor(step) for step in (99, 199, 200, 299, 300)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])


def test_digest_is_of_what_results_depend_on() -> None:
    recipe = recipe_for("seqnet-cuhk_sysu")
    irrelevant = {"workers": 0, "execution.channels_last": False, "execution.activation_checkpointing": True}
    assert recipe.override(irrelevant | {"execution.size_bucket": 64}).digest == recipe.digest
    digests = {
        recipe.override({name: value}).digest
        for name, value in (
            ("execution.precision", "fp32"),
            ("execution.images_per_process", 2),
            ("execution.accumulation", 2),
            ("batch_norm", "frozen"),
            ("ema", 0.99),
            ("group_by_aspect", True),
            ("starts_from", "nae-cuhk_sysu"),
            ("optimizer.backbone_lr_factor", 0.1),
        )
    }
    assert len(digests | {recipe.digest}) == 9


def test_recipes_start_from_recipes_of_the_same_data() -> None:
    starts = {name: recipe_for(name).starts_from for name in recipes()}
    assert starts["nae_plus-cuhk_sysu"] == "nae-cuhk_sysu"
    for name, before in starts.items():
        assert before is None or recipe_for(before).dataset == recipe_for(name).dataset


@pytest.mark.parametrize("model", ["reid_resnet50", "reid_pcb"])
@pytest.mark.parametrize("dataset", ["cuhk_sysu", "prw"])
def test_reid_recipes_have_the_papers_values(model: str, dataset: str) -> None:
    """64 crops, 60 epochs at 0.1, a tenth of it after 40; as PCB's: a tenth for the backbone, weight decay 5e-4."""
    recipe = recipe_for(f"{model}-{dataset}")
    sgd, schedule = recipe.optimizer, recipe.schedule
    assert (sgd.lr, sgd.momentum, sgd.weight_decay, sgd.backbone_lr_factor) == (0.1, 0.9, 5e-4, 0.1)
    assert (schedule.epochs, schedule.milestones, schedule.gamma, schedule.warmup_epochs) == (60, (40,), 0.1, 0)
    assert (recipe.batch_size, recipe.flip, recipe.batch_norm) == (64, 0.5, "batch")
    assert recipe.model_options == {"pretrained": True}
    assert recipe_for(str(recipe.detections_from)).dataset == dataset


@pytest.mark.parametrize("dataset", ["cuhk_sysu", "prw"])
def test_igpn_recipes_have_the_papers_values(dataset: str) -> None:
    """16 pairs, 25 epochs at 1e-3, 1e-4 after 16, frozen batch norm."""
    recipe = recipe_for(f"igpn-{dataset}")
    sgd, schedule = recipe.optimizer, recipe.schedule
    assert (sgd.lr, sgd.momentum, sgd.weight_decay) == (0.001, 0.9, 1e-4)
    assert (schedule.epochs, schedule.milestones, schedule.gamma) == (25, (16,), 0.1)
    assert (recipe.batch_size, recipe.batch_norm) == (16, "frozen")
    # What it reaches alone is published for one dataset.
    assert (recipe.expected is not None) == (dataset == "cuhk_sysu")
