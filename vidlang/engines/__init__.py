"""Where work runs: one interface, ``stream``, and one file per place. ``local`` is this machine."""
