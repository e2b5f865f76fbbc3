"""Torch on few threads: worker threads on two cores slow each other down."""

import os

import torch

torch.set_num_threads(min(2, int(os.environ.get("OMP_NUM_THREADS") or 2)))
