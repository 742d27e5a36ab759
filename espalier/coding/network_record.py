"""The metadata of a coded file: settings from which its network is rebuilt before the tensors are put in."""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from espalier.errors import Damaged
from espalier.models.facts import FORMAT
from espalier.settings.registry import choice

SCALE, ZERO_POINT = "_inputs.scale", "_inputs.zero_point"
"""Names of the tensors with the fixed qparams of the inputs of layers; no module of a network begins like that."""

_Size = Annotated[int, Field(ge=1, le=1 << 20)]
_Bits = Annotated[int, Field(ge=2, le=16)]
_Lowest = Annotated[int, Field(gt=-(1 << 16), le=0)]
_Highest = Annotated[int, Field(gt=0, lt=1 << 16)]


class Record(BaseModel):
    """Checked before anything is built from it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, protected_namespaces=())

    format: int
    model: choice("model")
    num_classes: _Size
    image_size: _Size
    floats: Literal["fp32", "fp16"]
    """type of all that is not quantized"""
    shapes: dict[str, dict[str, Any]] | None = None
    """widths after structured pruning"""
    folded: dict[str, str] = {}
    """path of a layer → path of the normalization that is folded into it"""
    activations: list[tuple[_Lowest, _Highest] | None] = []
    """for each layer, in the order of the network, the ends of its input's levels, or null; empty for no layer"""
    dynamic: list[_Bits | None] = []
    """likewise the width of an input whose qparams are chosen over each batch"""
    feed: dict[str, Any] = {}
    """how the network is fed, and the names of its classes"""

    def plain(self) -> dict[str, Any]:
        """As it is written: the network's settings in full, and of the rest what is not empty."""
        found = self.model_dump(mode="json")
        return {name: value for name, value in found.items() if value not in (None, [], {})}


def parse(found: dict[str, Any]) -> Record:
    """Check a record read from a file.

    Raises:
        Damaged: it is not one, or of another format.
    """
    if found.get("format") != FORMAT:
        raise Damaged(f"the format of its network is {found.get('format')!r:.50}, and this version reads {FORMAT}")
    try:
        return Record.model_validate_json(json.dumps(found))
    except ValidationError as error:
        first = error.errors()[0]
        raise Damaged(f"{'.'.join(map(str, first['loc']))[:200]}: {first['msg'][:200]}") from error
