"""What one check found."""

from dataclasses import dataclass

RIGHT, DOUBTFUL, WRONG = "right", "doubtful", "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """A fact of the site and, where it is not right, what to change."""

    level: str
    """`RIGHT`, `DOUBTFUL` (works here or not, which cannot be told from here) or `WRONG`"""
    fact: str
    mend: str = ""

    def __str__(self) -> str:
        return f"{self.level:<9} {self.fact}" + (f"\n{'':<9} → {self.mend}" if self.mend else "")


def right(fact: str) -> Finding:
    return Finding(RIGHT, fact)


def doubtful(fact: str, mend: str) -> Finding:
    return Finding(DOUBTFUL, fact, mend)


def wrong(fact: str, mend: str) -> Finding:
    return Finding(WRONG, fact, mend)
