"""Models of other packages: how they come into the zoo, what is asked of them, and what is refused."""

import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

import psbench
from psbench import InputError, zoo
from psbench.cli import app
from psbench.inference import predict, predict_into
from psbench.training import Recipe, recipe_for, recipes, train
from psbench.zoo.cost import cost
from psbench.zoo.two_step import two_step
from psbench.zoo.weights import describe, load_weights, save_weights
from psbench_data import PersonSearchDataset
from tests.models.looks import Looks
from tests.models.small import SMALL

SEARCHER = '''
from types import SimpleNamespace
import torch
from torch import nn
from torchvision.ops import roi_align

class Searcher(nn.Module):
    """Finds two people at fixed places, and embeds by mean colours."""

    recipe = {"optimizer.lr": 0.5, "schedule.epochs": 1, "schedule.milestones": []}
    training_only = ("table.",)

    def __init__(self, num_identities: int, dim: int = 8, corner: float = 4, names: list = [], note=None):
        super().__init__()
        self.backbone = nn.Linear(3, dim)
        self.table = nn.Linear(dim, num_identities)
        self.corner = corner

    def forward(self, images, targets):
        x = torch.cat(self.embed(images, [t["boxes"] for t in targets]))
        ids = torch.cat([t["person_ids"] for t in targets])
        return {"loss_reid": nn.functional.cross_entropy(self.table(x), ids.clamp(min=0))}

    def detect(self, images):
        boxes = torch.tensor([[self.corner, 4, 40, 60], [50, 10, 80, 80.0]])
        scores = torch.tensor([0.9, 0.8])
        found = self.embed(images, [boxes] * len(images))
        return [SimpleNamespace(boxes=boxes, scores=scores, embeddings=e) for e in found]

    def embed(self, images, boxes):
        pooled = [roi_align(i[None], [b], (1, 1)).flatten(1) for i, b in zip(images, boxes)]
        return [self.backbone(of_image) for of_image in pooled]
'''
REID = """
import torch
from torch import nn
from torchvision.ops import roi_align

class ReID(nn.Module):
    def __init__(self, num_identities: int, size: tuple[int, int] = (24, 12), dim: int = 6):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, dim, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.who, self.size = nn.Linear(dim, num_identities), size

    def forward(self, images, targets):
        ids = torch.cat([t["person_ids"] for t in targets])
        return {"loss": nn.functional.cross_entropy(self.who(self.net(torch.stack(images))), ids)}

    def embed(self, images, boxes):
        return [self.net(roi_align(i[None], [b], self.size)) for i, b in zip(images, boxes)]
"""

Installer = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installer]:
    """Installs a package NAME 1.0 of one module with entry points, until the test is over."""
    modules = []

    def make(name: str, code: str, **models: str) -> None:
        folder = tmp_path / "site" / name
        (info := folder / f"{name}-1.0.dist-info").mkdir(parents=True)
        (folder / f"{name}.py").write_text(code)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        entries = "".join(f"{model} = {value}\n" for model, value in models.items())
        (info / "entry_points.txt").write_text(f"[psbench.models]\n{entries}")
        monkeypatch.syspath_prepend(folder)
        modules.append(name)

    yield make
    for name in modules:
        sys.modules.pop(name, None)


@pytest.fixture
def searcher(install: Installer) -> None:
    """The model `mine`, of the package searchers."""
    install("searchers", SEARCHER, mine="searchers:Searcher")


def _images() -> list[Tensor]:
    return list(torch.rand(2, 3, 96, 128, generator=torch.Generator().manual_seed(0)))


def test_names_are_known_without_importing_anything(searcher: None, install: Installer) -> None:
    install("broken", "raise RuntimeError('no licence')", theirs="broken:Model")
    assert zoo.available("m*") == ("mine",)
    assert {"theirs", "seqnet"} < set(zoo.available())
    assert not {"mine", "theirs"} & set(zoo.available(others=False))
    assert CliRunner().invoke(app, ["--help"]).exit_code == 0
    assert not {"searchers", "broken"} & set(sys.modules)


