from espalier.results.compare.comparison import protocol
from espalier.results.compare.reporting_checklist import Item, items
from espalier.results.format.captions import Caption
from espalier.results.format.table import Table, table_of
from espalier.settings.registry import register


@register("table")
def checklist(frame, study: dict) -> Table:
    """The checklist for results of pruning by Blalock et al. 2020: whether the study satisfies each point, and what
    was found."""
    import pandas as pd

    found = items(frame, study)
    data = pd.DataFrame(found, columns=Item._fields)
    printed = {"Asked": data["asked"].tolist(), "Satisfied": data["met"].tolist(), "Found": data["found"].tolist()}
    return table_of(data, printed, 3)


def caption(study: dict) -> Caption:
    """What the table shows and how its numbers came about."""
    return Caption(
        "What the study satisfies of a checklist for results of pruning",
        "After Blalock et al. 2020 (arXiv 2003.03033), in other words.",
        "The control from scratch is that of Liu et al. 2019 (arXiv 1810.05270). All is found in the plan and the runs "
        "that are done. Compression is the parameters before over the non-zero ones after; MACs count zero weights "
        f"too, as they are computed. {protocol(study).partition('. ')[0]}.",
    )
