"""Torch code that papers share: padding, multiple-instance pooling, learned prompts, training loop, seeds, devices."""
