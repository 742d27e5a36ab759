"""All images of a source with its authors' splits, and the data set that a study's settings make of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from espalier.counted import counted
from espalier.data.class_counts import by_split, check
from espalier.data.images import Images
from espalier.data.prepared import Dataset
from espalier.data.splits import folded, portion, stratified, validated
from espalier.errors import DataError
from espalier.settings.problems import unknown
from espalier.settings.types import Folds

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
    groups: np.ndarray | None = None
    """int64 (N,): images of one number stay in one split, where splits are drawn"""
    group_names: tuple[str, ...] = ()
    """their names by number"""

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
        split: str | Folds,
        validation: float,
        split_seed: int,
        fraction: float,
    ) -> Dataset:
        """The data set of the kept classes, split, with `fraction` of its train split; the other splits stay whole.

        Raises:
            DataError: the settings do not fit the source or each other.
        """
        kept = self if keep is None else self._keeping(keep)
        if isinstance(split, Folds):
            splits = kept._fold(split, validation, split_seed)
        elif split == "80/10/10":
            splits = kept._tenths(validation, split_seed)
        else:
            splits = kept._official(validation, split_seed)
        splits = {name: splits[name] for name in ("train", "validation", "test")}
        check(by_split(kept.labels, splits, len(kept.classes)), kept.classes)
        kept._apart(splits)
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
        splits = stratified(self.labels[places], validation=_TENTH, test=_TENTH, seed=seed, **self._about(places))
        return {name: places[part] for name, part in splits.items()}

    def _fold(self, split: Folds, validation: float, seed: int) -> dict[str, np.ndarray]:
        places = np.flatnonzero(self.labels >= 0)
        own = self._about(places)
        splits = folded(self.labels[places], **split.model_dump(), validation=validation, seed=seed, **own)
        return {name: places[part] for name, part in splits.items()}

    def _apart(self, splits: Mapping[str, np.ndarray]) -> None:
        """Refuse splits of which two have images of one group."""
        if self.groups is None:
            return
        seen: dict[int, str] = {}
        both = {}
        for name, part in splits.items():
            for group in np.unique(self.groups[part]).tolist():
                if (first := seen.setdefault(group, name)) != name:
                    both[group] = (first, name)
        if both:
            group, (first, second) = next(iter(both.items()))
            raise DataError(
                f"{counted(len(both), 'group is', 'groups are')} in two splits, such as {self.group_names[group]} in "
                f"{first} and {second}; "
                "leave dataset.split out, which keeps groups together"
            )

    def _about(self, places: np.ndarray) -> dict[str, Any]:
        return {"classes": self.classes, "groups": None if self.groups is None else self.groups[places]}

    def _official(self, validation: float, seed: int) -> dict[str, np.ndarray]:
        if not self.official:
            raise DataError("dataset.split: official needs train and test parts in the source; use 80/10/10")
        if "validation" in self.official:
            if validation != _TENTH:
                raise DataError(f"dataset.validation {validation} contradicts the source's own part; leave it out")
            return dict(self.official)
        own = {"classes": self.classes, "groups": self.groups}
        cut = validated(self.labels, self.official["train"], validation=validation, seed=seed, **own)
        return {**cut, "test": self.official["test"]}
