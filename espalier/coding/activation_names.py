"""Names of the tensors in a file that hold fixed qparams of the inputs of layers; no module begins like that."""

SCALE, ZERO_POINT = "_inputs.scale", "_inputs.zero_point"
