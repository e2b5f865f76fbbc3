"""Whether this installation can work: versions, and the pair of torch and torchvision."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from psbench_data import InputError

_ZOO = ("torch", "torchvision", "timm", "accelerate", "safetensors")
_PACKAGES = ("psbench", "numpy", "scipy", "pyarrow", *_ZOO)


def require_zoo() -> None:
    """Check that the packages of the extra `zoo` are installed.

    Raises:
        InputError: naming those that are missing.
    """
    missing = [package for package in _ZOO if _version(package) is None]
    if missing:
        raise InputError(
            f"models need {', '.join(missing)}, which this installation of psbench lacks (judging works without). "
            "Install psbench with the extra zoo: pip install 'psbench[zoo]', or pip install '.[zoo]' in a clone."
        )


def diagnose() -> tuple[list[str], bool]:
    """Lines to print, and whether all is well.

    An installation without the extra `zoo` is well: it judges predictions.
    """
    versions = {package: _version(package) for package in _PACKAGES}
    lines = [f"{package:<12} {found or 'not installed'}" for package, found in versions.items()]
    if versions["torch"] is None and versions["torchvision"] is None:
        return [*lines, "", "Judging works. For models and training, install the extra `zoo`."], True
    try:
        import torch
        import torchvision

        # torchvision registers its operators in torch; a pair that does not fit fails only here.
        torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    except (ImportError, RuntimeError) as error:
        remedy = (
            "torch and torchvision are released in pairs, and these two are not one. Install both together, unpinned, "
            "into a fresh environment: pip install torch torchvision"
        )
        return [*lines, "", f"torch and torchvision do not fit together ({error}).", remedy], False
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU only"
    return [*lines, "", f"torch and torchvision fit together; {device}"], True


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
