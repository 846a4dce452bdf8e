"""Training with devices in the loop."""
