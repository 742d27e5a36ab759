from espalier.results.compare.comparison import headed, label_columns
from espalier.results.format import numbers
from espalier.results.format.marks import starred
from espalier.results.format.table import Table, of
from espalier.results.read import evaluations
from espalier.results.read.planned_study import unit
from espalier.settings.registry import register

_HEADS = {
    "test_top1": ("Test top-1 (%)", 2),
    "confidence": ("Confidence (%)", 2),
    "ece": ("ECE (%)", 2),
    "nll": ("NLL (nats)", 4),
    "brier": ("Brier score", 4),
}


@register("table", stage="evaluate", metric="calibration")
def calibration(frame, study: dict) -> Table:
    """How sure every configuration is of its answers on the test split, and how sure it should be."""
    bins = evaluations.table(frame, study, "calibration", ()).reindex(
        columns=["configuration", "repeat", "images", "confidence"]
    )
    keys = ["configuration", "repeat"]
    sums = bins.assign(sure=bins["images"] * bins["confidence"]).groupby(keys)[["sure", "images"]].sum()
    rows = frame[[*keys, "test_top1"]].merge(evaluations.numbers(frame, study), "left", keys)
    rows = rows.merge((sums["sure"] / sums["images"]).rename("confidence").reset_index(), "left", keys)
    rows = rows.reindex(columns=[*keys, *_HEADS])
    groups = rows.groupby("configuration", sort=False)
    data = groups["test_top1"].count().rename("n").to_frame()
    cells = {}
    for name, (head, digits) in _HEADS.items():
        data[f"{name}_mean"], data[f"{name}_sd"] = groups[name].mean(), groups[name].std(ddof=1)
        pairs = zip(data[f"{name}_mean"], data[f"{name}_sd"], strict=True)
        cells[starred(head, study)] = [numbers.spread(*pair, digits) for pair in pairs]
    cells["n"] = [str(n) for n in data["n"]]
    labels = label_columns(frame, data.index, study)
    words = headed(labels, study)
    for place, (axis, column) in enumerate(labels.items()):
        data.insert(place, axis, column)
    return of(data, words | cells, len(words))


def caption(study: dict) -> str:
    """What the table shows and how its numbers came about."""
    return (
        "Confidence is the probability of the likeliest class, a mean over the test images: above top-1 a network is "
        "surer than it is right. ECE is their distance, a mean over bins of the confidence; NLL the negative "
        "log-likelihood of the right class; the Brier score the squared distance from it, from 0 to 2. Nothing was "
        f"fitted to calibrate. ± is the sample standard deviation over n repeats ({unit(study)})."
    )
