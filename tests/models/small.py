"""Options that make each model of the zoo small enough to be trained in a test."""

from typing import Any

_DETECTOR = {
    "min_size": 96,
    "max_size": 128,
    "anchor_sizes": (32, 64),
    "roi_size": 7,
    "rpn_post_nms_top_n_test": 20,
    "roi_batch_size_per_image": 8,
    "oim_queue_size": 10,
    "freeze_stem": False,
}
_C4 = {**_DETECTOR, "backbone": "test_resnet"}
_PCNET = {
    "backbone": "test_resnet",
    "freeze_stem": False,
    "freeze_norms": False,
    "min_size": 96,
    "max_size": 128,
    "anchor_sizes": (32, 64),
    "head_convs": 1,
    "pyramid_channels": 32,
    "head_width": 8,
    "embedding_dim": 16,
    "nms_thresh_test": 0.95,
    "detections_per_image": 1000,
    "oim_queue_size": 10,
}

SMALL: dict[str, dict[str, Any]] = {
    "oim": _C4,
    "oim_caffe": {**_DETECTOR, "width": 8},
    "nae": _C4,
    "nae_plus": _C4,
    "seqnet": _C4,
    "glcnet": _C4,
    "glcnet_2026": _C4,
    "pcnet": _PCNET,
    "pcnet_fast": _PCNET,
    "pcnet_multianchor": _PCNET,
}
"""By the model's name."""
