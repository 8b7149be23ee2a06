"""Embed: frames and texts become rows of one joint space. The only room on the network.

``registry`` knows encoders by name, ``weights`` finds their files, ``clip`` and ``resnet`` load and run them (``base``
is what they share), ``regions`` makes region rows of a CLIP's patches, ``preprocess`` makes pixels of frames, ``text``
is the frozen text tower, and ``openai_layout`` converts weights between OpenAI's names and those of transformers.
"""
