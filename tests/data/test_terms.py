"""The terms of the datasets, and their descriptions in Croissant."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import psbench_data
from psbench_data import InputError, PersonSearchDataset
from psbench_data.cli import app
from psbench_data.exporting.croissant import croissant, export_croissant
from psbench_data.exporting.hf import to_hf
from psbench_data.exporting.parquet import export_parquet
from psbench_data.terms import print_terms, terms
from tests.conftest import EVALUATION

NAMES = ("cuhk_sysu", "prw", "lsps", "movienet_cs", "coco", "synthetic")


@pytest.fixture(scope="module", params=["cuhk_sysu", "prw", "lsps", "movienet_cs"])
def official(request: pytest.FixtureRequest) -> PersonSearchDataset:
    return psbench_data.load(request.param, root=EVALUATION / request.param)


@pytest.fixture(scope="module")
def prw() -> PersonSearchDataset:
    return psbench_data.load("prw", root=EVALUATION / "prw")


class TestCroissant:
    def test_says_what_is_required(self, official: PersonSearchDataset) -> None:
        document = croissant(official)
        assert "http://mlcommons.org/croissant/1.1" in document["conformsTo"]
        for key in ("@context", "name", "description", "license", "url", "creator", "datePublished", "citeAs"):
            assert document[key]
        for key in ("dataCollection", "personalSensitiveInformation", "dataLimitations", "dataUseCases"):
            assert document[f"rai:{key}"]
        assert "surveillance" in document["usageInfo"]["description"]

    def test_offers_no_download(self, official: PersonSearchDataset) -> None:
        assert "contentUrl" not in json.dumps(croissant(official))

    def test_fields_are_the_columns_of_the_parquet_export(self, prw: PersonSearchDataset, tmp_path: Path) -> None:
        export_parquet(prw, tmp_path / "out")
        export_croissant(prw, tmp_path / "out" / "croissant.json")
        document = json.loads((tmp_path / "out" / "croissant.json").read_text())
        sets = {each["@id"]: each for each in document["recordSet"]}
        for name, file in (("scenes", "test-00000-of-00001.parquet"), ("queries", "protocols/regular.parquet")):
            extracts = [field["source"]["extract"] for field in sets[name]["field"]]
            columns = {extract["column"] for extract in extracts if "column" in extract}
            assert columns == set(pq.read_schema(tmp_path / "out" / file).names)
        identifiers = [field["@id"] for each in sets.values() for field in each["field"]]
        assert len(set(identifiers)) == len(identifiers)
        parts = {i.removeprefix("scenes/objects/") for i in identifiers if i.startswith("scenes/objects/")}
        assert parts == set(to_hf(prw, "test").features["objects"])
        for files in document["distribution"]:
            for pattern in files["includes"]:
                assert list((tmp_path / "out").glob(pattern))

    def test_place_that_cannot_be_written_is_named(self, prw: PersonSearchDataset, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        for place in (tmp_path, tmp_path / "file/croissant.json"):
            with pytest.raises(InputError, match="cannot be written"):
                export_croissant(prw, place)

    def test_drawn_people_are_called_drawn(self, world: PersonSearchDataset) -> None:
        document = croissant(world)
        assert document["name"] == "Synthetic people"
        assert "Xiao" not in json.dumps(document)


class TestTerms:
    def test_every_dataset_has_them(self) -> None:
        assert set(NAMES) == set(psbench_data.available())
        for name in NAMES:
            its = terms(name)
            assert its.name == name
            assert its.title
            assert its.status
            assert its.obtained
            assert its.conditions

    @pytest.mark.parametrize("name", NAMES)
    def test_fit_a_terminal(self, name: str) -> None:
        text = print_terms(name)
        assert max(map(len, text.splitlines())) <= 100
        assert terms(name).url in text
        assert ("surveillance" in text) is (name != "synthetic")

    def test_unknown_name(self) -> None:
        with pytest.raises(InputError, match="Did you mean 'cuhk_sysu'"):
            terms("cuhk_sysuu")

    def test_the_command_names_everything_that_it_takes(self) -> None:
        said = CliRunner().invoke(app, ["terms", "nope"])
        names = re.findall(r"Available: (.*)\.$", said.output, re.MULTILINE)[0].split(", ")
        assert set(names) == {*NAMES, "weights"}
        assert said.exit_code == 1
        assert all(CliRunner().invoke(app, ["terms", name]).exit_code == 0 for name in names)


def test_terms_need_no_heavy_library() -> None:
    program = "import sys, psbench_data.terms; assert not {'datasets', 'torch', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
