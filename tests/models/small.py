"""Options that make each model of the zoo small enough to be trained in a test."""

from typing import Any

from psbench import zoo

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
_IGPN = {
    "backbone": "test_resnet",
    "freeze_norms": False,
    "min_size": 96,
    "max_size": 128,
    "query_size": (96, 32),
    "anchor_sizes": (16, 32, 64),
    "correlation_width": 16,
    "relation_width": 16,
    "local_width": 16,
}
_REID = {"backbone": "test_resnet", "size": (64, 48)}

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
    "igpn": _IGPN,
    "reid_resnet50": {**_REID, "embedding_dim": 16},
    "reid_pcb": {**_REID, "stripes": 3, "reduced_dim": 8},
}
"""By the model's name."""
JOINT = tuple(name for name in zoo.available() if issubclass(zoo.model_class(name), zoo.JointModel))
"""The models that detect and embed in one."""