def test_it_is_made_as_the_zoos_own(searcher: None) -> None:
    model = zoo.create("mine", num_identities=5, dim="4")
    # Its own class, so that its own code sees nothing of this.
    from searchers import Searcher

    assert isinstance(model, Searcher)
    assert isinstance(model, zoo.PersonSearcher)
    assert type(model).__name__ == "Searcher"
    assert set(model.state_dict()) == set(Searcher(5, 4).state_dict())
    assert (model.backbone.out_features, model.options.dim, model.options.corner) == (4, 4, 4.0)
    assert (model.trains_on, model.training_only, model.preprocessing()) == ("scenes", ("table.",), {})
    assert zoo.model_class("mine") is type(model)


def test_its_options_are_checked_all_at_once(searcher: None) -> None:
    with pytest.raises(InputError, match=r"mine has no option 'dimm'. Did you mean 'dim'"):
        zoo.create("mine", num_identities=5, dimm=3, corner=2)
    with pytest.raises(InputError) as error:
        zoo.create("mine", num_identities=5, dim="many", corner="left")
    assert ["dim is 'many'" in fault or "corner is 'left'" in fault for fault in error.value.faults] == [True, True]
    with pytest.raises(InputError, match=r"mine: the options are not plain values.*dtype"):
        zoo.create("mine", num_identities=5, note=torch.float32)
    zoo.options_for("mine").names.append("somebody")
    assert zoo.options_for("mine").names == []


def test_options_come_back_from_weights_as_they_were(install: Installer, tmp_path: Path) -> None:
    code = SEARCHER.replace("note=None", "note: str = None, model_name='small', sides=(3, 4), heights: tuple = (1, 2)")
    install("loose", code, theirs="loose:Searcher")
    model = zoo.create("theirs", num_identities=2)
    about = describe(model, "theirs", num_identities=2, dataset="prw", method="theirs")
    save_weights(model, tmp_path / "model.safetensors", about)
    options = load_weights(tmp_path / "model.safetensors").options
    assert (options.note, options.model_name, options.sides, options.heights) == (None, "small", (3, 4), (1, 2))
    assert options == model.options


def test_a_dataclass_may_say_its_options(install: Installer) -> None:
    code = """
import dataclasses
from torch import nn

@dataclasses.dataclass
class Options:
    width: int = 3
    def __post_init__(self):
        if self.width < 1:
            raise ValueError("width must be positive")

class Model(nn.Module):
    options_type = Options
    def __init__(self, num_identities, options):
        super().__init__()
        self.options, self.layer = options, nn.Linear(options.width, num_identities)
    def detect(self, images): ...
    def embed(self, images, boxes): ...
"""
    install("withoptions", code, theirs="withoptions:Model")
    model = zoo.create("theirs", num_identities=2, width=7)
    assert tuple(model.layer.weight.shape) == (2, 7)
    assert model.options.width == 7
    with pytest.raises(InputError, match="theirs has no option 'depth'"):
        zoo.create("theirs", num_identities=2, depth=7)
    with pytest.raises(InputError, match=r"theirs: .*width must be positive"):
        zoo.create("theirs", num_identities=2, width=0)


def test_a_name_of_the_zoo_is_refused_and_nothing_else(install: Installer) -> None:
    install("copycat", SEARCHER, seqnet="copycat:Searcher", mine="copycat:Searcher")
    with pytest.raises(InputError, match=r"copycat 1.0 brings a model called 'seqnet', as psbench itself does"):
        zoo.create("seqnet", num_identities=2)
    assert zoo.available().count("seqnet") == 1
    assert type(zoo.create("nae", num_identities=2, **SMALL["nae"])).__name__ == "NAE"
    assert type(zoo.create("mine", num_identities=2)).__name__ == "Searcher"


def test_a_name_of_two_packages_is_refused(searcher: None, install: Installer) -> None:
    install("rivals", SEARCHER, mine="rivals:Searcher")
    with pytest.raises(InputError, match=r"(rivals 1.0 and searchers 1.0|searchers 1.0 and rivals 1.0) each bring"):
        zoo.model_class("mine")


