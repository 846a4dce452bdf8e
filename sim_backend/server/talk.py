"""What one client says to one instrument: message by message, replies when they are due."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sim_backend import port
from sim_backend.instrument import SimInstrument
from sim_backend.server.pace import TICK_S, Pace

if TYPE_CHECKING:
    from sim_backend.bench import SimBench

#: messages of one client that are acted on before the others have their turn
_TURN = 64
#: messages of one client that wait here; then the network's own buffers fill
_MOST_WAITING = 1000


@dataclass(eq=False)
class Desk:
    """An instrument as it is served.

    Attributes:
        number: its place in ``sim.yaml``, from 0.
        waiting: those with a question that the instrument has not come to yet (inside its trigger
            model a message waits in the input buffer), in order.
    """

    bench: SimBench
    pace: Pace
    instrument: SimInstrument
    number: int
    waiting: list[Talk] = field(default_factory=list)

    def hand_out(self) -> None:
        """Give a reply to who waits for it."""
        if self.waiting and self.instrument.output:
            self.waiting[0].answer()
        if self.waiting and not self.instrument.inbox:
            released, self.waiting = self.waiting, []
            for talk in released:
                talk.released()


class Talk:
    """One client's messages to one instrument, and the replies to them.

    Args:
        desk: the instrument.
        who: what the client's lock is known by.
        reply: takes each reply and the tag of its message.
        changed: called when the queue has become longer or shorter.
        others: called after each message: replies to other clients may be there now.
    """

    def __init__(
        self,
        desk: Desk,
        who: object,
        reply: Callable[[bytes, int], None],
        changed: Callable[[], None],
        others: Callable[[], None],
    ) -> None:
        self._desk, self._who = desk, who
        self._reply, self._changed, self._others = reply, changed, others
        self._access = port.access_of(desk.instrument)
        self._todo: deque[tuple[str, int]] = deque()
        self._later: asyncio.TimerHandle | asyncio.Handle | None = None
        self._due: list[tuple[bytes, int]] = []
        self._until_s = -math.inf  # wall time at which the last message's time is over
        self._tag = 0
        self._gone = False

    @property
    def idle(self) -> bool:
        """Nothing waits: neither a message, nor a reply that is not due, nor a question."""
        return not self._todo and self._later is None and self not in self._desk.waiting

    @property
    def full(self) -> bool:
        """The client had better wait."""
        return len(self._todo) > _MOST_WAITING

    def say(self, message: str, tag: int = 0) -> None:
        """A message of the client; ``*TRG`` stands for the trigger of an interface."""
        self._todo.append((message, tag))
        if self._later is None:
            self._run()

    def clear(self) -> None:
        """Forget what waits, and clear the instrument (selected device clear)."""
        self._forget()
        self._desk.bench.device_clear(self._desk.instrument)
        self._others()

    def _forget(self) -> None:
        self._todo.clear()
        self._due.clear()
        self._until_s = -math.inf
        if self in self._desk.waiting:
            self._desk.waiting.remove(self)
        if self._later is not None:
            self._later.cancel()
            self._later = None

    def close(self) -> None:
        """The client is gone.  Whole messages that it has sent are still acted on."""
        self._gone = True
        self._leave()

    def released(self) -> None:
        """The question that had to wait is over."""
        self._changed()

    def _leave(self) -> None:
        if self._gone and not self._todo and self._later is None:
            self._access.leave(self._who)

    # -- in turn ----------------------------------------------------------------------------------

    def _run(self) -> None:
        """Act on what waits until something is in the way."""
        self._later = None
        loop = asyncio.get_running_loop()
        left_s = self._until_s - self._desk.pace.wall()
        if left_s > 0:
            self._later = loop.call_later(min(left_s, TICK_S), self._run)
            return
        for data, tag in self._due:
            self._send(data, tag)
        self._due.clear()
        for _ in range(_TURN):
            if not self._todo:
                break
            if self._has_to_wait(self._todo[0][0]):
                self._later = loop.call_later(TICK_S, self._run)
                break
            wall_s = self._act(*self._todo.popleft())
            if wall_s > 0:
                self._until_s = self._desk.pace.wall() + wall_s
                self._later = loop.call_later(min(wall_s, TICK_S), self._run)
                break
        else:
            self._later = loop.call_soon(self._run)
        self._changed()
        self._leave()

    def _has_to_wait(self, message: str) -> bool:
        """For somebody's lock, or for the reply to somebody's question: one output queue serves
        all.  What the instrument obeys inside its trigger model passes, and so do observations."""
        if not self._access.allows(self._who):
            return True
        if all(talk is self or talk._gone for talk in self._desk.waiting):
            return False
        units, _ = self._desk.instrument.units(message)
        passes = all(unit.is_query and unit.row.observation for unit in units)
        return not passes and not units[0].row.while_busy

    def _act(self, message: str, tag: int) -> float:
        """Deliver a message.  Returns the wall seconds until its time is over."""
        desk = self._desk
        bench, instrument, pace = desk.bench, desk.instrument, desk.pace
        pace.follow()
        with bench.lock:
            before_ns = bench.clock.now_ns
            bench.write(instrument, message)
            took_s = (bench.clock.now_ns - before_ns) * 1e-9
            if not instrument.output and instrument.inbox:
                pace.wait()
            reply = self._take()
            if instrument.inbox:
                self._tag = tag
                if self not in desk.waiting:
                    desk.waiting.append(self)
            if took_s == 0:
                pace.wait()  # it was an observation: so does a program poll that waits
        self._others()
        wall_s = 0.0 if pace.realtime is None else min(took_s / pace.realtime, pace.ahead_s())
        if reply:
            if wall_s > 0:
                self._due.append((reply, tag))
            else:
                self._send(reply, tag)
        return wall_s

    def _take(self) -> bytes:
        instrument = self._desk.instrument
        if not instrument.output:
            return b""
        taken = self._desk.bench.take(instrument, len(instrument.output))
        return b"" if taken is None else taken[0]

    def answer(self) -> None:
        """The reply to a question that had to wait is there."""
        with self._desk.bench.lock:
            self._send(self._take(), self._tag)

    def _send(self, data: bytes, tag: int) -> None:
        if not self._gone:
            self._reply(data, tag)
