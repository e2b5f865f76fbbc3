"""The systems of the zoo as rows of tables: what they are called, and by which recipes they are trained."""

from collections.abc import Mapping
from typing import Any

from psbench.reproduction import MeasuredRow
from psbench.training import recipes

_MODELS = {
    "OIM": "oim",
    "NAE": "nae",
    "NAE+": "nae_plus",
    "SeqNet": "seqnet",
    "GLCNet": "glcnet",
    "PCNet": "pcnet",
    "PCNet†": "pcnet_multianchor",
    "PCNet, fast": "pcnet_fast",
    "IGPN": "igpn",
    "ResNet50": "reid_resnet50",
    "PCB": "reid_pcb",
}
"""Names as they are printed, and the models of the zoo."""


def demo_recipe(model: str) -> str:
    """By which a model is trained on drawn people: the short one, if there are two."""
    return short if (short := f"{model}-short") in recipes() else f"{model}-demo"


def system(name: str, row: int | None = None, **options: Any) -> MeasuredRow:
    """A system by its name, with CBGM where that ends in "+CBGM"; the options are those of `MeasuredRow`."""
    model = _MODELS[name.removesuffix("+CBGM")]
    return MeasuredRow(
        **{"method": name, "cbgm": name.endswith("+CBGM")} | options,
        row=row,
        recipe=f"{model}-{{dataset}}",
        demo_recipe=demo_recipe(model),
    )


def ranked(reid: str, keep: int | Mapping[str, int], row: int | None = None, **options: Any) -> MeasuredRow:
    """IGPN whose `keep` best proposals a re-ID network ranks, "ResNet50" or "PCB"."""
    model = _MODELS[reid]
    return system(
        "IGPN",
        row,
        **{"method": f"IGPN + {reid}"} | options,
        reid=f"{model}-{{dataset}}",
        reid_demo=f"{model}-demo",
        keep=keep,
    )
