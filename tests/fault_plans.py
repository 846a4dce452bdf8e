"""Messages and replies to plans of faults, for the tests of them."""

from sim_backend.faults_messages import Reply

DATA = b"+1.500000E-06\n"


def replies(plan, count, name="x", message=":READ?"):
    """What comes of ``count`` questions, one a second from 1 s on."""
    return [plan.on_reply(name, message, DATA, float(n)) for n in range(1, count + 1)]


def untouched(count):
    return [Reply(DATA, float(n)) for n in range(1, count + 1)]


def arrivals(plan, messages, name="x"):
    """What arrives of messages sent one a second from 1 s on."""
    return [plan.on_write(name, m, float(n)) for n, m in enumerate(messages, 1)]
