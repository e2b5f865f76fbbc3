"""Numbers that need more digits than half precision has."""

from __future__ import annotations

import torch
from torch import Tensor


def full(x: Tensor) -> Tensor:
    """A tensor of half precision in float32; any other as it is, so that a model in float64 stays there.

    Under autocast, what comes out of linear layers and convolutions is bfloat16 or float16: 8 or 11 significant bits,
    which are not enough for box arithmetic (pixels up to 1500), norms, or a softmax over thousands of classes.
    """
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def in_full_precision(x: Tensor) -> torch.autocast:
    """A context in which what is made of a tensor keeps its precision, and does so under autocast, too."""
    # Autocast does not know tensors without values.
    return torch.autocast("cpu" if x.is_meta else x.device.type, enabled=False)
