"""MovieNet-CS: six systems, trained on up to 10 to 100 appearances of each person, in galleries of three sizes."""

from systems import system

from psbench.reporting.table import Axis, Source, Table, accuracy
from psbench.reproduction import Cell, run_script

SYSTEMS = {"oim": "OIM", "nae": "NAE", "seqnet": "SeqNet", "glcnet": "GLCNet", "pcnet": "PCNet", "igpn": "IGPN"}
SUBSETS, GALLERIES = (10, 30, 50, 70, 100), (2000, 4000, 10000)
TABLE = Table(
    name="table13",
    title="MovieNet-CS: systems, training subsets and galleries",
    sources=tuple(
        Source(
            words="third party's page for SeqNet (no paper has numbers)",
            data="movienet_cs_grid",
            heading=f"trained on at most {subset} appearances of a person",
            where={"train_max_appearances": str(subset)},
            key=("zoo_system",),
            data_options={"train_subset": subset},
        )
        for subset in SUBSETS
    ),
    labels=(("zoo_system", "Method"), ("train_max_appearances", "Appearances")),
    columns=tuple(accuracy(Cell("movienet_cs", f"gallery-{size}"), f"gallery {size}") for size in GALLERIES),
    words=SYSTEMS,
    axis=Axis(heading="appearances of a person in training, at most", label="train_max_appearances"),
)
ROWS = tuple(system(name, row) for row, name in enumerate(SYSTEMS.values(), start=1))

if __name__ == "__main__":
    run_script(__doc__, ROWS, TABLE.cells, TABLE.write)
