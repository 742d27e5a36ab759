"""Networks as ONNX files for other runtimes: written, made 8-bit, checked against PyTorch and timed beside it."""
