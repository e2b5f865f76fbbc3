"""Weights on disk: what a file says of itself, what comes back from it, and what is refused."""

import dataclasses
import hashlib
import json
import pickle
import resource
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, safe_open, save_file
from typer.testing import CliRunner

import psbench
from psbench import InputError, zoo
from psbench.cli import app
from psbench.zoo.weights import describe, import_weights, load_weights, read_info, save_weights
from psbench_data import PersonSearchDataset
from tests.models.golden import Golden
from tests.models.small import JOINT, SMALL


def _save(name: str, path: Path, *, dataset: str = "cuhk_sysu", **options: bool) -> zoo.ZooModel:
    torch.manual_seed(0)
    model = zoo.create(name, num_identities=3, **SMALL[name])
    model.state_dict()["oim.table"].fill_(0.5)
    info = describe(model, name, num_identities=3, dataset=dataset, method="mine", fingerprint="abc")
    save_weights(model, path, info, **options)
    return model.eval()


def test_weights_can_be_read_by_whoever_reads_other_files(tmp_path: Path) -> None:
    _save("seqnet", tmp_path / "model.safetensors")
    (tmp_path / "other.txt").touch()
    assert len({path.stat().st_mode for path in tmp_path.iterdir()}) == 1


def test_equal_weights_are_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        _save("oim", tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with safe_open(tmp_path / "a", "pt") as file:
        assert {"format", "model", "options", "fingerprint"} <= set(file.metadata())


@pytest.mark.parametrize("name", JOINT)
def test_model_comes_back_without_being_told_anything(name: str, tmp_path: Path) -> None:
    model = _save(name, tmp_path / "model.safetensors")
    again = load_weights(tmp_path / "model.safetensors")
    assert type(again) is type(model)
    assert again.options == dataclasses.replace(model.options)
    assert not again.training
    state = again.state_dict()
    for key, value in model.state_dict().items():
        if key.startswith("oim."):
            assert not state[key].any(), key
        else:
            torch.testing.assert_close(state[key], value, rtol=0, atol=0)
    box = [torch.tensor([[10.0, 10, 50, 90]])]
    image = [torch.rand(3, 96, 128)]
    torch.testing.assert_close(again.embed(image, box), model.embed(image, box))
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_header_says_what_is_needed(tmp_path: Path) -> None:
    _save("seqnet", tmp_path / "model.safetensors")
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        header = file.metadata()
    assert json.loads(header["model"]) == "seqnet"
    assert json.loads(header["options"])["backbone"] == "test_resnet"
    assert json.loads(header["preprocessing"]) == {
        "channels": "RGB",
        "range": 1,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "min_size": 96,
        "max_size": 128,
        "padded_to": 32,
    }
    info = read_info(tmp_path / "model.safetensors")
    assert (info.num_identities, info.dataset, info.fingerprint, info.source_sha256) == (3, "cuhk_sysu", "abc", None)
    assert info.psbench == psbench.__version__


def test_identity_tables_are_kept_on_demand(tmp_path: Path) -> None:
    _save("seqnet", tmp_path / "model.safetensors", keep_tables=True)
    assert (load_weights(tmp_path / "model.safetensors").state_dict()["oim.table"] == 0.5).all()


def test_weights_of_another_model_or_dataset_are_refused(tmp_path: Path) -> None:
    _save("seqnet", tmp_path / "a.safetensors")
    load_weights(tmp_path / "a.safetensors", model="seqnet", dataset="cuhk_sysu")
    with pytest.raises(InputError, match="of the model seqnet, not of nae"):
        load_weights(tmp_path / "a.safetensors", model="nae")
    with pytest.raises(InputError, match="of the dataset cuhk_sysu, not of prw"):
        load_weights(tmp_path / "a.safetensors", dataset="prw")


def test_files_that_do_not_hold_what_they_say_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    _save("seqnet", path)
    with safe_open(path, "pt") as file:
        header = file.metadata()
    state = load_file(path)

    def refused(match: str, tensors: dict[str, torch.Tensor], changes: dict[str, str]) -> None:
        save_file(tensors, tmp_path / "b.safetensors", header | changes)
        with pytest.raises(InputError, match=match):
            load_weights(tmp_path / "b.safetensors")

    refused("not the weights of seqnet: box.0.bias", {k: v for k, v in state.items() if k != "box.0.bias"}, {})
    refused("not the weights of seqnet: extra", state | {"extra": torch.ones(1)}, {})
    refused("not the weights of seqnet: box.0.bias", state | {"box.0.bias": torch.ones(1)}, {})
    refused("its header is damaged", state, {"options": "{"})
    refused("num_identities: Input should be a valid integer", state, {"num_identities": '"many"'})
    brighter = json.loads(header["preprocessing"]) | {"mean": [0.5, 0.5, 0.5]}
    refused("need the preprocessing", state, {"preprocessing": json.dumps(brighter)})
    save_file(state, path)
    with pytest.raises(InputError, match="does not say which model"):
        load_weights(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(InputError, match="cannot be read"):
        load_weights(path)


def test_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    _save("seqnet", tmp_path / "model.safetensors")
    before = (tmp_path / "model.safetensors").read_bytes()
    least, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    # What a full disk does, to files of this process that grow beyond it.
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, most))
    try:
        with pytest.raises(OSError, match="File too large"):
            _save("seqnet", tmp_path / "model.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (least, most))
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [before]


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as SeqNet's authors released theirs, with the golden weights."""
    path = tmp_path_factory.mktemp("released") / "seqnet_cuhk.pth"
    golden = Golden("seqnet")
    state = {key: torch.as_tensor(value) for key, value in golden.state_dict.items()}
    torch.save({"model": state, "epoch": 19}, path)
    return path


def _invoke(*arguments: object, fails: bool = False) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert (result.exit_code != 0) == fails, result.output
    assert "Traceback" not in result.output
    return " ".join(result.output.split())


def test_released_checkpoint_predicts(released: Path, world: PersonSearchDataset, tmp_path: Path) -> None:
    """From the released file to predictions by two commands, with the original's embeddings."""
    sizes = ("--set", "min_size=300", "--set", "max_size=500", "--set", "rpn_post_nms_top_n_test=5")
    output = _invoke("import-weights", "seqnet", released, "--data", "cuhk_sysu", "-o", tmp_path / "weights", *sizes)
    assert "5532 identities" in output
    path = tmp_path / "weights/model.safetensors"
    assert [p.name for p in path.parent.iterdir()] == ["model.safetensors"]
    info = read_info(path)
    assert info.source_sha256 == hashlib.sha256(released.read_bytes()).hexdigest()
    assert (info.method, info.fingerprint) == ("seqnet (seqnet_cuhk.pth)", None)
    assert not [key for key in load_file(path) if key.startswith("oim")]
    golden = Golden("seqnet")
    embedded = load_weights(path).embed([golden.image(0)], [golden.boxes(0)])[0]
    torch.testing.assert_close(embedded, torch.from_numpy(golden.arrays["query_emb_0"]), rtol=0, atol=1e-4)


def test_identity_tables_are_imported_on_demand(released: Path, tmp_path: Path) -> None:
    import_weights("seqnet", released, tmp_path / "a.safetensors", dataset="cuhk_sysu", keep_tables=True)
    table = load_weights(tmp_path / "a.safetensors").state_dict()["oim.table"]
    given = torch.load(released, weights_only=True)["model"]["roi_heads.reid_loss.lut"]
    torch.testing.assert_close(table, given, rtol=0, atol=0)


class _Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "evil").mkdir()
    torch.save({"model": _Malicious(tmp_path / "ran")}, tmp_path / "evil/zip.pth")
    (tmp_path / "evil/plain.pth").write_bytes(pickle.dumps({"model": _Malicious(tmp_path / "ran")}, protocol=2))
    for path in (tmp_path / "evil").iterdir():
        output = _invoke("import-weights", "seqnet", path, "--data", "prw", "-o", tmp_path / "weights", fails=True)
        assert "besides tensors, and reading that could run code" in output
    assert [p.name for p in tmp_path.iterdir()] == ["evil"]
    # The same file does run code where it is let: the test is not about a harmless one.
    torch.load(tmp_path / "evil/zip.pth", weights_only=False)
    assert (tmp_path / "ran").exists()


