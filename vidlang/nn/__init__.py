"""Torch code that two papers share: padding, multiple-instance pooling, learned prompts, the training loop, seeds, devices."""
