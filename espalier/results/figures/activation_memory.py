from espalier.results.format import style
from espalier.results.format.captions import Caption
from espalier.results.format.point_labels import place
from espalier.results.read import zoo_counts
from espalier.results.read.zoo_counts import ACTIVATIONS, IMAGES
from espalier.settings.registry import register


@register("figure", reads="zoo")
def activation_memory(frame, history, study: dict):
    """Activation memory of every network against its number of parameters."""
    from matplotlib.ticker import EngFormatter, FuncFormatter

    data = zoo_counts.at_usual_side(zoo_counts.families(zoo_counts.read("networks")))
    figure, (panel,) = style.canvas(style.PAGE, 3.4, title="Activation memory against parameters, by network")
    look = {"linestyle": "", "marker": "o", "color": style.COLOURS[0]}
    panel.plot(data["params"], data["activation_input_mib"], gid="networks", **look)
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.margins(0.06)
    panel.xaxis.set_major_formatter(EngFormatter(sep=""))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.set_xlabel("Parameters")
    panel.set_ylabel("Activation memory (MiB)")
    spots = [(xy, panel.transData) for xy in zip(data["params"], data["activation_input_mib"], strict=True)]
    place(panel, spots, data["name"].tolist())
    return figure


def caption(study: dict) -> Caption:
    """What the figure shows."""
    return Caption(
        "Activation memory against trainable parameters",
        f"Every network at its defaults, for 10 classes and {IMAGES}, or of the smallest side that it takes, if that "
        "is larger.",
        f"Activation memory is {ACTIVATIONS}.",
        alt="One point a network, parameters to the right and activation memory upwards, both on logarithmic scales",
    )
