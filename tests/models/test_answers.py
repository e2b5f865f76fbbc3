"""What models that somebody brings answer: what is used of it, and what is refused, in which words."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import psbench
from psbench import InputError, zoo
from psbench.inference import predict, predict_into
from psbench.zoo.two_step import two_step
from psbench_data import PersonSearchDataset
from tests.models.looks import Looks


class _Foreign(nn.Module):
    """What somebody may bring, with some of it not as it should be."""

    def __init__(self, detections: Any = None, embeddings: Any = None) -> None:
        super().__init__()
        self.detections, self.embeddings = detections, embeddings

    def detect(self, images: list[Tensor]) -> Any:
        return self.detections

    def embed(self, images: list[Tensor], boxes: list[Tensor]) -> Any:
        return [torch.ones(len(b), 3) for b in boxes] if self.embeddings is None else self.embeddings


def _found(boxes: int = 2, scores: int = 2, columns: int = 4) -> zoo.Detections:
    return zoo.Detections(torch.ones(boxes, columns), torch.ones(scores), torch.ones(2, 3))


@pytest.mark.parametrize(
    ("detections", "said"),
    [
        (
            [{"boxes": torch.zeros(0, 4), "scores": torch.zeros(0)}],
            r"detect: got a dict; expected psbench.zoo.Detections\(boxes=..., scores=..., embeddings=...\), or another",
        ),
        (
            [SimpleNamespace(boxes=torch.zeros(0, 4), scores=torch.zeros(0))],
            "detect: got a types.SimpleNamespace without embeddings; expected psbench.zoo.Detections",
        ),
        (
            [zoo.Detections(np.zeros((0, 4)), torch.zeros(0), torch.zeros(0, 3))],
            r"detect: expected torch tensors, got boxes: a numpy.ndarray, scores: a tensor \(0,\), embeddings",
        ),
        ([], "detect gave a list of 0 for 1 image, expected a list with one psbench.zoo.Detections"),
        (None, "detect gave nothing for 1 image"),
        ([_found(boxes=3)], r"detect gave boxes \(3, 4\), scores \(2,\), embeddings \(2, 3\), expected boxes \(n, 4\)"),
        ([_found(columns=5)], r"detect gave boxes \(2, 5\)"),
    ],
)
def test_detections_in_another_form_are_told(world: PersonSearchDataset, detections: Any, said: str) -> None:
    with pytest.raises(InputError, match=r"^_Foreign." + said):
        predict(_Foreign(detections), world, progress=False)


@pytest.mark.parametrize(
    ("embeddings", "said"),
    [
        ([torch.ones(7, 3)], r"gave a tensor \(7, 3\) for 1 box, expected a torch tensor \(1, D\)"),
        ([torch.ones(3)], r"gave a tensor \(3,\) for 1 box"),
        ([np.ones((1, 3))], "gave a numpy.ndarray for 1 box, expected a torch tensor"),
        (
            torch.ones(1, 3),
            r"gave a tensor \(1, 3\) for 1 image, expected a list with one tensor \(n, D\) an image",
        ),
    ],
)
def test_embeddings_in_another_form_are_told(world: PersonSearchDataset, embeddings: Any, said: str) -> None:
    with pytest.raises(InputError, match=r"^_Foreign.embed " + said):
        predict(_Foreign([_found()], embeddings), world, progress=False)


def test_wrong_answers_are_told_before_anything_is_written(world: PersonSearchDataset, tmp_path: Path) -> None:
    """Those about queries, too, which are asked for after all scenes."""

    class Unlike(Looks):
        def embed(self, images: list[Tensor], boxes: list[Tensor]) -> list[Tensor]:
            return [rows[:, :3] for rows in super().embed(images, boxes)]

    class Deaf(Looks):
        def detect(self, images: list[Tensor], include: list[Tensor] | None = None) -> list[zoo.Detections]:
            return super().detect(images)

    class Hesitant(Looks):
        def detect(self, images: list[Tensor], include: list[Tensor] | None = None) -> list[zoo.Detections]:
            found = super().detect(images, include)
            for one in found:
                one.scores[: len(include[0]) if include else 0] = 0.9
            return found

    first = "the first boxes are not those of include. Give them first, unchanged, with score 1."
    dicts, bare = two_step(_Foreign([{"boxes": 3}]), Looks()), two_step(Looks(), _Foreign(None, torch.ones(1, 3)))
    for model, context, said in (
        (Unlike(), False, "Unlike.embed gives embeddings of 3 numbers, Unlike.detect of 4. They are compared by their"),
        (Deaf(), True, f"Deaf.detect: {first}"),
        (Hesitant(), True, f"Hesitant.detect: {first}"),
        (two_step(Deaf(), Looks()), True, f"Deaf.detect: {first}"),
        (dicts, False, "_Foreign.detect: got a dict; expected psbench.zoo.Detections(boxes=..., scores=...), or"),
        (bare, False, "_Foreign.embed gave a tensor (1, 3) for 1 image"),
    ):
        with pytest.raises(InputError) as error:
            predict_into(model, world, tmp_path / "predictions", context=context, progress=False)
        assert error.value.faults[0].startswith(said)
        assert not (tmp_path / "predictions").exists()


def test_lengths_that_were_not_seen_at_first_are_told_in_the_end(world: PersonSearchDataset, tmp_path: Path) -> None:
    """Nobody was found in the first query's scene."""

    class Late(Looks):
        def detect(self, images: list[Tensor], include: list[Tensor] | None = None) -> list[zoo.Detections]:
            found = super().detect(images, include)
            return (
                found
                if self.asked["detect"] > 1
                else [zoo.Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, 9))]
            )

        def _look(self, image: Tensor, known: Tensor) -> zoo.Detections:
            found = super()._look(image, known)
            return zoo.Detections(found.boxes, found.scores, found.embeddings[:, :2])

    with pytest.raises(InputError, match=r"Late.embed gives embeddings of 4 numbers, Late.detect of 2"):
        predict_into(Late(), world, tmp_path / "predictions", progress=False)
    with pytest.raises(InputError, match="not finished"):
        psbench.Predictions.load(tmp_path / "predictions")


