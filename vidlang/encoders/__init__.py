"""Embed: frames and texts become rows of one joint space. The only room on the network.

``registry`` knows encoders by name, ``clip`` loads and runs them, ``preprocess`` makes pixels of frames, ``text`` is
the frozen text tower, and ``openai_layout`` converts weights between OpenAI's names and those of transformers.
"""
