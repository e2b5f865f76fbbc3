"""One's own data as COCO JSON, with people under a key of one's own: trained, predicted and judged by the commands."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import psbench
import psbench_data
from psbench import InputError
from psbench.cli import app
from psbench.inference import predict_into
from psbench.training import Run
from psbench_data import PersonSearchDataset
from psbench_data.exporting.coco import export_coco
from tests.models.looks import Looks
from tests.models.small import SMALL
from tests.tiny_script import changed

DATA = ("--data", "coco", "-O", "person_id=track_id")


@pytest.fixture(scope="module")
def root(world: PersonSearchDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn people as a tracking dataset has them: no names of scenes, no galleries, identities as track_id."""
    root = tmp_path_factory.mktemp("own") / "data"
    export_coco(world, root, copy_images=True)
    for path in (root / "protocols").iterdir():
        path.unlink()
    for split in ("train", "test"):
        document = json.loads((root / f"{split}.json").read_text())
        rows = [
            {("track_id" if key == "person_id" else key): row[key] for key in row} for row in document["annotations"]
        ]
        images = [{key: image[key] for key in image if key != "name"} for image in document["images"]]
        (root / f"{split}.json").write_text(json.dumps({"images": images, "annotations": rows}))
    return root


def _invoke(*arguments: object, fails: bool = False) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert (result.exit_code != 0) == fails, result.output
    assert "Traceback" not in result.output
    return " ".join(result.output.split())


def test_it_is_trained_on_predicted_and_judged(root: Path, tmp_path: Path) -> None:
    small = SMALL["seqnet"] | {"pretrained": False, "score_thresh_test": 0.0}
    values = {f"model_options.{name}": value for name, value in small.items()}
    values |= {"schedule.epochs": 1, "schedule.milestones": [], "workers": 0, "execution.precision": "fp32"}
    changes = changed(values)
    _invoke("train", "seqnet", *DATA, "--root", root, "-o", tmp_path / "run", *changes)
    run = Run.load(tmp_path / "run")
    assert (run.recipe.name, run.recipe.dataset, run.record.num_identities) == ("seqnet-coco-changed", "coco", 6)
    assert "psbench train seqnet --data coco" in (run.folder / "card.md").read_text()
    _invoke("predict", run.folder, *DATA, "--root", root, "--output", tmp_path / "predictions")
    judged = _invoke("evaluate", tmp_path / "predictions", *DATA, "--root", root)
    assert "regular 8" in judged
    assert "gallery-50 8" in judged
    assert psbench.Predictions.load(tmp_path / "predictions").dataset == "coco"
    forgotten = ("evaluate", tmp_path / "predictions", "--data", "coco", "--root", root)
    assert "nobody to search for" in _invoke(*forgotten, fails=True)


def test_a_prediction_without_queries_says_why(root: Path, tmp_path: Path) -> None:
    unknown = psbench_data.load("coco", root=root)
    with pytest.raises(InputError, match="no protocol, as there is nobody to search for"):
        predict_into(Looks(), unknown, tmp_path / "predictions", progress=False)
