from espalier.results.compare import same_size as found
from espalier.results.format import numbers, style
from espalier.results.format.captions import Caption
from espalier.results.format.protocols import chosen
from espalier.results.read.planned_study import headline, headline_words
from espalier.settings.registry import register


@register("figure", stage="prune")
def equal_size(frame, history, study: dict):
    """Top-1 against parameters of networks built small and of networks pruned to the same size, pair by pair."""
    measure = headline(study)
    data = found.sizes(frame, study)
    data = data[data[f"{measure}_mean"].notna()]
    if data.empty:
        return style.nothing("No network is built and pruned to one size yet.", style.PAGE)
    divisor, unit = numbers.count_unit(data["params"])
    title = f"{headline_words(study, '')} against parameters, built small or pruned to size"
    figure, (panel,) = style.canvas(style.PAGE, 3.2, title=title)
    for _, pair in data.groupby("params"):
        panel.plot(pair["params"] / divisor, pair[f"{measure}_mean"], color=style.GREY, linewidth=0.7, gid="pair")
    for index, (way, part) in enumerate(data.groupby("way", sort=False)):
        look, x = style.look(index) | {"linestyle": ""}, part["params"] / divisor
        style.intervals(panel, x, part[f"{measure}_low"], part[f"{measure}_high"], look["color"])
        panel.plot(x, part[f"{measure}_mean"], label=way, gid=way, **look)
    style.log(panel.xaxis)
    panel.set_xlabel(f"Parameters ({unit})" if unit else "Parameters")
    panel.set_ylabel(headline_words(study))
    style.percent(panel.yaxis)
    style.legend(figure, *panel.get_legend_handles_labels())
    style.note(figure, style.unfinished(frame, measure))
    return figure


def caption(study: dict) -> Caption:
    """What the figure shows."""
    split = "Test" if headline(study) == "test_top1" else "Validation"
    return Caption(
        f"{split} top-1 against parameters: networks built so, and larger ones pruned to the same number",
        "A line joins the two of a size; the bar of a mark is its 95 % interval over seeds.",
        f"A mark is the mean over a configuration's repeats; an interval needs two or more. {chosen(study)}",
        alt="Pairs of marks at the same number of parameters, joined by a line; top-1 upwards",
    )
