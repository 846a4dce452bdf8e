"""The simulated bench over TCP: a second program talks to the same magnet.

::

    with running(bench, port=0, hislip_port=0) as server:
        print(server.served)
"""

from sim_backend.server.serve import BenchServer, Served, ServerError, is_loopback, running

__all__ = ["BenchServer", "Served", "ServerError", "is_loopback", "running"]
