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
            model a message waits in the input buffer), or whose answer is late, in order.
        talks: all clients' talks.
    """

    bench: SimBench
    pace: Pace
    instrument: SimInstrument
    number: int
    waiting: list[Talk] = field(default_factory=list)
    talks: list[Talk] = field(default_factory=list)

    @property
    def owing(self) -> bool:
        """A question has been asked whose answer is not there yet."""
        return self.bench.faults.late(self.instrument.name) > 0 or bool(self.instrument.inbox)

    def lost(self, since_s: float | None = None) -> bool:
        """Whether the link is down, or has been since a connection was made."""
        bench = self.bench
        return bench.faults.link(self.instrument.name, bench.clock.now_s, since_s) is not None

    def hand_out(self) -> None:
        """Give a reply to who waits for it, and let go of who has lost the link."""
        for talk in list(self.talks):
            talk.check_link()
        while self.waiting and self.bench.readable(self.instrument):
            late = (talk for talk in self.waiting if talk.late)
            next(late, self.waiting[0]).answer()
        if self.waiting and not self.owing:
            released, self.waiting = self.waiting, []
            for talk in released:
                talk.released()


class Talk:
    """One client's messages to one instrument, and the replies to them.

    Args:
        desk: the instrument.
        who: what the client's lock is known by.
        reply: takes each reply, the tag of its message, and whether END comes with it.
        changed: called when the queue has become longer or shorter.
        others: called after each message: replies to other clients may be there now.
        lost: called when the link is lost: the connection is to be closed.
    """

    def __init__(
        self,
        desk: Desk,
        who: object,
        reply: Callable[[bytes, int, bool], None],
        changed: Callable[[], None],
        others: Callable[[], None],
        lost: Callable[[], None],
    ) -> None:
        self._desk, self._who = desk, who
        self._reply, self._changed, self._others, self._lost = reply, changed, others, lost
        self._since_s = desk.bench.clock.now_s
        desk.talks.append(self)
        self._access = port.access_of(desk.instrument)
        self._todo: deque[tuple[str, int]] = deque()
        self._later: asyncio.TimerHandle | asyncio.Handle | None = None
        self._due: list[tuple[bytes, int, bool]] = []
        self._until_s = -math.inf  # wall time at which the last message's time is over
        self._tag = 0
        self.late: deque[int] = deque()  #: tags of messages whose answers are late
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
        self.late.clear()
        self._until_s = -math.inf
        if self in self._desk.waiting:
            self._desk.waiting.remove(self)
        if self._later is not None:
            self._later.cancel()
            self._later = None

    def close(self) -> None:
        """The client is gone.  Whole messages that it has sent are still acted on."""
        self._gone = True
        if self in self._desk.talks:
            self._desk.talks.remove(self)
        self._leave()

    def check_link(self) -> bool:
        """Whether the link is there; otherwise what waits, and what is on its way, is forgotten,
        and the client let go."""
        desk = self._desk
        if not desk.bench.faults.breaks_links(desk.instrument.name) or not desk.lost(self._since_s):
            return True
        self._forget()
        desk.bench.faults.on_clear(desk.instrument.name)
        if not self._gone:
            self._lost()
        return False

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
        for due in self._due:
            self._send(*due)
        self._due.clear()
        for _ in range(_TURN):
            if not self._todo or not self.check_link():
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
            before_ns, were_late = bench.clock.now_ns, bench.faults.late(instrument.name)
            bench.write(instrument, message)
            took_s = (bench.clock.now_ns - before_ns) * 1e-9
            if bench.faults.late(instrument.name) > were_late:
                self.late.append(tag)
            if not bench.readable(instrument) and desk.owing:
                pace.wait()
            # Late replies come in order: they are handed out to who has asked first.
            reply = None if bench.faults.late(instrument.name) else self._take(tag)
            if desk.owing:
                self._tag = tag
                if self not in desk.waiting:
                    desk.waiting.append(self)
            if took_s == 0:
                pace.wait()  # it was an observation: so does a program poll that waits
        self._others()
        wall_s = 0.0 if pace.realtime is None else min(took_s / pace.realtime, pace.ahead_s())
        if not self.check_link():
            return 0.0
        if reply is not None:
            if wall_s > 0:
                self._due.append(reply)
            else:
                self._send(*reply)
        return wall_s

    def _take(self, tag: int) -> tuple[bytes, int, bool] | None:
        """The reply that is there, its tag, and whether it ends."""
        bench, instrument = self._desk.bench, self._desk.instrument
        waiting = bench.readable(instrument)
        taken = bench.take(instrument, len(waiting)) if waiting else None
        if taken is None:
            return None
        return taken[0], self.late.popleft() if self.late else tag, not taken[1]

    def answer(self) -> None:
        """The reply to a question that had to wait is there."""
        with self._desk.bench.lock:
            reply = self._take(self._tag)
        if reply is not None:
            self._send(*reply)

    def _send(self, data: bytes, tag: int, ended: bool) -> None:
        if not self._gone:
            self._reply(data, tag, ended)
