"""Networks of one size by two ways: built so, or cut out of a larger one."""

from typing import TYPE_CHECKING

from espalier.results.compare.comparison import grouped
from espalier.results.read.planned_study import Study

if TYPE_CHECKING:
    import pandas as pd

WAYS = ("built", "pruned")


def sizes(frame: "pd.DataFrame", study: Study) -> "pd.DataFrame":
    """The configurations whose number of parameters both a built and a pruned network have: a row each.

    Columns are those of `grouped`, and `way`: `built` for a network trained at that size, or `pruned`. Large networks
    come first; of one size, the built one before the pruned one.
    """
    data = grouped(frame, "configuration", study)
    pruned = frame.groupby("configuration", sort=False)["run.prune"].first().notna()
    data["way"] = pruned.map({False: WAYS[0], True: WAYS[1]})
    met = data.groupby("params")["way"].transform("nunique") == len(WAYS)
    return data[met].sort_values(["params", "way"], ascending=[False, True], kind="stable")
