"""Networks with weights and activations of few bits, simulated in floats: every value is one of a layer's levels."""
