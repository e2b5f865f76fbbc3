"""Table 4 of the PCNet paper, and its repository's at a larger size: memory, parameters, speed and accuracy on PRW."""

from systems import demo_recipe

from psbench.reporting.table import Columns, Metric, Source, Table, accuracy
from psbench.reproduction import Cell, CostRow, MeasuredRow, run_script

COST = Columns(
    heading="Cost of one image",
    metrics=(
        Metric(field="mem_gb", heading="memory (GB)", digits=2, best="lowest", of_device=True),
        Metric(field="params_m", heading="parameters (M)", best="lowest"),
        Metric(field="speed_fps", heading="images/s", of_device=True),
    ),
)
TABLE = Table(
    name="table4",
    title="PCNet, table 4: efficiency",
    sources=(
        Source(
            words="PCNet paper, table 4 (one V100, one image at a time)",
            data="pcnet_table4_efficiency_1333x800",
            heading="at most 1333x800",
        ),
        Source(
            words="picture in the PCNet repository, img/pfm.png (GPU not said there)",
            data="pcnet_repo_efficiency_1500x900",
            heading="at most 1500x900",
            first=5,
        ),
    ),
    labels=(("method", "Method"),),
    columns=(COST, accuracy(Cell("prw", "regular"))),
    remarks=(
        "PCNet is its fast form in the first block, and probably in the second; OIM, NAE+ and APNet are its authors' "
        "own runs. Speed and memory of different devices do not compare: the footnotes name ours.",
    ),
)
SIZES = ((800, 1333), (900, 1500))
"""Height and width that images are resized into, in the order of the blocks, which have four lines each."""
PRINTED = ((1, "OIM", "oim"), (2, "NAE+", "nae_plus"), (4, "PCNet", "pcnet_fast"))
ROWS = tuple(
    MeasuredRow(
        row=4 * block + row,
        method=name,
        recipe=f"{model}-{{dataset}}",
        demo_recipe=demo_recipe(model),
        real_changes={"model_options.min_size": height, "model_options.max_size": width},
    )
    for block, (height, width) in enumerate(SIZES)
    for row, name, model in PRINTED
)
COSTS = tuple(
    CostRow(row=4 * block + row, method=name, recipe=f"{model}-prw", demo_recipe=demo_recipe(model), size=size)
    for block, size in enumerate(SIZES)
    for row, name, model in PRINTED
)

if __name__ == "__main__":
    run_script(__doc__, ROWS, TABLE.cells, TABLE.write, costs=COSTS)
