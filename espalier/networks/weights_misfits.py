"""Why the weights of a file are not those of a network: each reason by its name, each with its own mend."""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING

from espalier.counted import counted

if TYPE_CHECKING:
    from torch import Tensor, nn

STATISTICS = ("running_mean", "running_var")
_COUNT = "num_batches_tracked"
_SHOWN = 3
_PATTERNS = 3
"""Changes of names that a message offers; more are no pattern."""

Shapes = dict[str, tuple[int, ...]]


def misfit(model: "nn.Module", own: "Mapping[str, Tensor]", found: "Mapping[str, Tensor]") -> str:
    """What does not fit and what to do about it, one clause a reason; nothing where all does.

    Args:
        own: the tensors that the network needs; counts of batches may be missing
        found: the tensors of a file, under the names that they have for the network
    """
    needed, given = _shapes(own), _shapes(found)
    wrong = _Misfit(needed, given)
    if not wrong:
        return ""
    head = f"of {counted(len(needed), 'tensor')} "
    facts = getattr(model, "facts", None)
    reasons = [*_pruned(wrong)]
    if not reasons and (renamed := _renamed(wrong)):
        return head + renamed
    if wrong.fitting:
        reasons += [*_statistics(wrong), *(_last_layer(wrong, facts.classifier) if facts else ())]
        reasons += [*(_channels(wrong, facts.first) if facts else ())]
    reasons += [*_unknown(wrong)] if wrong.fitting and not wrong.lacking else []
    return head + "; ".join([*reasons, *_rest(wrong)])


class _Misfit:
    """Tensors that are of another shape, missing or unknown; a reason takes out those that it explains."""

    def __init__(self, needed: Shapes, given: Shapes):
        self.needed, self.given = needed, given
        self.unfit = [name for name in needed if name in given and needed[name] != given[name]]
        self.missing = [name for name in needed if name not in given]
        self.unknown = [name for name in given if name not in needed]
        self.fitting = len(needed) - len(self.unfit) - len(self.missing)

    def __bool__(self) -> bool:
        return bool(self.lacking or self.unknown)

    @property
    def lacking(self) -> list[str]:
        return [*self.unfit, *self.missing]

    def explain(self, names: Iterable[str]) -> None:
        names = set(names)
        for part in ("unfit", "missing", "unknown"):
            setattr(self, part, [name for name in getattr(self, part) if name not in names])


def _renamed(wrong: _Misfit) -> str:
    """Tensors that are there in the same order and shapes, or behind one more prefix, under other names."""
    missing = [wrong.needed[name] for name in wrong.missing]
    if not wrong.missing or wrong.unfit:
        return ""
    if missing == [wrong.given[name] for name in wrong.unknown]:
        pairs = [*zip(wrong.unknown, wrong.missing, strict=True)]
        shown = _first((f"{old} → {new}" for old, new in pairs), len(pairs))
        mend = f": checkpoint.rename: {{{patterns}}}" if (patterns := _patterns(pairs)) else ""
        return f"{len(pairs)} have other names, in the same order and shapes. Rename {shown}{mend}"
    prefixes = {name.removesuffix(wrong.missing[0]) for name in wrong.unknown if name.endswith(wrong.missing[0])}
    for prefix in sorted(prefixes):
        if all(wrong.given.get(prefix + name) == wrong.needed[name] for name in wrong.missing):
            rest = [name for name in wrong.unknown if not name.startswith(prefix)]
            left = "".join(f", {_pattern(part)}: null" for part in _parts(rest))
            mend = f"checkpoint.rename: {{{_pattern(prefix)}: ''{left}}}"
            stand = counted(len(wrong.missing), "stands", "stand")
            return f"{stand} behind {prefix!r}, beside {counted(len(rest), 'other')}: {mend}"
    return ""


def _patterns(pairs: list[tuple[str, str]]) -> str:
    """The changes at the start of names that make the pairs, as a study writes them; none where they are many."""
    found: dict[str, str] = {}
    for old, new in pairs:
        olds, news = old.split("."), new.split(".")
        while olds and news and olds[-1] == news[-1]:
            olds.pop(), news.pop()
        found[".".join([*olds, ""])] = ".".join([*news, ""]) if news else ""
    changed = [
        next((new + one.removeprefix(old) for old, new in found.items() if one.startswith(old)), one)
        for one, _ in pairs
    ]
    if len(found) > _PATTERNS or "" in found or changed != [new for _, new in pairs]:
        return ""
    return ", ".join(f"{_pattern(old)}: '{new}'" for old, new in found.items())


