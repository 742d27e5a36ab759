"""Points of a study that its conditions and budgets leave, and whose networks can be made."""

from collections.abc import Callable, Iterator, Sequence

from espalier.plan import key_paths, model_counts, network_sizes
from espalier.plan.chain import Settings
from espalier.plan.grid import COUNTED, Constraint, has, label, matches
from espalier.plan.study import Block, Study
from espalier.settings.problems import unknown

Labels = Callable[[Settings], dict[str, str]]
"""Settings → axis → label."""
Wrong = list[tuple[tuple, str, str]]
"""(Keys in the file, key path, message) of every mistake."""


def filter_points(study: Study, resolved: Sequence[list[Settings]], labels: Labels) -> tuple[list[Settings], Wrong]:
    """The points of all blocks that are left, each once, and what is wrong with conditions, budgets and pruning.

    Args:
        resolved: the points of each block of the grid, of one where the study has none
        labels: the labels of a point
    """
    wrong: Wrong = []
    points: list[Settings] = []
    for index, (block, ours) in enumerate(zip(study.grid or (Block(),), resolved, strict=True)):
        wrong += [(("grid", index), path, key_paths.unknown_key(path)) for path in _unknown(block, ours)]
        points += _selected(block, ours, labels)
    whole, failing = _prunable(points)
    left, amiss = _affordable(whole, study.constraints)
    return list(dict.fromkeys(left)), wrong + failing + amiss


def _conditions(block: Block) -> list[dict]:
    return [*block.exclude, *(side for c in block.when for side in (c.if_, c.then))]


def _unknown(block: Block, points: list[Settings]) -> Iterator[str]:
    """Key paths of conditions that no point has."""
    for path in dict.fromkeys(path for condition in _conditions(block) for path in condition):
        if points and not any(has(settings, path) for settings in points):
            yield path


def _selected(block: Block, points: list[Settings], labels: Labels) -> Iterator[Settings]:
    conditional = bool(_conditions(block))
    for settings in points:
        named = labels(settings) if conditional else {}
        if any(matches(settings, named, item) for item in block.exclude):
            continue
        if all(matches(settings, named, c.then) for c in block.when if matches(settings, named, c.if_)):
            yield settings


def _affordable(points: list[Settings], constraints: Sequence[str]) -> tuple[list[Settings], Wrong]:
    """The points that meet every budget."""
    problems: Wrong = []
    for index, text in enumerate(constraints):
        try:
            constraint = Constraint.parse(text)
            key = constraint.key
            if key not in COUNTED and points and not any(has(p, key) for p in points):
                raise ValueError(unknown("quantity", key, [*COUNTED, *key_paths.known()]))
            counted = network_sizes.counts(points) if key in COUNTED else [{}] * len(points)
            if wrong := next((row["error"] for row in counted if "error" in row), None):
                raise ValueError(wrong)
            points = [p for p, count in zip(points, counted, strict=True) if constraint.holds(p, count)]
        except (ValueError, RuntimeError) as error:
            problems.append((("constraints", index), "constraints", str(error)))
    return points, problems


def _prunable(points: list[Settings]) -> tuple[list[Settings], Wrong]:
    """The points, those whose pruning would fail after their training taken out and told."""
    prunable = [
        point for point in points if network_sizes.checkable_pruning(point) and None not in network_sizes.shape(point)
    ]
    try:
        found = model_counts.counts(
            model_counts.Network(p.model, *network_sizes.shape(p), network_sizes.checkable_pruning(p)) for p in prunable
        )
    except RuntimeError as error:
        return points, [(("prune",), "prune", f"what it leaves cannot be counted: {error}")]
    wrong = {point: row["error"] for point, row in zip(prunable, found, strict=True) if "error" in row}
    problems: Wrong = [
        (("prune",), "prune", f"{label(point.model)}, {label(point.prune)}: {message}")
        for point, message in wrong.items()
    ]
    return [point for point in points if point not in wrong], problems
