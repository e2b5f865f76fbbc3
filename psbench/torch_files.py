"""Files of `torch.save` from outside: what can be told before they are read, how, and of what was in them."""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psbench_data import InputError

if TYPE_CHECKING:
    from torch import Tensor

ZIP = b"PK\x03\x04"
"""How files of torch.save begin since torch 1.6."""


def restricted_load(path: Path) -> Any:
    """What a file holds, by torch's reader that calls nothing but what is known to be safe.

    Raises:
        Exception: of any kind; of damaged files, and of those that call for more.
    """
    import torch

    # Before torch 1.6 a file says how many bytes come next, and room would be made for them, be they there or not.
    source = path if _is_archive(path) else io.BytesIO(path.read_bytes())
    with warnings.catch_warnings():
        # Of the pickle's protocol, which says nothing about whether it can be read.
        warnings.simplefilter("ignore")
        return torch.load(source, "cpu", weights_only=True)


def require_stored(path: Path, what: str, remedy: str) -> None:
    """Refuse an archive with compressed files in it, which could unfold to any size; torch.save never writes one.

    Raises:
        InputError: it is one, or a damaged one and so not what it should be; the message ends with `remedy`.
    """
    if not _is_archive(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            compressed = [m.filename for m in archive.infolist() if m.compress_type or m.file_size != m.compress_size]
    # Of a damaged file, there is no telling what zipfile raises.
    except Exception as error:
        raise InputError(f"{path}: not {what}, or a damaged one ({error}). {remedy}") from None
    if compressed:
        raise InputError(f"{path}: compressed inside, which torch.save never is. {remedy}")


def _is_archive(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(ZIP)) == ZIP


def is_plain(value: Any) -> bool:
    """Whether a value is a tensor of real numbers that is all in memory, and not one number said a billion times."""
    import torch

    return (
        isinstance(value, torch.Tensor)
        and value.layout is torch.strided
        and not (value.is_meta or value.is_quantized or value.is_complex())
        and _bytes(value) <= value.untyped_storage().nbytes()
    )


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
