"""From a plan to a fitted network: loss, steps, epochs, and what is watched."""
