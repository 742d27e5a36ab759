"""Search for the best settings at less than the cost of a grid."""
