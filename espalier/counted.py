"""Numbers of things in words."""


def counted(number: int, one: str, many: str = "") -> str:
    """``1 run``, ``1,200 runs``; `many` where an s after `one` is not its plural, or where a verb follows:
    ``counted(2, "image lies", "images lie")``."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
