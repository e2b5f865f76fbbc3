"""The device, through accelerate."""

from accelerate import Accelerator

from psbench_data import InputError


def single_process() -> Accelerator:
    """An accelerator of one process in full precision, whatever accelerate's environment variables ask for.

    Raises:
        InputError: the program was started as several processes.
    """
    accelerator = Accelerator(mixed_precision="no")
    if accelerator.num_processes > 1:
        raise InputError("psbench runs in one process. Start it without `accelerate launch`.")
    return accelerator
