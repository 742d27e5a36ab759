"""All images of a source with its authors' splits, and the data set that a study's settings make of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from espalier.data.images import Images
from espalier.data.prepared import Dataset
from espalier.data.splits import portion, stratified, validated
from espalier.errors import DataError
from espalier.settings.problems import unknown

_TENTH = 0.1


@dataclass(frozen=True)
class Collection:
    """What a source holds, whole."""

    images: Images
    labels: np.ndarray
    """int64 (N,), indices into `classes`"""
    classes: tuple[str, ...]
    official: Mapping[str, np.ndarray]
    """train, test and perhaps validation → indices of its images; empty where the source has no splits"""

    @classmethod
    def of_parts(cls, images: Images, parts: Mapping[str, Sequence[int]], classes: Sequence[str]) -> "Collection":
        """Images that lie split after split, with each one's labels."""
        labels = np.concatenate([np.asarray(part, np.int64) for part in parts.values()])
        ends = np.cumsum([len(part) for part in parts.values()])
        places = np.split(np.arange(len(labels)), ends[:-1])
        return cls(images, labels, tuple(classes), dict(zip(parts, places, strict=True)))

    def arranged(
        self,
        *,
        keep: tuple[int | str, ...] | None,
        split: str,
        validation: float,
        split_seed: int,
        fraction: float,
    ) -> Dataset:
        """The data set of the kept classes, split, with `fraction` of its train split; the other splits stay whole.

        Raises:
            DataError: the settings do not fit the source or each other.
        """
        kept = self if keep is None else self._keeping(keep)
        splits = kept._tenths(validation, split_seed) if split == "80/10/10" else kept._official(validation, split_seed)
        if fraction < 1:
            splits["train"] = portion(kept.labels, splits["train"], fraction=fraction, seed=split_seed)
        return Dataset(
            images=kept.images,
            labels=torch.from_numpy(kept.labels),
            splits={name: torch.from_numpy(part) for name, part in splits.items()},
            classes=kept.classes,
        )

    def _keeping(self, keep: tuple[int | str, ...]) -> "Collection":
        """Labels renumbered in the order of `keep`; images of other classes are labelled -1 and in no split."""
        chosen = [self._number(one) for one in keep]
        if len(set(chosen)) < len(chosen):
            raise DataError(f"dataset.keep names a class twice: {', '.join(self.classes[one] for one in chosen)}")
        numbers = np.full(len(self.classes), -1)
        numbers[chosen] = np.arange(len(chosen))
        labels = numbers[self.labels]
        official = {name: part[labels[part] >= 0] for name, part in self.official.items()}
        return replace(self, labels=labels, classes=tuple(self.classes[one] for one in chosen), official=official)

    def _number(self, named: int | str) -> int:
        if isinstance(named, str):
            if named not in self.classes:
                raise DataError(f"dataset.keep: {unknown('class', named, self.classes)}")
            return self.classes.index(named)
        if named >= len(self.classes):
            raise DataError(f"dataset.keep: no class {named}; the {len(self.classes)} classes are numbered from 0")
        if str(named) in self.classes and self.classes[named] != str(named):
            raise DataError(
                f"dataset.keep: {named} is the number of class {self.classes[named]} and the name of another; "
                "write names, each in quotes"
            )
        return named

    def _tenths(self, validation: float, seed: int) -> dict[str, np.ndarray]:
        if validation != _TENTH:
            raise DataError(f"dataset.validation {validation} contradicts dataset.split 80/10/10; leave one out")
        places = np.flatnonzero(self.labels >= 0)
        splits = stratified(self.labels[places], validation=_TENTH, test=_TENTH, seed=seed)
        return {name: places[part] for name, part in splits.items()}

    def _official(self, validation: float, seed: int) -> dict[str, np.ndarray]:
        if not self.official:
            raise DataError("dataset.split: official needs train and test parts in the source; use 80/10/10")
        if "validation" in self.official:
            if validation != _TENTH:
                raise DataError(f"dataset.validation {validation} contradicts the source's own part; leave it out")
            return dict(self.official)
        cut = validated(self.labels, self.official["train"], validation=validation, seed=seed)
        return {**cut, "test": self.official["test"]}
