"""The junction as a neuron."""
