"""The scripts of reproduce/: what can be measured is measured, by recipes that exist."""

import csv
from pathlib import Path

import pytest

from psbench.reporting.published import published
from psbench.reproduction.rows import Cell, MeasuredRow
from psbench.training.recipes import recipe_for, recipes
from psbench_data.terms import terms
from tests.made_up import asked
from tests.scripts import SCRIPTS, TABLES

MATRIX = Path(__file__).parent / "published" / "measurable_matrix.csv"
VARIANTS = {
    "oim": ("oim", "base"),
    "nae": ("nae", "base"),
    "nae_plus": ("nae", "plus"),
    "seqnet": ("seqnet", "base"),
    "glcnet": ("glcnet", "base"),
    "pcnet": ("pcnet", "base"),
    "pcnet_multianchor": ("pcnet", "multianchor"),
    "pcnet_fast": ("pcnet", "fast"),
    "igpn": ("igpn", "full"),
}
"""Models of the zoo, as the matrix names them."""


def _in_matrix(row: MeasuredRow, cell: Cell) -> tuple[str, ...]:
    """A cell that a script measures, as the matrix names it; of ablations, the name of the recipe."""
    model = row.recipe.partition("-")[0]
    system, variant = VARIANTS.get(model, (model, "base"))
    if row.reid:
        variant = row.reid.partition("-")[0].removeprefix("reid_")
    if row.cbgm:
        variant = "cbgm"
    size = cell.protocol.removeprefix("gallery-")
    protocol = {
        "cuhk_sysu": "cuhk-gallery",
        "prw": "prw-full",
        "lsps": "lsps-blurred",
        "movienet_cs": f"movienet-n{cell.data_options.get('train_subset')}",
    }[cell.dataset]
    if row.ground_truth_boxes:
        protocol += "-gtboxes"
    size = {"prw": "6112", "lsps": "full"}.get(cell.dataset, size)
    return system, variant, terms(cell.dataset).title, protocol, size


def test_every_cell_that_is_measurable_and_published_is_measured() -> None:
    """Of the papers' tables and figures, and of MovieNet-CS all six systems."""
    with MATRIX.open(encoding="utf-8") as stream:
        matrix = list(csv.DictReader(stream))
    wanted = {
        tuple(cell[key] for key in ("zoo_system", "variant", "dataset", "protocol", "gallery_size"))
        for cell in matrix
        if cell["measurable"] == "yes"
        and (
            cell["reference_kind"] in ("paper", "digitised", "third_party")
            or (cell["dataset"] == "MovieNet-CS" and cell["variant"] in ("base", "full"))
        )
    }
    assert len(wanted) == 51 + 90
    assert (
        wanted - {_in_matrix(*one) for script in SCRIPTS.values() for one in asked(script.rows, script.cells)} == set()
    )


@pytest.mark.parametrize("name", TABLES)
def test_every_measurable_line_is_measured(name: str) -> None:
    """By a row that says so, and no line that can only be quoted is."""
    wanted, quoted = set(), set()
    for source in TABLES[name].sources:
        lines: dict[tuple[str, ...], str] = {}
        for row in published(source.data):
            if all(row[key] == value for key, value in source.where.items()):
                lines.setdefault(tuple(row[key] for key in source.key), row.get("measurable", "yes"))
        numbered = list(enumerate(lines.values(), start=source.first))
        wanted |= {number for number, measurable in numbered if measurable == "yes"}
        quoted |= {number for number, measurable in numbered if measurable == "no"}
    rows = {row.row for row in (*SCRIPTS[name].rows, *SCRIPTS[name].costs)} - {None}
    assert rows == wanted
    assert not rows & quoted


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_row_has_recipes_for_real_and_for_drawn_people(name: str) -> None:
    script, there = SCRIPTS[name], set(recipes())
    wanted: set[str | None] = {n for row in script.costs for n in (row.recipe, row.demo_recipe)}
    for row, cell in asked(script.rows, script.cells):
        wanted |= {row.recipe.format(dataset=cell.dataset), row.demo_recipe, row.reid_demo}
        wanted |= {row.reid and row.reid.format(dataset=cell.dataset)}
    assert wanted - {None} - there == set()


@pytest.mark.parametrize("name", SCRIPTS)
def test_changes_are_options_that_the_models_have(name: str) -> None:
    script, there = SCRIPTS[name], set(recipes())
    for row, cell in asked(script.rows, script.cells):
        for recipe, changes in (
            (row.recipe.format(dataset=cell.dataset), {**row.changes, **row.real_changes}),
            (row.demo_recipe, row.changes),
        ):
            if recipe in there:
                recipe_for(recipe).override(changes)


def test_igpn_rows_are_built_as_their_columns_say() -> None:
    from psbench.zoo.igpn_options import IGPNOptions

    for name, switch in (("table7", "iccl"), ("table8", "local_relation")):
        for row, line in zip(SCRIPTS[name].rows, published(TABLES[name].sources[0].data), strict=True):
            options = IGPNOptions(
                **recipe_for(row.recipe.format(dataset="cuhk_sysu")).override(row.changes).model_options
            )
            if name == "table7":
                assert (options.correlation == "iccl") == (line[switch] == "1")
                assert options.correlation == "vccl" or options.shared_kernel == (line["b_term"] == "1")
            else:
                assert options.local_relations == (line[switch] == "1")
                assert options.global_branch == (line["global_relation"] == "1")


def test_proposals_kept_are_those_that_are_printed() -> None:
    for name, protocol in (("table9", "gallery-100"), ("table10", "regular")):
        kept = {row.row: row.keep for row in SCRIPTS[name].rows if row.keep}
        lines = published(TABLES[name].sources[0].data)
        assert {int(r["row"]): int(r["proposals_total"]) for r in lines if r["proposals_total"]} == kept, protocol
    rows = {row.method: row.keep for row in SCRIPTS["proposal_gallery_curves"].rows if row.keep}
    for line in published("igpn_figures4_5_6"):
        if line["figure"] == "fig5" and line["proposals_total"]:
            assert rows[line["series"]][f"gallery-{line['gallery_size']}"] == int(line["proposals_total"])  # type: ignore[index]
