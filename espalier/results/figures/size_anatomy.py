from espalier.counted import counted
from espalier.results.format import numbers, style
from espalier.results.format.captions import Caption
from espalier.results.read import coded_files
from espalier.results.read.planned_study import short_names
from espalier.settings.registry import register

_ORDER = (
    "weights",
    "indices",
    "scales",
    "zero points",
    "other parameters",
    "checksums",
    "metadata",
    "header",
)
_MOST = 30
_HATCHES = ("", "////", "", "....", "", "xxxx", "", "\\\\\\\\")


@register("figure", stage="encode")
def size_anatomy(frame, history, study: dict):
    """What the bytes of every coded network are for: a bar for each network, the mean over its repeats."""
    parts, files = coded_files.anatomies(frame, study), coded_files.files(frame, study)
    done = int(
        frame.drop_duplicates("run.encode")["run.encode"].map(lambda run: bool(coded_files.metrics(study, run))).sum()
    )
    planned = frame["run.encode"].nunique()
    if parts.empty:
        return style.nothing(f"No coded network has a result yet ({counted(planned, 'run')} planned).", style.PAGE)
    shown = parts.iloc[:_MOST]
    title = "Bytes of the file by what they are for, by coded network"
    figure, (panel,) = style.canvas(style.PAGE, 1.0 + 0.27 * len(shown), title=title)
    left = [0.0] * len(shown)
    purposes = [name for name in _ORDER if name in shown] + [name for name in shown if name not in _ORDER]
    for purpose in purposes:
        index = purposes.index(purpose) if purpose not in _ORDER else _ORDER.index(purpose)
        widths = (shown[purpose] / 1000).tolist()
        look = {"color": style.COLOURS[index % len(style.COLOURS)], "hatch": _HATCHES[index % len(_HATCHES)]}
        panel.barh(range(len(shown)), widths, 0.68, left, label=purpose, edgecolor="white", linewidth=0.3, **look)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    own = files.reindex(shown.index)
    columns = zip(own["bound_bytes"] / 1000, left, own["file_bytes_sd"], own["compression"], strict=True)
    for row, (bound, total, sd, times) in enumerate(columns):
        for look in ({"color": "white", "linewidth": 2.6}, {"color": "black", "linewidth": 1.2, "gid": "bound"}):
            panel.plot([bound, bound], [row - 0.44, row + 0.44], solid_capstyle="butt", **look)
        size = numbers.spread(total, sd / 1000) if sd > 0 else numbers.scaled(1000 * total, 1000)
        text = f" {size} kB" + (f" ({times:.1f}×)" if times == times else "")
        panel.annotate(text, (total, row), va="center", fontsize=6.5, color=style.GREY, gid="total")
    names = short_names(study)
    panel.set_yticks(range(len(shown)), [names[number] for number in shown.index])
    panel.set_ylim(len(shown) - 0.5, -0.5)
    panel.set_xlim(0, 1.22 * max(left))
    panel.grid(axis="y", visible=False)
    panel.set_xlabel("File (kB)")
    style.legend(figure, *panel.get_legend_handles_labels())
    notes = [style.missing(done, planned)]
    if len(parts) > _MOST:
        notes.append(f"The first {_MOST} of {len(parts)} networks.")
    style.note(figure, " ".join(filter(None, notes)))
    return figure


def caption(study: dict) -> Caption:
    """What the figure shows."""
    named = "named by what differs from the baseline" if study.get("baseline") else "named by its settings"
    return Caption(
        "What the bytes of each coded network are for",
        "A bar is a file, a mean over repeats; in brackets how many times smaller it is than its chain's fp32 file. "
        "The black line: order-0 entropy.",
        f"A bar is {named}; sizes are means ± sample standard deviation, 1 kB = 1,000 bytes. Weights and indices are "
        "the stream of levels: which weights are zero, and the values of the others; the line is their entropy.",
        alt="A stacked bar for each coded file, of weights, indices, scales and all else, bytes to the right",
    )
