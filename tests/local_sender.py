"""A sender on this machine: streams over TCP for tests of what reads them."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def sender(*parts: bytes) -> Iterator[str]:
    """An address on which each connection gets its part and is closed."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for part in parts:
                with contextlib.suppress(OSError):
                    connection, _ = server.accept()
                    with connection:
                        connection.sendall(part)

        threading.Thread(target=serve, daemon=True).start()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
