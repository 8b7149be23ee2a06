"""Measure: arrays in, floats out. Nothing here reads a file or knows a network.

``anomaly`` holds what ``eval anomaly`` prints, ``detection`` the mean average precision of class segments, ``truth``
lays true segments over scored rows; ``retrieval`` holds what ``eval retrieval`` prints, ``localization`` what
``eval localization`` prints; ``representation`` holds accuracy of recognition, retrieval by class, linear probes and
what nearest neighbours share.
"""
