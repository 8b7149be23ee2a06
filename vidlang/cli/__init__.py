"""The terminal: the only room that prints. One short file per command, each calls one workflow."""
