"""A name that a person can say, for a run that is otherwise known by ten digits."""

import hashlib

ADJECTIVES = (
    *("able", "amber", "ancient", "autumn", "bold", "brave", "bright", "calm", "clear", "clever", "cosy", "crisp"),
    *("curious", "daring", "dark", "deep", "early", "easy", "fair", "fancy", "fast", "fearless", "fine", "fresh"),
    *("gentle", "glad", "golden", "good", "grand", "green", "happy", "honest", "icy", "keen", "kind", "late"),
    *("light", "lively", "lucky", "mild", "misty", "modest", "neat", "noble", "old", "patient", "plain", "polar"),
    *("proud", "quick", "quiet", "rapid", "rare", "rich", "rosy", "silent", "silver", "smooth", "snowy", "solar"),
    *("steady", "sunny", "swift", "warm"),
)
NOUNS = (
    *("anchor", "apple", "bear", "bird", "bridge", "brook", "candle", "canyon", "castle", "cedar", "cloud", "comet"),
    *("coral", "dawn", "desert", "dolphin", "dragon", "eagle", "falcon", "field", "fire", "flower", "forest", "frog"),
    *("garden", "glacier", "harbour", "hill", "island", "lake", "lantern", "leaf", "lion", "maple", "meadow", "moon"),
    *("morning", "mountain", "ocean", "owl", "paper", "pebble", "pine", "planet", "pond", "rain", "river", "rocket"),
    *("rose", "sail", "sea", "shadow", "sky", "snow", "star", "stone", "storm", "stream", "sun", "tiger"),
    *("tower", "valley", "wave", "wind"),
)
_NUMBERS = 1000


def spoken_name(identifier: str) -> str:
    """A name of a run that can be spoken, such as quiet-river-217, computed from its id; the same on every machine.

    There are four million names: among a thousand runs, two share one in about one of eight studies. Only the id is
    unique.
    """
    digest = int.from_bytes(hashlib.sha256(identifier.encode()).digest()[:8])
    rest, number = divmod(digest, _NUMBERS)
    rest, adjective = divmod(rest, len(ADJECTIVES))
    return f"{ADJECTIVES[adjective]}-{NOUNS[rest % len(NOUNS)]}-{number}"
