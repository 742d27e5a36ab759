from espalier.results.compare.comparison import spread_words
from espalier.results.compare.configuration_table import labelled, spreads
from espalier.results.format.captions import Caption
from espalier.results.format.table import Table
from espalier.results.read import evaluations
from espalier.settings.registry import register

_HEADS = {
    "test_top1": "Test top-1 (%)",
    "confidence": "Confidence (%)",
    "ece": "ECE (%)",
    "nll": "NLL (nats)",
    "brier": "Brier score",
}
_DIGITS = {"nll": 4, "brier": 4}


@register("table", stage="evaluate", metric="calibration")
def calibration(frame, study: dict) -> Table:
    """Confidence of every configuration on the test split beside its top-1, with ECE, NLL and Brier score where the
    study measures them."""
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
    columns, cells = spreads(groups, _HEADS, study, _DIGITS)
    cells["n"] = [str(n) for n in data["n"]]
    return labelled(data.assign(**columns), cells, frame, study)


def caption(study: dict) -> Caption:
    """What the table shows and how its numbers came about."""
    return Caption(
        "Top-1 and confidence on the test images",
        f"A network whose confidence is above its top-1 is surer than it is right. {spread_words(study)}",
        "Confidence is the probability of the likeliest class, a mean over the test images. ECE is its distance from "
        "top-1, a mean over bins of the confidence; NLL the negative log-likelihood of the right class; the Brier "
        "score the squared distance from it, from 0 to 2. Nothing was fitted to calibrate.",
    )
