"""The verbs as Python functions: what ``vidlang VERB`` does, with the same options, names and defaults.

Nothing is printed; ``progress=True`` draws bars on stderr, and a function is called as ``progress(what, done, total)``.
Options that are left out come from ``vidlang.toml`` and the environment, as on the command line. What goes wrong is a
``VidlangError`` with one line for people. ``from vidlang import score`` loads what ``score`` needs and no more.
"""
