"""Names of tensors as training scripts leave them, made those of a network: wrappers, averages, notes, renames."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from espalier.errors import ArtifactError, Mistake

if TYPE_CHECKING:
    from torch import Tensor

WRAPPERS = ("module.", "_orig_mod.", "model.", "net.", "network.", "online_model.")
"""What data parallelism, torch.compile, Lightning and others put before every name."""
AVERAGES = ("ema.", "ema_model.", "model_ema.", "ema_net.", "averaged_model.", "_average_model.")
"""What stands before the names of a moving average that lies beside the weights."""
NOTES = ("num_batches_tracked", "n_averaged", "total_ops", "total_params", "num_updates", "decay", "initted", "step")
"""What libraries count in a state dict, each a single number and no weight."""


def named(
    path: Path,
    tensors: "Mapping[str, Tensor]",
    own: Collection[str],
    rename: Sequence[tuple[str, str | None]] = (),
    weights: Literal["raw", "ema"] | None = None,
) -> "tuple[dict[str, Tensor], list[str]]":
    """Match the tensors of a file to the names of a network, by removing prefixes and by renaming.

    Args:
        path: of the file, for messages
        own: names of the network's tensors; a prefix that one of them has is kept
        rename: (regular expression, replacement), applied in this order; None leaves the tensors out
        weights: which to take where names distinguish raw weights from a moving average

    Returns:
        the tensors by name, and lines for the log

    Raises:
        Mistake: a regular expression is not valid, or matches no name.
        ArtifactError: two tensors get the same name, or the file lacks the weights asked for.
    """
    pairs, remarks = _chosen(path, list(tensors.items()), own, weights)
    plain = [(_plain(name, own), tensor) for name, tensor in pairs]
    if removed := Counter(gone for (_, gone), _ in plain if gone):
        remarks.append(f"removed before names: {', '.join(f'{prefix} ({count})' for prefix, count in removed.items())}")
    pairs = _renamed(path, [(name, tensor) for (name, _), tensor in plain], rename, tensors)
    notes = Counter(_last(name) for name, tensor in pairs if _is_note(name, tensor) and name not in own)
    if notes:
        remarks.append(f"left out, no weights: {', '.join(f'{note} ({count})' for note, count in notes.items())}")
    pairs = [(name, tensor) for name, tensor in pairs if name in own or not _is_note(name, tensor)]
    if twice := [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]:
        mend = "leave one of them out with checkpoint.rename: {PATTERN: null}"
        raise ArtifactError(f"{path}: two tensors are named {twice[0]} without their prefixes; {mend}")
    return dict(pairs), remarks


def _chosen(path: Path, pairs: list, own: Collection[str], weights: str | None) -> tuple[list, list[str]]:
    """Raw weights or their average, where names tell them apart."""
    marks = [mark for mark in AVERAGES if not any(name.startswith(mark) for name in own)]
    ema = {name: mark for name, _ in pairs for mark in marks if name.startswith(mark)}
    raw = [(name, tensor) for name, tensor in pairs if name not in ema]
    averaged = [(name.removeprefix(ema[name]), tensor) for name, tensor in pairs if name in ema]
    only = not any(not _is_note(name, tensor) for name, tensor in raw)
    if weights == "ema" and not ema:
        names = ", ".join(name for name, _ in pairs[:3])
        raise ArtifactError(f"{path}: it holds no EMA weights ({names}, …); leave checkpoint.weights out")
    if not ema:
        return pairs, []
    mark = next(iter(ema.values()))
    if weights == "raw" and only:
        raise ArtifactError(f"{path}: it holds EMA weights alone ({mark}…); set checkpoint.weights to ema")
    if weights == "ema" or only:
        return averaged, [f"EMA weights ({mark}…) are taken" + (", the only ones there" if only else "")]
    mend = "" if weights else "; checkpoint.weights: ema takes these"
    return raw, [f"raw weights are taken and not their EMA ({mark}…){mend}"]


def _plain(name: str, own: Collection[str]) -> tuple[str, str]:
    """A name without its wrappers, and these."""
    gone = ""
    while name not in own and (wrapper := next((each for each in WRAPPERS if name.startswith(each)), None)):
        if any(each.startswith(wrapper) for each in own):
            break
        name, gone = name.removeprefix(wrapper), gone + wrapper
    # torch.compile also wraps parts of a network.
    inner = name.replace("._orig_mod.", ".")
    return (inner, gone) if inner == name or name in own else (inner, f"{gone}_orig_mod.")


def _renamed(path: Path, pairs: list, rename: Sequence[tuple[str, str | None]], before: Collection[str]) -> list:
    for pattern, new in rename:
        try:
            changed = [(*re.subn(pattern, new or "", name), tensor) for name, tensor in pairs]
            if not any(times for _, times, _ in changed):
                was = any(re.search(pattern, name) for name in before)
                why = "whose prefixes are removed already; leave it out" if was else f"the first is {pairs[0][0]!r}"
                raise Mistake(f"checkpoint.rename: {pattern!r} is in no name of {path}, {why}")
        except (re.error, IndexError) as error:
            raise Mistake(f"checkpoint.rename: {pattern!r} to {new!r} cannot be used ({error}); mend it") from error
        pairs = [(name, tensor) for name, times, tensor in changed if not times or new is not None]
        if not pairs:
            raise Mistake(f"checkpoint.rename: {pattern!r} to null leaves out every tensor of {path}; mend it")
    return pairs


def _is_note(name: str, tensor: "Tensor") -> bool:
    return _last(name) in NOTES and tensor.numel() == 1


def _last(name: str) -> str:
    return name.rpartition(".")[2]
