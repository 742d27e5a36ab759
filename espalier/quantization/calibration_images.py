"""Training images that a scheme may look at."""

from itertools import islice

from torch import Tensor

from espalier.data.policy import Policy
from espalier.data.resident import Resident

BATCH = 128


def calibration_batches(data: Resident, images: int, seed: int) -> list[Tensor]:
    """Normalized, unaugmented images of the train split, float32 (b, C, H, W), drawn by `seed`, without labels."""
    images = min(images, data.size("train"))
    drawn = data.train_batches(Policy(), epoch=1, seed=seed, batch_size=BATCH)
    batches = [batch.inputs for batch in islice(drawn, -(-images // BATCH))]
    batches[-1] = batches[-1][: images - BATCH * (len(batches) - 1)]
    return batches
