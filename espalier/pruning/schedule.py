"""How much is pruned when."""


def cubic(initial: float, final: float, step: int, begin: int, end: int) -> float:
    """Sparsity at a step, which grows fast while much is redundant, then ever slower.

    Zhu & Gupta 2017, arXiv 1710.01878: `initial` up to the step `begin`, `final` from the step `end` on.
    """
    if end <= begin:
        raise ValueError(f"the schedule ends at step {end}, before or where it begins, {begin}")
    left = 1 - min(max((step - begin) / (end - begin), 0.0), 1.0)
    return final + (initial - final) * left**3
