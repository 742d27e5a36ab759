from espalier.results.format import numbers
from espalier.results.format.captions import Caption
from espalier.results.format.table import Table, table_of
from espalier.results.read import zoo_counts
from espalier.results.read.zoo_counts import COUNTS
from espalier.settings.registry import register


@register("table", reads="zoo")
def compactness(frame, study: dict) -> Table:
    """How much smaller each variant of a network is than the standard network."""
    data = zoo_counts.read("standards")
    for column in ("params", "macs"):
        data[f"{column}_compactness"] = 100 * (1 - data[column] / data[f"standard_{column}"])
    printed = {
        "Variant": data["name"].tolist(),
        "Settings": zoo_counts.settings(data),
        "Standard": data["standard"].tolist(),
    }
    for column, head in (("params", "params"), ("macs", "MACs")):
        pair = (f"standard_{column}", column)
        divisor, prefix = numbers.count_unit(data[list(pair)].to_numpy().ravel())
        for key, whose in zip(pair, ("Standard", "Variant"), strict=True):
            printed[f"{whose} {head} ({prefix})"] = [numbers.scaled(value, divisor, True) for value in data[key]]
        printed[f"Compactness, {head} (%)"] = [numbers.plain(value, 1) for value in data[f"{column}_compactness"]]
    return table_of(data, printed, 3)


def caption(study: dict) -> Caption:
    """What the table shows and how its numbers came about."""
    return Caption(
        "Compactness of each variant: the share that it saves of its standard variant's parameters and MACs",
        "Negative where the variant needs more.",
        "Compactness is 100 (1 − variant / standard). Standard variants are torchvision's, which are made for images "
        "of 224x224: both are counted there, for 10 classes. Variants made for small images reduce theirs later, which "
        f"costs MACs. {COUNTS}.",
    )
