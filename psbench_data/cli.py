"""The command `psbench-data`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from psbench_data.console import (
    DatasetOptions,
    complain_on_input_error,
    complete_dataset,
    parsed_options,
    tell,
    version_option,
)

app = typer.Typer(
    no_args_is_help=True,
    help="Person search datasets: open, check, count, draw and pass on.",
)

_Name = Annotated[
    str,
    typer.Argument(help="A name from `psbench-data list`.", show_default=False, autocompletion=complete_dataset),
]
_Root = Annotated[Path, typer.Argument(help="The dataset's top folder.", show_default=False)]


@app.callback()
def _main(version: Annotated[bool, version_option("psbench-data")] = False) -> None: ...


@app.command("list")
@complain_on_input_error
def list_datasets() -> None:
    """Name the datasets that can be loaded.

    Example: psbench-data list
    """
    from psbench_data import available
    from psbench_data.terms import terms

    for name in available():
        tell(f"{name:12}  {terms(name).title:16}  {terms(name).status}")


@app.command("terms")
@complain_on_input_error
def print_terms(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A name from `psbench-data list`, or weights; all if not given.",
            show_default=False,
            autocompletion=complete_dataset,
        ),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page of all, DATA_LICENSES.md.")] = False,
) -> None:
    """Say how a dataset is obtained, on which terms, and what to keep in mind; and the same of released weights.

    Example: psbench-data terms prw
    """
    from psbench_data import InputError, available, terms, terms_page
    from psbench_data.errors import near_names

    if markdown:
        if name:
            raise InputError("terms: --markdown prints the terms of all; leave the name out.")
        tell(terms_page.markdown_page(), nl=False)
        return
    known = [*available(), "weights"]
    if name and name not in known:
        raise InputError(f"no terms are known of {name!r}. {near_names(name, known)}")
    parts = [name] if name else known
    tell("\n\n".join(terms_page.print_weights() if n == "weights" else terms.print_terms(n) for n in parts))


@app.command()
@complain_on_input_error
def summary(name: _Name, root: _Root, option: DatasetOptions = None) -> None:
    """Count a dataset's scenes, boxes and identities, and its protocols' queries and galleries.

    Example: psbench-data summary cuhk_sysu /data/CUHK-SYSU
    """
    from psbench_data import load

    dataset = load(name, root=root, **parsed_options(option))
    tell(f"{dataset.title}: {dataset.origin}, fingerprint {dataset.fingerprint[:12]}\n")
    tell(dataset.summary().to_string())
    tell("")
    if dataset.protocols:
        tell(dataset.protocol_summary().to_string())
    else:
        tell(f"no protocol: there is nobody to search for. `psbench-data doctor {root}` says what is missing.")


@app.command("doctor")
@complain_on_input_error
def examine(
    root: Annotated[Path, typer.Argument(help="The folder to examine.", show_default=False)],
    name: Annotated[str | None, typer.Option(help="The dataset that it should be; recognised if not given.")] = None,
    images: Annotated[
        Literal["decode", "headers", "skip"],
        typer.Option(help="How closely to look at images: decode each, read their headers, or skip them."),
    ] = "decode",
    protocol: Annotated[
        list[str] | None, typer.Option(help="A protocol that must be usable; all that are there if not given.")
    ] = None,
    option: DatasetOptions = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Say whether a folder is a usable dataset, and what to do if not.

    Exit status 0 if it is usable, 1 if not, 2 if the command was called wrongly.

    Example: psbench-data doctor /data/CUHK-SYSU
    """
    from psbench_data import InputError, doctor

    try:
        options = parsed_options(option)
        report = doctor(root, name, images=images, protocols=protocol or None, progress=True, options=options)
    except InputError as error:
        tell(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    width = min(shutil.get_terminal_size().columns, 120)
    tell(report.to_json() if as_json else report.text(width))
    raise typer.Exit(report.exit_status)


@app.command()
@complain_on_input_error
def synthesize(
    format_name: Annotated[
        str,
        typer.Argument(
            metavar="FORMAT",
            help="The official format to write: cuhk_sysu, prw, lsps or movienet_cs.",
            show_default=False,
        ),
    ],
    root: Annotated[Path, typer.Argument(help="The folder to make.", show_default=False)],
    seed: Annotated[int, typer.Option(help="Equal seeds and sizes give equal bytes.")] = 0,
    official: Annotated[
        bool, typer.Option("--official", help="As many scenes, people and queries as the dataset has.")
    ] = False,
    train_scenes: Annotated[int | None, typer.Option(help="Training scenes (400).")] = None,
    test_scenes: Annotated[
        int | None, typer.Option(help="Test scenes (520); the gallery sizes below this are written.")
    ] = None,
    train_identities: Annotated[int | None, typer.Option(help="Labelled people of the training scenes (140).")] = None,
    test_identities: Annotated[int | None, typer.Option(help="Labelled people of the test scenes (100).")] = None,
    height: Annotated[int | None, typer.Option(help="Of the images, pixels (120).")] = None,
    width: Annotated[int | None, typer.Option(help="Of the images, pixels (176).")] = None,
    no_images: Annotated[bool, typer.Option("--no-images", help="Write annotations only, no pictures.")] = False,
    sheet: Annotated[
        Path | None, typer.Option(help="Also make a contact sheet (PNG) of scenes and people.", show_default=False)
    ] = None,
) -> None:
    """Draw people and scenes and write them as the dataset's authors ship theirs.

    Example: psbench-data synthesize prw drawn/prw --sheet drawn.png
    """
    from psbench_data.errors import InputError
    from psbench_data.synthetic.formats import default_spec, official_spec, write
    from psbench_data.synthetic.tree import holds

    changes: dict[str, object] = {
        name: value
        for name, value in [
            ("train_scenes", train_scenes),
            ("test_scenes", test_scenes),
            ("train_identities", train_identities),
            ("test_identities", test_identities),
        ]
        if value is not None
    }
    if (height is None) != (width is None):
        raise InputError("synthesize: give --height and --width together.")
    if height is not None and width is not None:
        changes["image_size"] = (height, width)
    if official and changes:
        raise InputError("synthesize: --official has all sizes; give it without others.")
    if sheet and no_images:
        raise InputError("synthesize: a contact sheet needs the pictures; leave --no-images out.")
    spec = official_spec(format_name, seed) if official else default_spec(format_name, seed=seed, **changes)
    # Where the sheet alone could not be written the last time, the same command does what is left.
    if sheet is None or not holds(format_name, spec, root):
        write(format_name, spec, root, images=not no_images, progress=True)
    tell(f"{root}: {spec.train_scenes} train and {spec.test_scenes} test scenes in the format of {format_name}")
    if sheet:
        from psbench_data.synthetic.sheet import contact_sheet

        contact_sheet(root, sheet)
        tell(sheet)


def _export_hf(dataset: Any, output: Path, images: bool) -> None:
    from psbench_data.exporting.hf import export_hf

    export_hf(dataset, output, embed_images=images, progress=True)


def _export_parquet(dataset: Any, output: Path, images: bool) -> None:
    from psbench_data.exporting.parquet import export_parquet

    export_parquet(dataset, output, embed_images=images, progress=True)


def _export_coco(dataset: Any, output: Path, images: bool) -> None:
    from psbench_data.exporting.coco import export_coco

    export_coco(dataset, output, copy_images=images, progress=True)


def _export_croissant(dataset: Any, output: Path, images: bool) -> None:
    from psbench_data.errors import InputError
    from psbench_data.exporting.croissant import export_croissant

    if images:
        raise InputError("export: a Croissant description holds no images; leave --with-images out.")
    export_croissant(dataset, output)


_EXPORTS: dict[str, Callable[[Any, Path, bool], None]] = {
    "coco": _export_coco,
    "hf": _export_hf,
    "parquet": _export_parquet,
    "croissant": _export_croissant,
}


@app.command()
@complain_on_input_error
def export(
    name: _Name,
    root: _Root,
    form: Annotated[str, typer.Argument(metavar="FORM", help="coco, hf, parquet or croissant.", show_default=False)],
    output: Annotated[Path, typer.Argument(help="The folder (croissant: the file) to make.", show_default=False)],
    with_images: Annotated[
        bool, typer.Option("--with-images", help="Take the images along: copied (coco) or as bytes in the tables.")
    ] = False,
    option: DatasetOptions = None,
) -> None:
    """Write a dataset in another form: COCO JSON, Hugging Face datasets, Parquet, or its Croissant description.

    The dataset's terms go with it: what may not be passed on may not be passed on in another form either.

    Example: psbench-data export prw /data/PRW-v16.04.20 coco exported/prw
    """
    from psbench_data import load
    from psbench_data.errors import InputError, near_names

    if form not in _EXPORTS:
        raise InputError(f"export does not know the form {form!r}. {near_names(form, _EXPORTS)}")
    _EXPORTS[form](load(name, root=root, **parsed_options(option)), output, with_images)
    tell(output)


if __name__ == "__main__":
    app()
