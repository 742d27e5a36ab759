"""What other test images would change: the difference of two configurations, paired image by image.

The interval of the seeds says how far training again may move an accuracy on the same test images. This one says how
far other images may, for the networks that there are.

Source: Agresti and Min 2005, half an image added to each outcome of a pair.
"""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from espalier.metrics import correct
from espalier.results.compare.statistics import LEVEL
from espalier.results.read.planned_study import Study
from espalier.runs import record as records

if TYPE_CHECKING:
    import pandas as pd


Answers = tuple[tuple[str, ...], np.ndarray]
"""Prepared data sets, several where there are folds, and the answers to the test images of one after the other."""


def answers(frame: "pd.DataFrame", study: Study) -> dict[Hashable, Answers]:
    """Configuration → its data sets, and the share of its seeds that classified each test image correctly.

    The shares are float (images,). Configurations whose evaluations did not write them are left out.

    Raises:
        ArtifactError: the record of an evaluation, or its file, is damaged.
    """
    if "run.evaluate" not in frame:
        return {}
    found: dict[Hashable, dict[str, list[np.ndarray]]] = {}
    chosen = frame.dropna(subset="run.evaluate")
    for label, data, run in zip(chosen["configuration"], chosen["run.prepare"], chosen["run.evaluate"], strict=True):
        record = records.read(Path(study["runs"][run]["path"]))
        if record and correct.FILE in record.written:
            found.setdefault(label, {}).setdefault(data, []).append(correct.read(record))
    return {
        label: (tuple(sorted(parts)), np.concatenate([np.mean(parts[data], axis=0) for data in sorted(parts)]))
        for label, parts in found.items()
    }


def interval(of: np.ndarray, control: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Interval in points of the mean difference of two configurations on other images like these.

    Args:
        of: share of the seeds that were right of each image, float (images,)
        control: the same of the other configuration
    """
    from scipy.special import ndtri

    apart = of - control
    # Half an image more on each of four sides: both right, both wrong, and each alone.
    count = len(apart) + 2
    mean = apart.sum() / count
    variance = ((apart**2).sum() + 1) / count - mean**2
    width = ndtri((1 + level) / 2) * np.sqrt(variance / count)
    return max(-100.0, float(100 * (mean - width))), min(100.0, float(100 * (mean + width)))


def intervals(found: Mapping[Hashable, Answers], control: Hashable | None) -> dict[Hashable, tuple[float, float]]:
    """Configuration → interval of its difference from `control`, where both were asked of the same images."""
    if control not in found:
        return {}
    data, reference = found[control]
    return {label: interval(own, reference) for label, (its, own) in found.items() if label != control and its == data}
