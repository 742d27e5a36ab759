"""Weights of a user's own that a network starts from: the key `checkpoint`, in short the path of a file."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Strict, model_serializer, model_validator

from espalier.settings.registry import Spec
from espalier.settings.types import AlsoWritten, Name


def _pairs(found: Any) -> Any:
    return tuple(found.items()) if isinstance(found, Mapping) else found


Pair = Annotated[tuple[str, str | None], Strict(False)]
Renames = Annotated[tuple[Pair, ...], Strict(False), BeforeValidator(_pairs), AlsoWritten("mapping")]


class Start(Spec):
    """Weights of your own that a network starts from: of a file, of a run, or of the best chain of a study."""

    file: str | None = None
    """file in safetensors, or a state dict saved by torch; `checkpoint: PATH` is short for this key alone"""
    run: Name | None = None
    """instead of a file, the run that made the weights: its id, the name of its folder, or its path"""
    study: Name | None = None
    """instead of a file, the study that made the weights, with `best: true`; all its runs must have ended"""
    best: Literal[True] | None = None
    """said with `study`: take the best seed of the configuration with the highest mean validation top-1, as
    `espalier.load` does"""
    weights: Literal["raw", "ema"] | None = None
    """which weights to take of a file that also holds their moving average (EMA); null takes the raw ones where it has
    both"""
    rename: Renames = ()
    """regular expression → what replaces it in the names of the file's tensors, one after the other; null leaves out
    tensors whose names match"""
    new_classifier: bool = False
    """start the last layer with new weights, for another number of classes"""
    new_statistics: bool = False
    """start the running statistics of normalization layers anew where the file has none; training learns them"""

    @model_validator(mode="after")
    def _one(self) -> Self:
        named = [key for key in ("file", "run", "study") if getattr(self, key) is not None]
        if len(named) != 1:
            raise ValueError(f"found {' and '.join(named) or 'none'} of file, run and study; name one of them")
        if (self.study is None) != (self.best is None):
            raise ValueError("study and best: true go together: {study: NAME, best: true}")
        return self

    @model_serializer
    def _short(self) -> str | dict[str, Any]:
        """What differs from the defaults; of a file alone its path, as it has been written since the first version."""
        given = {name: getattr(self, name) for name in type(self).model_fields}
        given = {name: value for name, value in given.items() if value != type(self).model_fields[name].default}
        return given["file"] if given.keys() == {"file"} else given


def _whole(found: Any) -> Any:
    if isinstance(found, str):
        return {"file": found}
    if isinstance(found, Mapping) and "name" in found:
        # If an override or an axis sets a key of the short form, the short form's path has been stored as `name`.
        return {"file": found["name"]} | {key: value for key, value in found.items() if key != "name"}
    return found


Checkpoint = Annotated[Start | None, BeforeValidator(_whole), AlsoWritten("text")]
"""The type of the key."""
