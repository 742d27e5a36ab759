"""Coded networks of a study, by configuration: means over repeats of what their files hold."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from espalier.results.read.bit_cells import metrics, number, rows
from espalier.results.read.planned_study import Study

if TYPE_CHECKING:
    import pandas as pd


def anatomies(frame: "pd.DataFrame", study: Study) -> "pd.DataFrame":
    """`bytes` by `configuration` (rows) and purpose (columns, in the order of the files); a mean over repeats."""
    import pandas as pd

    found = [
        {"configuration": configuration, "run": run, "purpose": row["purpose"], "bytes": number(row, "bytes")}
        for configuration, run in _coded(frame)
        for row in rows(study, run, "anatomy.csv")
        if "purpose" in row
    ]
    data = pd.DataFrame(found, columns=["configuration", "run", "purpose", "bytes"])
    files = data.pivot_table("bytes", ["configuration", "run"], "purpose", aggfunc="sum", sort=False, fill_value=0.0)
    return files.groupby(level="configuration", sort=False).mean()


def ladders(frame: "pd.DataFrame", study: Study) -> "pd.DataFrame":
    """A row a configuration and method: `n` files, mean `level_bytes` and `other_bytes`; a configuration without a
    file has one row without a method."""
    import pandas as pd

    found = []
    for configuration, run in _coded(frame):
        head = {"configuration": configuration, "run": run}
        measured = [row for row in rows(study, run, "ladder.csv") if "method" in row]
        for row in measured:
            sizes = {name: number(row, name) for name in ("level_bytes", "other_bytes")}
            found.append(head | {"method": row["method"]} | sizes)
    data = pd.DataFrame(found, columns=["configuration", "run", "method", "level_bytes", "other_bytes"])
    groups = data.groupby(["configuration", "method"], sort=False)
    sizes = groups[["level_bytes", "other_bytes"]].mean()
    sizes.insert(0, "n", groups["run"].count())
    return sizes.reset_index()


def files(frame: "pd.DataFrame", study: Study) -> "pd.DataFrame":
    """By `configuration`: mean `file_bytes`, `level_bytes`, `bound_bytes` and `compression`, and `file_bytes_sd`, the
    sample standard deviation; missing before a run."""
    import pandas as pd

    names = ("file_bytes", "level_bytes", "bound_bytes", "compression")
    found = [
        {"configuration": configuration} | {name: number(metrics(study, run), name) for name in names}
        for configuration, run in _coded(frame)
    ]
    groups = pd.DataFrame(found, columns=["configuration", *names]).groupby("configuration", sort=False)
    return groups.mean().assign(file_bytes_sd=groups["file_bytes"].std())


def _coded(frame: "pd.DataFrame") -> Iterator[tuple[int, str]]:
    chosen = frame[frame["run.encode"].notna()].drop_duplicates("run.encode")
    return zip(chosen["configuration"], chosen["run.encode"], strict=True)
