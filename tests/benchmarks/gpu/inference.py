"""Prediction as psbench does it, beside how the originals do it: how much faster, and with the same people found."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import box_iou

from psbench import Predictions
from psbench.efficiency.computing import all_digits, wait_for
from psbench.efficiency.detecting import score_threshold
from psbench.efficiency.subject import Subject
from psbench.inference.prediction import detect_into
from psbench.zoo import Detections, available, model_class
from psbench.zoo.images import image_tensor, to_float
from psbench_data import Scene, Scenes
from tests.benchmarks.gpu.results import Result
from tests.benchmarks.gpu.steps import drawn_people, forget, require_device

_METHOD = (
    "Images per second from JPEG files (drawn people, 1920x1080) to detections on the host, in one run on one "
    "machine. The plain path: Pillow decodes, one image at a time, eager, float32 without TF32, channels outermost. "
    "The default: psbench.inference with nothing set, its folder written. Fresh weights, with a score threshold at "
    "which 5.9 people an image are found. Agreement: the share of the plain path's detections that have one of the "
    "default's with IoU 0.9 or more, and of these the median and the 1st percentile of the embeddings' cosine."
)
TARGETS = dict.fromkeys(("seqnet", "glcnet", "nae", "oim"), 4.0) | dict.fromkeys(("pcnet", "pcnet_fast"), 3.0)
"""How many times as fast as the plain path the default is to be."""
_JOINT = tuple(name for name in available(others=False) if hasattr(model_class(name), "detect"))
_PEOPLE = 5.9
_CALIBRATED_ON = 16
_SAME = 0.9


def inference(
    device: str,
    models: Sequence[str] = _JOINT,
    *,
    options: dict[str, Any] | None = None,
    world: dict[str, Any] | None = None,
    scenes: int = 200,
    budget: float = 540,
) -> Result:
    """Measure; what is not begun after `budget` seconds is left out, and the result says so.

    Args:
        device: `cuda`, or `cpu` where there is no GPU.
        models: of the zoo, which detect.
        options: of the models.
        world: of the drawn people, what differs from `drawn_people`.
        scenes: to predict by default; the plain path predicts a quarter of them.
        budget: seconds.
    """
    require_device(device)
    end, result = time.monotonic() + budget, Result(_METHOD, figures={"left out": [], "targets": TARGETS})
    shape = {"image_size": (1080, 1920), "train_scenes": 2, "train_identities": 1, "test_scenes": scenes}
    few = {"test_identities": 3, "appearances": (2, 10), "gallery_entries": (10,)}
    with drawn_people(**shape | few | (world or {})) as dataset:
        test = dataset.split("test")
        for model in models:
            if time.monotonic() > end:
                result.figures["left out"].append(model)
                continue
            try:
                found = _compared(model, test, torch.device(device), options or {})
            # Of one model; the others can still be measured.
            except Exception as error:
                result.faults.append(f"{model}: {type(error).__name__}: {error}")
                continue
            result.figures[model] = found
            target = f", target {TARGETS[model]:.0f}" if model in TARGETS else ""
            result.tell(
                f"inference: {model:<18}plain {found['plain']:6.1f}, default {found['default']:6.1f} images/s: "
                f"{found['ratio']:.1f} times{target}; {found['matched']:.1%} the same, cosine {found['cosine']:.4f}"
            )
    return result


def _compared(model: str, scenes: Scenes, device: torch.device, options: dict[str, Any]) -> dict[str, float]:
    forget()
    subject = Subject.of(model, weights=None, options=options, data="cuhk_sysu")
    some = [to_float(image_tensor(scenes[i])).to(device) for i in range(min(_CALIBRATED_ON, len(scenes)))]
    with torch.no_grad():
        threshold = score_threshold(subject.model(score_thresh_test=0.0).to(device), some, _PEOPLE)
    few = scenes.select(np.arange(max(len(scenes) // 4, 1)))
    plain_rate, plain = _plainly(subject.model(score_thresh_test=threshold).to(device), few, device)
    default_rate, default = _by_default(subject.model(score_thresh_test=threshold), scenes)
    return {"plain": plain_rate, "default": default_rate, "ratio": default_rate / plain_rate} | _agreement(
        plain, default, few
    )


def _plainly(model: Any, scenes: Scenes, device: torch.device) -> tuple[float, list[Detections]]:
    """As the originals run: images a second, and what is found."""

    def one(scene: Scene) -> Detections:
        with Image.open(scene.path) as picture:
            pixels = np.array(picture.convert("RGB"))
        image = (torch.from_numpy(pixels).permute(2, 0, 1).contiguous().float() / 255).to(device)
        found = model.detect([image])[0]
        return Detections(found.boxes.cpu(), found.scores.cpu(), found.embeddings.cpu())

    with torch.no_grad(), all_digits():
        one(scenes[0])
        wait_for(device)
        start = time.perf_counter()
        found = [one(scene) for scene in scenes]
        wait_for(device)
    return len(scenes) / (time.perf_counter() - start), found


def _by_default(model: Any, scenes: Scenes) -> tuple[float, Predictions]:
    """As `psbench predict` runs."""
    with tempfile.TemporaryDirectory() as folder:
        detect_into(model, scenes.select(np.arange(min(16, len(scenes)))), Path(folder) / "warm", progress=False)
        start = time.perf_counter()
        detect_into(model, scenes, Path(folder) / "predictions", progress=False)
        rate = len(scenes) / (time.perf_counter() - start)
        return rate, Predictions.load(Path(folder) / "predictions")


def _agreement(plain: list[Detections], default: Predictions, scenes: Scenes) -> dict[str, float]:
    place = {name: i for i, name in enumerate(default.scene_names)}
    matched, cosines = list[Tensor](), list[Tensor]()
    for name, found in zip(scenes.names, plain, strict=True):
        rows = slice(*default.offsets[place[name] : place[name] + 2])
        boxes = torch.from_numpy(np.array(default.boxes[rows]))
        embeddings = torch.from_numpy(np.array(default.embeddings[rows]))
        iou = box_iou(found.boxes, boxes) if len(boxes) else found.boxes.new_zeros(len(found.boxes), 1)
        best, which = iou.max(dim=1)
        same = best >= _SAME
        matched.append(same)
        if same.any():
            pairs = found.embeddings[same], embeddings[which[same]]
            cosines.append(torch.nn.functional.cosine_similarity(*pairs))
    of_pairs = torch.cat(cosines) if cosines else torch.zeros(1)
    return {
        "matched": float(torch.cat(matched).float().mean()),
        "cosine": float(of_pairs.median()),
        "cosine, 1st percentile": float(of_pairs.quantile(0.01)),
    }
