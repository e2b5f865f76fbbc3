"""Bodies and poses as columns: where the joints of many people are, and how far they reach."""

from __future__ import annotations

import numpy as np

CUTS = ("trousers", "trousers", "shorts", "skirt", "dress", "coat")
CARRIED = ("nothing", "nothing", "backpack", "handbag", "suitcase")

BODY = np.dtype([("width", "f8"), ("cut", "i1"), ("carried", "i1")])
"""What stays the same wherever a person is seen: breadth (1 is usual), position in CUTS and in CARRIED."""
POSE = np.dtype([("stride", "f8"), ("swing", "f8"), ("mirror", "i1"), ("behind", "?")])
"""How a person stands in one scene: the feet's distance, the hands' shift, left or right (-1, 1), seen from behind."""

JOINTS = (
    "shoulder-", "elbow-", "hand-", "hip-", "knee-", "ankle-", "foot-",
    "shoulder+", "elbow+", "hand+", "hip+", "knee+", "ankle+", "foot+", "hem", "carried",
)  # fmt: skip
"""`-` is the left of the unit frame, `+` the right. `hem` is the end of a skirt, dress or coat."""
LIMB_RADII = (0.035, 0.028, 0.021, 0.05, 0.038, 0.026, 0.044)
"""Half the thickness of a limb at the joints of either side, as a share of the person's height."""

_HEM_Y = {"skirt": 0.73, "dress": 0.75, "coat": 0.7}
_HEM_WIDTH = {"skirt": (0.115, 0.4), "dress": (0.125, 0.45), "coat": (0.125, 0.25)}
_CARRIED_HALF_WIDTH = {"backpack": 0.135, "handbag": 0.06, "suitcase": 0.072}
_CARRIED_FROM_HAND = {"handbag": (0.012, 0.12), "suitcase": (0.1, 0.38)}


def random_bodies(count: int, rng: np.random.Generator) -> np.ndarray:
    """(count,) BODY."""
    bodies = np.empty(count, BODY)
    bodies["width"] = rng.uniform(0.86, 1.2, count)
    bodies["cut"] = rng.integers(len(CUTS), size=count)
    bodies["carried"] = rng.integers(len(CARRIED), size=count)
    return bodies


def random_poses(count: int, rng: np.random.Generator) -> np.ndarray:
    """(count,) POSE."""
    poses = np.empty(count, POSE)
    poses["stride"] = rng.uniform(0.0, 0.1, count)
    poses["swing"] = rng.uniform(-0.05, 0.05, count)
    poses["mirror"] = 2 * rng.integers(2, size=count) - 1
    poses["behind"] = rng.random(count) < 0.35
    return poses


def skeleton(bodies: np.ndarray, poses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the joints are in the unit frame: y from 0 (crown) to 1 (soles), x from the body's axis.

    The unit frame knows neither breadth nor mirroring: multiply x by `width * mirror`.

    Returns:
        (n, len(JOINTS), 2) positions, and (n, len(JOINTS)) radii: how far each reaches to the left and right.
    """
    joints = np.zeros((len(bodies), len(JOINTS), 2))
    radii = np.zeros(joints.shape[:2])
    radii[:, : 2 * len(LIMB_RADII)] = LIMB_RADII * 2
    stride, swing = poses["stride"], poses["swing"]
    for first, side in ((0, -1), (7, 1)):
        # The leg of the negative side is the one behind: its foot is a little higher in the picture.
        back = 0.02 * (side < 0)
        for j, (x, y) in enumerate(
            [
                (side * 0.093 + 0 * stride, 0.212),
                (side * 0.128 + 0.35 * swing, 0.355),
                (side * 0.14 + swing, 0.485),
                (side * 0.047 + 0 * stride, 0.525),
                (side * (0.05 + 0.5 * stride), 0.74 - back),
                (side * (0.045 + stride), 0.945 - back),
                (side * (0.052 + stride) + 0.012, 0.976 - back),
            ]
        ):
            joints[:, first + j, 0], joints[:, first + j, 1] = x, y
    hem, carried = JOINTS.index("hem"), JOINTS.index("carried")
    for cut, (least, growth) in _HEM_WIDTH.items():
        wears = bodies["cut"] == CUTS.index(cut)
        joints[wears, hem, 1] = _HEM_Y[cut]
        radii[wears, hem] = least + growth * stride[wears]
    for thing, half_width in _CARRIED_HALF_WIDTH.items():
        has = bodies["carried"] == CARRIED.index(thing)
        radii[has, carried] = half_width
        if thing in _CARRIED_FROM_HAND:
            joints[has, carried] = joints[has, JOINTS.index("hand+")] + _CARRIED_FROM_HAND[thing]
        else:
            joints[has, carried, 1] = 0.31
    return joints, radii


def reach(bodies: np.ndarray, poses: np.ndarray) -> np.ndarray:
    """(n, 2): how far each person reaches to the left (negative) and right of its axis, in heights."""
    joints, radii = skeleton(bodies, poses)
    ends = np.stack([(joints[..., 0] - radii).min(axis=1), (joints[..., 0] + radii).max(axis=1)], axis=1)
    mirrored = np.where(poses["mirror"][:, None] > 0, ends, -ends[:, ::-1])
    return mirrored * bodies["width"][:, None]


def key_points(bodies: np.ndarray, poses: np.ndarray) -> np.ndarray:
    """(n, 16, 2): the MPII key points relative to the axis (x) and crown (y), in heights.

    Their order: right ankle, knee, hip, left hip, knee, ankle, pelvis, thorax, neck, head, right wrist, elbow,
    shoulder, left shoulder, elbow, wrist. The right of a person who faces the camera is the picture's left.
    """
    joints, _ = skeleton(bodies, poses)
    at = {name: joints[:, j] for j, name in enumerate(JOINTS)}
    middle = np.zeros((len(joints), 4, 2))
    middle[..., 1] = (0.525, 0.2, 0.15, 0.0)
    points = [at["ankle-"], at["knee-"], at["hip-"], at["hip+"], at["knee+"], at["ankle+"]]
    points += [middle[:, i] for i in range(4)]
    points += [at["hand-"], at["elbow-"], at["shoulder-"], at["shoulder+"], at["elbow+"], at["hand+"]]
    result = np.stack(points, axis=1)
    # The unit frame's - side is the picture's left, unless the person is mirrored; from behind, sides change again.
    swapped = (poses["mirror"] < 0) != poses["behind"]
    swap = [5, 4, 3, 2, 1, 0, 6, 7, 8, 9, 15, 14, 13, 12, 11, 10]
    result[swapped] = result[swapped][:, swap]
    result[..., 0] *= (poses["mirror"] * bodies["width"])[:, None]
    return result
