"""Checkpoints as their authors released them, read without running anything that stands in them."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

from psbench.torch_files import require_stored, restricted_load
from psbench_data import InputError

_AGAIN = "Download it again."


def read_released(path: Path) -> Any:
    """What a .pth or .safetensors file holds, in general names and tensors.

    Raises:
        InputError: it cannot be read, or holds more than tensors and plain values.
    """
    from safetensors.torch import load_file

    if not path.is_file():
        raise InputError(f"{path}: there is no such file. Give the checkpoint as it was released.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        require_stored(path, "a checkpoint", _AGAIN)
        return restricted_load(path)
    except InputError:
        raise
    except pickle.UnpicklingError as error:
        if not (unsafe := re.search(r"GLOBAL (\S+)", str(error))):
            raise InputError(f"{path}: not a checkpoint. {_AGAIN}") from None
        raise InputError(
            f"{path}: holds a Python object ({unsafe[1]}) besides tensors, and reading that could run code out of the "
            "file. If you trust its origin, save its state_dict alone in a file of its own, and give that."
        ) from None
    # Of a damaged file, there is no telling what torch raises.
    except Exception as error:
        raise InputError(f"{path}: not a checkpoint ({str(error) or 'it is empty'}). {_AGAIN}") from None