def _pruned(wrong: _Misfit) -> Iterator[str]:
    """Masks of torch.nn.utils.prune, and weights that are computed from others."""
    masked = [name.removesuffix("_mask") for name in wrong.unknown if name.endswith("_mask")]
    if masked := [name for name in masked if f"{name}_orig" in wrong.unknown]:
        wrong.explain(each for name in masked for each in (name, f"{name}_mask", f"{name}_orig"))
        shown = _first(masked, len(masked))
        yield f"{len(masked)} are masked by torch.nn.utils.prune ({shown}): save after prune.remove(layer, 'weight')"
    made = [name for name in wrong.unknown if ".parametrizations." in f".{name}"]
    if made:
        wrong.explain([*made, *(re.sub(r"parametrizations\.(\w+)\..*", r"\1", name) for name in made)])
        mend = "save after torch.nn.utils.parametrize.remove_parametrizations"
        yield f"{len(made)} are parts of weights (parametrizations: {_first(made, len(made))}): {mend}"


def _statistics(wrong: _Misfit) -> Iterator[str]:
    gone = [name for name in wrong.missing if name.endswith(STATISTICS)]
    if gone:
        wrong.explain(gone)
        mend = "save model.state_dict(), which has them, or learn them anew: checkpoint.new_statistics: true"
        yield f"{len(gone)} running statistics of normalization are missing ({_first(gone, len(gone))}): {mend}"


def _last_layer(wrong: _Misfit, classifier: str) -> Iterator[str]:
    own = [f"{classifier}.weight", f"{classifier}.bias"]
    unfit = [name for name in wrong.unfit if name in own and wrong.given[name][1:] == wrong.needed[name][1:]]
    missing = [name for name in wrong.missing if name in own]
    mend = "checkpoint.new_classifier: true starts it anew"
    if unfit:
        given, wanted = wrong.given[unfit[0]][0], wrong.needed[unfit[0]][0]
        counts = f"{counted(given, 'class', 'classes')} and the data have {wanted}"
        wrong.explain(unfit)
        yield f"the last layer, {classifier}, is of {counts}: {mend}"
    elif missing and not wrong.unknown:
        wrong.explain(missing)
        yield f"the last layer, {classifier}, is missing: {mend}"


def _channels(wrong: _Misfit, first: str) -> Iterator[str]:
    name = f"{first}.weight"
    given, needed = wrong.given.get(name, ()), wrong.needed.get(name, ())
    if name in wrong.unfit and len(given) == 4 and (given[0], *given[2:]) == (needed[0], *needed[2:]):
        wrong.explain([name])
        mend = "use images of as many"
        yield f"the first layer, {first}, takes {counted(given[1], 'channel')} and the images have {needed[1]}: {mend}"


def _unknown(wrong: _Misfit) -> Iterator[str]:
    """What the file has beside a whole network."""
    if names := wrong.unknown:
        shown = _first((f"{name} {wrong.given[name]}" for name in names), len(names))
        patterns = ", ".join(f"{_pattern(part)}: null" for part in _parts(names))
        wrong.explain(names)
        are = counted(len(names), "is", "are")
        yield f"{are} unknown to the network ({shown}): checkpoint.rename: {{{patterns}}} leaves them out"


def _rest(wrong: _Misfit) -> Iterator[str]:
    parts = []
    if wrong.unfit:
        shown = (f"{name} is {wrong.given[name]} and not {wrong.needed[name]}" for name in sorted(wrong.unfit))
        parts.append(f"{len(wrong.unfit)} of another shape ({_first(shown, len(wrong.unfit))})")
    for names, what, shapes in (
        (wrong.missing, "missing", wrong.needed),
        (wrong.unknown, "unknown to the network", wrong.given),
    ):
        if names:
            shown = (f"{name} {shapes[name]}" for name in sorted(names))
            parts.append(f"{len(names)} {what} ({_first(shown, len(names))})")
    if not parts:
        return
    if not wrong.fitting:
        yield f"none fits, {', '.join(parts)}: it is of another network; set model to the one that it was saved from"
    elif wrong.unfit and not (wrong.missing or wrong.unknown):
        mend = "set model, and the size of images, to these"
        yield f"{', '.join(parts)}: it is of this network with other settings; {mend}"
    else:
        yield f"{', '.join(parts)}: set model to the network that it was saved from"


def _parts(names: Iterable[str]) -> list[str]:
    """The modules on the top that tensors lie in."""
    return [*dict.fromkeys(name.partition(".")[0] + "." * ("." in name) for name in names)]


def _pattern(start: str) -> str:
    return f"'^{re.escape(start)}'"


def _shapes(tensors: "Mapping[str, Tensor]") -> Shapes:
    return {name: tuple(one.shape) for name, one in tensors.items() if not name.endswith(_COUNT)}


def _first(shown: Iterable[str], count: int) -> str:
    return ", ".join(islice(shown, _SHOWN)) + (", …" if count > _SHOWN else "")
