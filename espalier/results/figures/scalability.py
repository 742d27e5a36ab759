from espalier.results.format import line_ends, style
from espalier.results.format.captions import Caption
from espalier.results.read import zoo_counts
from espalier.results.read.zoo_counts import COUNTS, IMAGES, LAYERS
from espalier.settings.registry import register
from espalier.settings.types import Literal

_PALE = "#B5B5B5"
_JOINED = {"linestyle": "-", "markersize": 3, "linewidth": 1.0}
_PANELS = {"params": "Parameters", "macs": "MACs"}


@register("figure", reads="zoo")
def scalability(frame, history, study: dict, *, by: Literal["image_size", "depth"] = "image_size"):
    """How parameters and multiply-accumulates of every network grow with its images, or with its depth.

    Args:
        by: what grows: the side of the images, or the network's layers
    """
    return _by_image_size() if by == "image_size" else _by_depth()


def caption(study: dict, *, by: str) -> Caption:
    """What the figure shows."""
    if by == "image_size":
        return Caption(
            "Scalability with the input: parameters and MACs against the side of the images",
            "Every network at its defaults, for 10 classes. Coloured: networks whose parameters grow with the image.",
            f"Lines start at the smallest side drawn that a network takes. {COUNTS}.",
            alt="Two panels of lines over the side of the images: parameters and MACs, on logarithmic scales",
        )
    return Caption(
        "Scalability with depth: parameters and MACs against layers",
        f"Each line is a family, for 10 classes and {IMAGES}; all settings but the depth are its defaults.",
        f"Parameters are the trainable ones. {LAYERS}. {COUNTS}.",
        alt="Two panels of lines over the number of layers: parameters and MACs, on logarithmic scales",
    )


def _by_image_size():
    networks = dict(list(zoo_counts.families(zoo_counts.read("networks")).groupby("name", sort=False)))
    growing = [name for name, rows in networks.items() if rows["params"].iloc[-1] > rows["params"].iloc[0]]
    title = "Parameters and MACs against the side of the image, by network"
    figure, panels = style.canvas(style.PAGE, 4.2, 2, title)
    for panel, (column, label) in zip(panels, _PANELS.items(), strict=True):
        colours = []
        for name, rows in networks.items():
            look = style.look(growing.index(name)) if name in growing else {"color": _PALE, "linewidth": 0.8}
            colours.append(look["color"] if name in growing else style.GREY)
            panel.plot(rows["image_size"], rows[column], gid=name, markevery=[-1], zorder=2 + (name in growing), **look)
        _logarithmic(panel, (16, 32, 64, 128, 224))
        panel.set_xlabel("Image side (pixels)")
        panel.set_title(label, loc="left")
        ends = [(rows["image_size"].iloc[-1], rows[column].iloc[-1]) for rows in networks.values()]
        line_ends.name(panel, ends, list(networks), colours)
    return figure


def _by_depth():
    rows = zoo_counts.read("depth")
    several = rows.groupby("name")["setting"].nunique()
    series = {
        name if several[name] == 1 else f"{name}, {setting}": group.sort_values("layers", kind="stable")
        for (name, setting), group in rows.groupby(["name", "setting"], sort=False)
    }
    title, named = "Parameters and MACs against layers, by family of networks", True
    figure, panels = style.canvas(style.PAGE, 4.4, 2, title)
    for panel, (column, label) in zip(panels, _PANELS.items(), strict=True):
        looks = [style.look(index) | _JOINED for index in range(len(series))]
        for (name, group), look in zip(series.items(), looks, strict=True):
            panel.plot(group["layers"], group[column], gid=name, **look)
        _logarithmic(panel, (2, 5, 10, 20, 50, 100, 200))
        panel.set_xlabel("Layers")
        panel.set_title(label, loc="left")
        points = {name: group[["layers", column]].to_numpy(float) for name, group in series.items()}
        colours = {name: look["color"] for name, look in zip(series, looks, strict=True)}
        named = line_ends.inside(panel, points, colours, size=6.0) and named
    if not named:
        style.legend(figure, [line for line in panels[0].lines if line.get_gid() in series], list(series))
    return figure


def _logarithmic(panel, sides: tuple[int, ...]) -> None:
    from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xticks(sides, [str(side) for side in sides])
    panel.xaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_locator(LogLocator(numticks=12))
    panel.yaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_formatter(EngFormatter(sep=""))
