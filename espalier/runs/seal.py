"""JSON with the SHA-256 of its own text as the last entry, so that a changed bit in it is told."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

KEY = "sha256"
_SEAL = f',\n  "{KEY}": "'
"""What stands between the content and its SHA-256, which is of the text before."""


def sealed(content: Mapping[str, Any]) -> str:
    """The text of a file with this content, which is not empty."""
    head = json.dumps(content, indent=2).removesuffix("\n}")
    return f'{head}{_SEAL}{_digest(head)}"\n}}\n'


def holds(text: str, told: object) -> bool:
    """Whether a text is what the SHA-256 that it tells of says."""
    head, _, tail = text.rpartition(_SEAL)
    return told == _digest(head) and tail == f'{told}"\n}}\n'


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
