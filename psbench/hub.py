"""timm's pretrained weights: where they are fetched from, and whether they have been."""

from __future__ import annotations

import sys

_FILES = ("model.safetensors", "pytorch_model.bin")


def weights_are_cached(backbone: str) -> bool:
    """Whether the weights of a timm network are in Hugging Face's cache."""
    from huggingface_hub import try_to_load_from_cache

    place = _place(backbone)
    return place is not None and any(isinstance(try_to_load_from_cache(place, file), str) for file in _FILES)


def weights_address(backbone: str) -> str:
    """Where the weights of a timm network are fetched from, in words."""
    from huggingface_hub.constants import ENDPOINT

    place = _place(backbone)
    return f"{ENDPOINT}/{place}" if place else "nowhere, as timm knows none of that name"


def announce_fetching(backbone: str) -> None:
    """Say that weights will be fetched, unless they are there or Hugging Face's client has been told not to."""
    from huggingface_hub.constants import HF_HUB_OFFLINE

    if not HF_HUB_OFFLINE and not weights_are_cached(backbone):
        words = f"fetching the pretrained weights of {backbone} from {weights_address(backbone)}"
        print(words, file=sys.stderr, flush=True)


def _place(backbone: str) -> str | None:
    """The repository on the hub."""
    import timm

    told = timm.get_pretrained_cfg(backbone)
    place = told.hf_hub_id if told else None
    return place if isinstance(place, str) else None
