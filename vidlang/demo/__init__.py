"""Renders a small labelled collection of camera videos: frames and true times out, from a seed in."""
