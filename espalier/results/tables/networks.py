from espalier.results.format import numbers
from espalier.results.format.captions import Caption
from espalier.results.format.table import Table, table_of
from espalier.results.read import zoo_counts
from espalier.results.read.zoo_counts import ACTIVATIONS, COUNTS, IMAGES, LAYERS
from espalier.settings.registry import register


@register("table", reads="zoo")
def networks(frame, study: dict) -> Table:
    """Every network that can be named in a study, at its defaults and as each preset, by its size."""
    data = zoo_counts.at_usual_side(zoo_counts.read("networks")).sort_values("params", kind="stable", ignore_index=True)
    printed = {
        "Network": data["name"].tolist(),
        "Settings": zoo_counts.settings(data),
        "Image side": [str(side) for side in data["image_size"]],
        "Params": [f"{params:,}" for params in data["params"]],
        "MACs (M)": [f"{macs / 1e6:,.2f}" for macs in data["macs"]],
        "Training MACs (M)": [f"{macs / 1e6:,.2f}" for macs in data["training_macs"]],
        "Layers": [str(layers) for layers in data["layers"]],
        "Activations (MiB)": [numbers.plain(value) for value in data["activation_input_mib"]],
        "Kept in training (MiB)": [numbers.plain(value) for value in data["activation_saved_mib"]],
        "What makes it small": [words or numbers.MISSING for words in data["novelty"]],
    }
    return table_of(data, printed, 2)


def caption(study: dict) -> Caption:
    """What the table shows and how its numbers came about."""
    return Caption(
        "Every network, smallest first",
        f"For 10 classes and colour {IMAGES}, or of the smallest side that it takes, if that is larger.",
        f"{COUNTS}; training MACs those of its forward and backward pass. {LAYERS}. Activations are {ACTIVATIONS}; "
        "kept in training is what the backward pass needs of an image.",
    )
