from espalier.counted import counted
from espalier.results.format import line_ends, style
from espalier.results.format.captions import Caption
from espalier.results.format.marks import names
from espalier.results.format.protocols import untested
from espalier.results.read import bit_cells
from espalier.settings.registry import register

_MOST = 8
"""Ways of pruning that can still be told apart."""


@register("figure", stage="prune")
def rounds(frame, history, study: dict):
    """Validation top-1 after every round of pruning against the weights that it left, beside the network before
    pruning: where the rounds ended, and why."""
    pruned = frame[frame["run.prune"].notna()]
    found = {run: bit_cells.rows(study, run, "rounds.csv") for run in pruned["run.prune"]}
    done = [run for run, rows in found.items() if rows]
    if not done:
        return style.nothing(f"No pruning has a result yet ({counted(len(pruned), 'run')} planned).")
    named = names(study)
    shown = list(dict.fromkeys(pruned.loc[pruned["run.prune"].isin(done), "configuration"]))
    title = "Validation top-1 against weights left after each round of pruning"
    figure, (panel,) = style.canvas(style.PAGE, 3.0, title=title)
    for index, configuration in enumerate(shown[:_MOST]):
        runs = [run for run in pruned.loc[pruned["configuration"] == configuration, "run.prune"] if run in done]
        for place, run in enumerate(runs):
            label = {} if place else {"label": named[configuration]}
            _line(panel, _before(study, run), found[run], style.look(index), label)
    style.log(panel.xaxis)
    panel.invert_xaxis()
    panel.set_xlabel("Weights of convolutions and linear layers that are not zero (%)")
    panel.set_ylabel("Validation top-1 (%)")
    style.percent(panel.yaxis)
    notes = [style.missing(len(done), len(pruned))]
    notes += [f"The first {_MOST} of {len(shown)} ways." if len(shown) > _MOST else ""]
    style.note(figure, " ".join(filter(None, notes)))
    drawn = [line for line in panel.lines if line.get_gid() == "rounds"]
    handles, words = panel.get_legend_handles_labels()
    points = {line.get_label(): line.get_xydata() for line in handles}
    others = [line.get_xydata() for line in drawn if line not in handles]
    if not line_ends.inside(panel, points, {line.get_label(): line.get_color() for line in handles}, others):
        style.legend(figure, handles, words)
    return figure


def caption(study: dict) -> Caption:
    """What the figure shows."""
    return Caption(
        "Validation top-1 after each round of pruning, against the weights that it left",
        "A line is a run. A hollow mark ended below the floor; the last filled one is the network that is kept.",
        f"Lines begin with the network before, at 100 %. {untested(study)}",
        alt="Lines that step from 100 % of the weights to fewer; top-1 upwards",
    )


def _before(study: dict, run: str) -> float:
    return bit_cells.number(bit_cells.metrics(study, study["runs"][run]["parent"]), "validation_top1")


def _line(panel, before: float, rows: list, look: dict, label: dict) -> None:
    left = [100.0, *(100 - bit_cells.number(row, "sparsity") for row in rows)]
    top1 = [before, *(bit_cells.number(row, "validation_top1") for row in rows)]
    panel.plot(left, top1, gid="rounds", **(look | {"markersize": 4}), **label)
    below = [place for place, row in enumerate(rows, 1) if not bit_cells.number(row, "kept")]
    hollow = look | {"linestyle": "", "markerfacecolor": "white", "markersize": 4}
    panel.plot([left[place] for place in below], [top1[place] for place in below], gid="below", **hollow)
