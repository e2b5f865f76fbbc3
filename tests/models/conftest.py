"""Torch on few threads: worker threads on two cores slow each other down."""

import torch

torch.set_num_threads(2)
