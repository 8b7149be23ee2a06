"""Turns results into pictures: bytes out, nothing written, nothing printed."""
