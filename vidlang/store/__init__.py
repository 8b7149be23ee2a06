"""The store keeps: everything vidlang writes to disk goes through this room, and each file is whole or absent.

``atomic`` writes beside and renames, ``feature_cache`` holds features (HDF5, each video's as ``feature_entry`` says),
``npy`` reads and writes published feature files, ``checkpoints`` holds trained weights (safetensors + JSON),
``results`` holds scores and detections (JSON Lines, CSV), ``rankings`` what a retrieval found, ``workspace`` knows
where a project keeps them. Each module's docstring describes its file format completely enough to write one without
vidlang.
"""