@pytest.mark.parametrize(
    ("code", "value", "said"),
    [
        ("raise RuntimeError('no licence')", "bad:Model", r"cannot be loaded \(RuntimeError: no licence\)"),
        ("import nowhere_to_be_found", "bad:Model", "No module named 'nowhere_to_be_found'"),
        ("", "bad:Model", "AttributeError"),
        ("def Model(num_identities): ...", "bad:Model", "expected a class that derives from torch.nn.Module"),
        ("class Model:\n def detect(self, images): ...", "bad:Model", "expected a class that derives from"),
        ("from torch import nn\nclass Model(nn.Module): ...", "bad:Model", "has neither detect nor embed"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_package(
    install: Installer, searcher: None, code: str, value: str, said: str
) -> None:
    install("bad", code, theirs=value)
    with pytest.raises(InputError, match=r"bad 1.0: its model 'theirs' \(bad:Model\).*" + said):
        zoo.create("theirs", num_identities=2)
    assert zoo.create("mine", num_identities=2)
    result = CliRunner().invoke(app, ["cost", "theirs"])
    assert result.exit_code == 1
    assert "bad 1.0" in result.output
    assert "Traceback" not in result.output


def test_everything_that_is_wrong_with_a_class_is_told(install: Installer) -> None:
    code = "from torch import nn\nclass Model(nn.Module):\n trains_on = 'videos'\n def __init__(self, classes): ..."
    install("bad", code, theirs="bad:Model")
    with pytest.raises(InputError) as error:
        zoo.create("theirs", num_identities=2)
    words = ("neither detect nor embed", "num_identities", "'videos'")
    assert [word in fault for word, fault in zip(words, error.value.faults, strict=True)] == [True] * 3


def test_a_layer_must_not_hide_what_psbench_reads(install: Installer) -> None:
    code = SEARCHER.replace("self.corner = corner", "self.corner, self.preprocessing = corner, nn.Identity()")
    install("hiding", code, theirs="hiding:Searcher")
    with pytest.raises(InputError, match=r"Searcher: its attribute 'preprocessing' has a name that psbench reads"):
        zoo.create("theirs", num_identities=2)


def test_its_recipe_is_the_plain_one_with_what_it_says(searcher: None) -> None:
    recipe = recipe_for("mine-prw")
    assert (recipe.name, recipe.model, recipe.dataset) == ("mine-prw", "mine", "prw")
    assert (recipe.optimizer.lr, recipe.schedule.epochs, recipe.execution.precision) == (0.5, 1, "fp32")
    plain = Recipe(name="mine-prw", model="mine", dataset="prw")
    assert (recipe.batch_size, recipe.optimizer.momentum) == (plain.batch_size, plain.optimizer.momentum)
    for unknown in ("mine-nowhere", "mine", "yours-prw"):
        with pytest.raises(InputError, match=f"there is no recipe '{unknown}'"):
            recipe_for(unknown)


def test_a_mistyped_name_of_another_package_is_recognised(searcher: None, tmp_path: Path) -> None:
    said = _invoke("train", "mien", "--root", tmp_path, "-o", tmp_path / "run", fails=True)
    assert "there is no recipe 'mien-cuhk_sysu'. Did you mean 'mine-cuhk_sysu'" in said
    with pytest.raises(InputError, match="Did you mean 'seqnet-coco'"):
        recipe_for("seqnte-coco")
    assert "searchers" not in sys.modules


def test_values_that_are_of_no_recipe_are_refused(install: Installer) -> None:
    install("bad", SEARCHER.replace("optimizer.lr", "optimizer.rate"), theirs="bad:Searcher")
    with pytest.raises(InputError, match=r"recipe theirs-prw has no value 'optimizer.rate'"):
        recipe_for("theirs-prw")


def test_own_data_takes_the_recipes_of_cuhk_sysu() -> None:
    for name in recipes():
        if name.endswith("-cuhk_sysu"):
            own, like = recipe_for(name.replace("cuhk_sysu", "coco")), recipe_for(name)
            assert (own.model, own.dataset, own.expected) == (like.model, "coco", None)
            assert (own.optimizer, own.schedule, own.model_options) == (
                like.optimizer,
                like.schedule,
                like.model_options,
            )
    assert recipe_for("nae_plus-coco").starts_from == "nae-coco"
    assert recipe_for("reid_pcb-coco").detections_from == "oim-coco"


def test_it_trains_and_its_weights_come_back(searcher: None, world: PersonSearchDataset, tmp_path: Path) -> None:
    recipe = recipe_for("mine-cuhk_sysu").override({"batch_size": 6, "workers": 0, "ema": 0.5, "model_options.dim": 5})
    run = train(recipe, world, tmp_path / "run", progress=False)
    model = run.model()
    assert (run.record.steps, model.options.dim) == (2, 5)
    again = load_weights(tmp_path / "run/model.safetensors")
    box = [torch.tensor([[5.0, 5, 30, 30]])] * 2
    torch.testing.assert_close(again.embed(_images(), box), model.embed(_images(), box))
    # What only training needs is not in the file, so it comes back as it was made.
    assert "table.weight" not in (tmp_path / "run/model.safetensors").read_bytes().decode("latin1")


def test_weights_say_which_package_they_need(searcher: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = zoo.create("mine", num_identities=2)
    about = describe(model, "mine", num_identities=2, dataset="prw", method="mine")
    save_weights(model, tmp_path / "model.safetensors", about)
    assert load_weights(tmp_path / "model.safetensors").options == model.options
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if "searchers" not in entry])
    with pytest.raises(InputError, match=r"weights are of mine, a model of searchers 1.0. Install that package"):
        load_weights(tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="no model called 'mine', and no installed package brings one"):
        zoo.create("mine", num_identities=2)


def test_a_reid_network_alone_trains_and_embeds_what_another_detects(
    install: Installer, world: PersonSearchDataset, tmp_path: Path
) -> None:
    install("networks", REID, small_reid="networks:ReID")
    assert zoo.model_class("small_reid").trains_on == "crops"
    _invoke("train", "small_reid", "--root", world.root, "-o", tmp_path / "reid", "--set", "schedule.epochs=1",
            "--set", "schedule.milestones=[]", "--set", "workers=0", "--set", "model_options.size=[32,16]")  # fmt: skip
    detector = zoo.create("seqnet", num_identities=6, **SMALL["seqnet"] | {"score_thresh_test": 0.0})
    about = describe(detector, "seqnet", num_identities=6, dataset="cuhk_sysu", method="seqnet")
    save_weights(detector, tmp_path / "detector/model.safetensors", about)
    common = ("--root", world.root, "--protocol", "gallery-50", "--output")
    _invoke("predict", tmp_path / "detector", "--reid", tmp_path / "reid", *common, tmp_path / "both")
    both = psbench.Predictions.load(tmp_path / "both")
    assert both.embeddings.shape[1] == 6
    assert len(both.boxes)
    # The same boxes from a folder, whoever wrote it.
    _invoke("predict", tmp_path / "detector", *common, tmp_path / "alone")
    _invoke("predict", tmp_path / "reid", "--detections", tmp_path / "alone", *common, tmp_path / "given")
    given = psbench.Predictions.load(tmp_path / "given")
    np.testing.assert_array_equal(given.boxes, both.boxes)
    np.testing.assert_array_equal(given.scores, both.scores)
    np.testing.assert_allclose(given.embeddings, both.embeddings, atol=1e-5)
    alone = _invoke("predict", tmp_path / "reid", *common, tmp_path / "none", fails=True)
    assert "embeds boxes that others find" in alone
    assert "--detections" in alone


def _invoke(*arguments: object, fails: bool = False) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert (result.exit_code != 0) == fails, result.output
    assert "Traceback" not in result.output
    return " ".join(result.output.split())


def test_given_detections_must_be_of_the_same_scenes(world: PersonSearchDataset, tmp_path: Path) -> None:
    found = predict(Looks(), world, protocols=["gallery-50"], progress=False)
    keys = {"counts": [0, 0], "boxes": np.zeros((0, 4)), "scores": [], "embeddings": np.zeros((0, 3))}
    other = psbench.Predictions.from_arrays(["a.jpg", "b.jpg"], **keys, query_embeddings=np.zeros((0, 3)))
    with pytest.raises(InputError) as error:
        predict(Looks(), world, detections=other, progress=False)
    assert "2 scenes are not here, such as 'a.jpg'" in error.value.faults[0]
    assert "54 scenes are not among theirs" in error.value.faults[1]
    of_test = predict(Looks(), world, split="test", protocols=["gallery-50"], progress=False)
    with pytest.raises(InputError, match="of other scenes"):
        predict(Looks(), world, split="train", detections=of_test, progress=False)
    with pytest.raises(InputError, match="Leave ground_truth_boxes and context out"):
        predict(Looks(), world, detections=found, context=True, progress=False)


def test_with_other_detections_a_prediction_is_not_continued(world: PersonSearchDataset, tmp_path: Path) -> None:
    class Dying(Looks):
        def embed(self, images: list[Tensor], boxes: list[Tensor]) -> list[Tensor]:
            if self.dies_after is not None and self.asked["embed"] > self.dies_after:
                raise RuntimeError("out of memory")
            return super().embed(images, boxes)

    found = predict(Looks(), world, protocols=["gallery-50"], progress=False)
    other = dataclasses.replace(found, scores=found.scores / 2)
    folder = tmp_path / "predictions"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("psbench.inference.work.PIECE_ROWS", 7)
        with pytest.raises(RuntimeError, match="out of memory"):
            predict_into(Dying(20), world, folder, detections=found, progress=False)
        with pytest.raises(InputError, match=r"beginning of other predictions \(detections differ\)"):
            predict_into(Dying(), world, folder, detections=other, progress=False)
        predict_into(Dying(), world, folder, detections=found, progress=False)
    np.testing.assert_array_equal(psbench.Predictions.load(folder).scores, found.scores)


def test_training_says_what_it_misses(install: Installer, world: PersonSearchDataset, tmp_path: Path) -> None:
    silent = SEARCHER.replace("def forward", "def losses")
    lists = SEARCHER.replace('return {"loss_reid": ', "return [").replace("ids.clamp(min=0))}", "ids.clamp(min=0))]")
    bare = SEARCHER.replace('return {"loss_reid": ', "return ").replace("ids.clamp(min=0))}", "ids.clamp(min=0))")
    vectors = SEARCHER.replace("ids.clamp(min=0))}", 'ids.clamp(min=0), reduction="none")}')
    sizeless = REID.replace("size: tuple[int, int] = (24, 12), ", "").replace(
        "num_identities), size", "num_identities), 4"
    )
    for name, code, said in (
        ("silent", silent, "silent has no forward"),
        ("lists", lists, "lists: forward gave a list, not a dict of scalar losses"),
        ("bare", bare, r'bare: forward gave a tensor, not a dict of scalar losses. Return them as {"loss": loss}.'),
        ("vectors", vectors, r"vectors: forward gave a tensor \(\d+,\) as loss_reid, not a scalar loss"),
        ("sizeless", sizeless, "sizeless trains on crops and has no option size"),
    ):
        install(name, code, **{name: f"{name}:{'ReID' if code == sizeless else 'Searcher'}"})
        with pytest.raises(InputError, match=said):
            train(recipe_for(f"{name}-cuhk_sysu").override({"workers": 0}), world, tmp_path / name, progress=False)


def test_cost_asks_for_what_it_needs(searcher: None) -> None:
    with pytest.raises(InputError, match="Searcher does not say which of its layers run how often"):
        cost(zoo.create("mine", num_identities=2), 96, 128)
    with pytest.raises(InputError, match="Looks does not say"):
        cost(two_step(Looks(), Looks()), 96, 128)
    assert "a method walk" in _invoke("cost", "mine", fails=True)
    assert "mine has no option min_size, max_size, score_thresh_test" in _invoke("efficiency", "mine", fails=True)


def test_cost_is_counted_where_the_class_says_how(install: Installer) -> None:
    code = SEARCHER.replace(
        "    def forward",
        "    def walk(self, image):\n        self.backbone(image[:, 0, 0])\n        yield 'person'\n\n    def forward",
    )
    install("counted", code, theirs="counted:Searcher")
    counted = cost(zoo.create("theirs", num_identities=2, dim=7), 96, 128, people=5)
    assert counted.gmac == pytest.approx(5 * 3 * 7 / 1e9)


def test_weights_of_another_package_are_not_of_the_papers(searcher: None, tmp_path: Path) -> None:
    torch.save({}, tmp_path / "theirs.pth")
    said = _invoke("import-weights", "mine", tmp_path / "theirs.pth", "--data", "prw", "-o", tmp_path / "w", fails=True)
    assert "mine is a model of searchers 1.0" in said
    assert "save_weights" in said
