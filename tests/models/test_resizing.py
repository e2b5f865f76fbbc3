"""Images are resized as the originals do: bilinear between four pixels, nothing smoothed before."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from psbench.zoo.layers.faster_rcnn import DetectorOptions, make_transform


def _bilinear(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Channels first; in float64, pixel centres at halves."""
    for axis, n in ((1, size[0]), (2, size[1])):
        length = image.shape[axis]
        at = ((np.arange(n) + 0.5) * length / n - 0.5).clip(0, length - 1)
        low = np.floor(at).astype(int)
        share = (at - low).reshape([-1 if a == axis else 1 for a in range(3)])
        high = np.minimum(low + 1, length - 1)
        image = image.take(low, axis) * (1 - share) + image.take(high, axis) * share
    return image


# Full HD made smaller, CUHK-SYSU's most frequent size made larger, an upright one, and one that fits as it is.
@pytest.mark.parametrize(
    ("size", "resized"),
    [((1080, 1920), (843, 1500)), ((600, 800), (900, 1200)), ((800, 600), (1200, 900)), ((900, 1500), (900, 1500))],
)
def test_resize_is_that_of_the_originals(size: tuple[int, int], resized: tuple[int, int]) -> None:
    image = torch.rand(3, *size, generator=torch.Generator().manual_seed(0))
    transform = make_transform(DetectorOptions(min_size=900, max_size=1500)).eval()
    batch, _ = transform([image])
    assert batch.image_sizes == [resized]
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (transform.image_mean, transform.image_std))
    found = batch.tensors[0, :, : resized[0], : resized[1]]
    # Their call, after their normalisation.
    theirs = F.interpolate(((image - mean) / std)[None], size=resized, mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(found, theirs, rtol=0, atol=1e-6)
    # In noise, where a pixel lies to the seventh digit shows in the fifth digit of its value.
    np.testing.assert_allclose(found * std + mean, _bilinear(image.double().numpy(), resized), atol=2e-4)
