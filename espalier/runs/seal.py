"""JSON files whose last entry is the SHA-256 of their text, so that any change is noticed."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from espalier.errors import Mistake

KEY = "sha256"
_SEAL = f',\n  "{KEY}": "'
"""What stands between the content and its SHA-256, which is of the text before."""


def sealed(content: Mapping[str, Any]) -> str:
    """The text of a file with this content, which is not empty."""
    head = json.dumps(content, indent=2).removesuffix("\n}")
    return f'{head}{_SEAL}{_digest(head)}"\n}}\n'


def is_intact(text: str, told: object) -> bool:
    """Whether the SHA-256 at the end of a text is that of the text before it."""
    head, _, tail = text.rpartition(_SEAL)
    return told == _digest(head) and tail == f'{told}"\n}}\n'


def read(file: Path, missing: str, damaged: str) -> dict[str, Any]:
    """The content of a file, without its SHA-256.

    Args:
        missing: what to do where there is no file, a sentence without its end
        damaged: what to do where it is not what was written

    Raises:
        Mistake: one of these two.
    """
    try:
        text = Path(file).read_bytes().decode()
        content = json.loads(text)
    except FileNotFoundError:
        raise Mistake(f"{file}: there is no such file; {missing}") from None
    except (OSError, ValueError) as error:
        raise Mistake(f"{file}: it cannot be read ({error}). {damaged}") from error
    if not isinstance(content, dict) or not is_intact(text, content.pop(KEY, None)):
        raise Mistake(f"{file}: it is damaged: its content is not what its SHA-256 says. {damaged}")
    return content


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