def test_other_files_are_refused(released: Path, tmp_path: Path) -> None:
    (tmp_path / "page.pth").write_text("<html>not found</html>")
    to = ("--data", "cuhk_sysu", "-o", tmp_path / "weights")
    (tmp_path / "empty.pth").touch()
    (tmp_path / "cut.pth").write_bytes(released.read_bytes()[:1000])
    for name in ("page.pth", "empty.pth", "cut.pth"):
        assert "not a checkpoint" in _invoke("import-weights", "seqnet", tmp_path / name, *to, fails=True)
    assert "no such file" in _invoke("import-weights", "seqnet", tmp_path / "none.pth", *to, fails=True)
    assert "which this model does not" in _invoke("import-weights", "nae", released, *to, fails=True)
    assert "no dataset 'cuhk'" in _invoke("import-weights", "seqnet", released, *to[2:], "--data", "cuhk", fails=True)
    of_another = _invoke("import-weights", "seqnet", released, *to[2:], "--data", "prw", fails=True)
    assert "has 5532 rows, as that of cuhk_sysu, and not the 482 of prw" in of_another
    assert not (tmp_path / "weights").exists()


def test_prediction_on_other_data_has_to_be_asked_for(world: PersonSearchDataset, tmp_path: Path) -> None:
    _save("seqnet", tmp_path / "weights/model.safetensors", dataset="prw")
    arguments = ("predict", tmp_path / "weights", "--root", world.root, "--output", tmp_path / "predictions")
    output = _invoke(*arguments, fails=True)
    assert "trained on prw, not on cuhk_sysu" in output
    assert "--other-data" in output
    _invoke(*arguments, "--other-data")
    assert psbench.Predictions.load(tmp_path / "predictions").method == "mine"


def test_cost_is_printed() -> None:
    output = _invoke("cost", "seqnet", "--size", "96x128", "--set", "backbone=test_resnet")
    assert "reid_head person" in output
    assert "expected HEIGHTxWIDTH" in _invoke("cost", "seqnet", "--size", "900", fails=True)