def test_a_model_that_only_predicts_predicts(world: PersonSearchDataset) -> None:
    class Scoreless(_Foreign):
        def forward(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
            raise NotImplementedError("trained elsewhere")

    found = predict(Scoreless([_found()]), world, progress=False)
    assert found.counts.tolist() == [2] * 54
    with pytest.raises(InputError, match=r"context: Scoreless.detect takes no known boxes"):
        predict(Scoreless([_found()]), world, context=True, progress=False)
    with pytest.raises(InputError, match=r"context: Scoreless.detect takes no known boxes"):
        predict(two_step(Scoreless(), Looks()), world, context=True, progress=False)


def test_a_detector_alone_is_told_what_embedding_is_for(world: PersonSearchDataset) -> None:
    class Detector(nn.Module):
        def detect(self, images: list[Tensor]) -> None: ...

    with pytest.raises(InputError) as error:
        predict(Detector(), world, progress=False)
    [said] = error.value.faults
    assert said.startswith("Detector has no method embed. It says who is in known boxes, as queries are")
    assert "detections" not in said


def test_what_is_no_module_is_refused(world: PersonSearchDataset, tmp_path: Path) -> None:
    class Plain:
        detect, embed = _Foreign.detect, _Foreign.embed

    with pytest.raises(InputError, match=r"Plain is no torch.nn.Module"):
        predict_into(Plain(), world, tmp_path / "predictions")
    assert not (tmp_path / "predictions").exists()


def test_two_foreign_networks_search_in_two_steps(world: PersonSearchDataset) -> None:
    both = two_step(_Foreign([_found()]), Looks())
    found = predict(both, world, progress=False)
    plain = predict(Looks(), world, progress=False)
    assert found.boxes.shape == (108, 4)
    np.testing.assert_array_equal(found.query_embeddings, plain.query_embeddings)
    assert both.preprocessing() == {"detector": {}, "reid": {}}
