"""Networks of one size by two ways: built so, or cut out of a larger one."""

from typing import TYPE_CHECKING

from espalier.results.compare.comparison import grouped
from espalier.results.read.planned_study import Study

if TYPE_CHECKING:
    import pandas as pd

WAYS = ("built", "pruned")


def sizes(frame: "pd.DataFrame", study: Study) -> "pd.DataFrame":
    """A row a configuration, ended by training or pruning, whose size both ways have reached: what `grouped` says of
    it, and its `way`; large networks first, the built one of a size before the pruned one."""
    data = grouped(frame, "configuration", study)
    pruned = frame.groupby("configuration", sort=False)["run.prune"].first().notna()
    data["way"] = pruned.map({False: WAYS[0], True: WAYS[1]})
    met = data.groupby("params")["way"].transform("nunique") == len(WAYS)
    return data[met].sort_values(["params", "way"], ascending=[False, True], kind="stable")
