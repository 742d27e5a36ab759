"""Randomness counted, not consumed: every random draw has a key made from what it belongs to.

A draw keyed by, say, (seed, "order", epoch) is the same whatever was drawn before it, so nothing has to be
replayed after a restart, and no process needs to know what another one drew.
"""

import hashlib
import json


def key(*words: int | str) -> int:
    """A 63-bit seed for the draw that `words` name, the same on every machine and in every version of Python.

    Words are told apart by type and by position: `key(1, 2)`, `key(12)`, `key("1", 2)` and `key(2, 1)` all differ.
    """
    if unfit := [word for word in words if type(word) not in (int, str)]:
        raise TypeError(f"a key is made of integers and text, not of {unfit[0]!r}")
    digest = hashlib.blake2b(json.dumps(words).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
