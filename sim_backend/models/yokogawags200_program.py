"""The program memory of a Yokogawa GS200: steps, and the level at any time while they run.

Each step lasts for the interval; in the slope time at its beginning the level goes in a straight
line from where it was.  From memory of IM GS210-01EN, but for what the drivers send, and for what
editing does (p. 13-12).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from sim_backend.devices import Points
from sim_backend.models.electrical import Array, ElectricalInstrument
from sim_backend.scpi import (
    Boolean,
    Choice,
    Number,
    ScpiError,
    String,
    Whole,
    command,
    query,
    setting,
)  # fmt: skip

MOST_STEPS = 10_000  # driver
END_OF_STEP, END_OF_PROGRAM = 1 << 6, 1 << 7  # extended event register, p. 13-30
_NAME = String(64)

PROGRAM_ROWS = (
    setting("interval_s", ":PROGram:INTerval", Number(0.1, 3600), 1.0, "driver"),
    setting("slope_s", ":PROGram:SLOPe", Number(0, 3600), 0.0, "driver"),
    setting("repeat", ":PROGram:REPeat", Boolean(), False, "driver"),
    setting("program_trigger", ":PROGram:TRIGger", Choice(("NORMal", "MEND")), "NORM", "driver"),
    command(":PROGram:EDIT:STARt", "edit", "driver"),
    command(":PROGram:EDIT:END", "end_edit", "driver"),
    command(":PROGram:RUN", "run", "driver"),
    command(":PROGram:STEP", "run_step", "memory"),
    command(":PROGram:HOLD", "hold", "memory"),
    command(":PROGram:PAUSe", "hold", "memory"),
    command(":PROGram:CONTinue", "proceed", "memory"),
    command(":PROGram:SAVE", "save_program", "driver", argument=_NAME),
    command(":PROGram:LOAD", "load_program", "driver", argument=_NAME),
    query(":PROGram:LOAD", "ask_loaded", "driver", observation=True),
    command(":PROGram:DELete", "delete_program", "memory", argument=_NAME),
    command(":PROGram:COUNt", "select_step", "driver", argument=Whole(1, MOST_STEPS)),
    query(":PROGram:COUNt", "ask_selected", "driver", observation=True),
    query(":PROGram:POINt", "ask_points", "memory", observation=True),
)


@dataclass(frozen=True)
class Step:
    """A function, a range, and a level, V or A."""

    function: str
    range: float
    level: float


@dataclass(frozen=True)
class Run:
    """Steps under way.

    Args:
        start_s: bench time at their beginning, s.
        origin: level before them, V or A.
        steps: at least one.
        interval_s, slope_s: of each step, s.
        repeat: for ever.
        held_s: how long it had run when it was held, s; None: it goes on.
    """

    start_s: float
    origin: float
    steps: tuple[Step, ...]
    interval_s: float
    slope_s: float
    repeat: bool
    held_s: float | None = None

    def elapsed_s(self, now_s: float) -> float:
        """How long it has run, s."""
        return now_s - self.start_s if self.held_s is None else self.held_s

    def begun(self, now_s: float) -> int:
        """How many steps are over."""
        return math.floor(self.elapsed_s(now_s) / self.interval_s + 1e-9)

    def over(self, now_s: float) -> bool:
        """All steps are over."""
        return not self.repeat and self.begun(now_s) >= len(self.steps)

    @property
    def end_s(self) -> float:
        """Bench time of its end, s; inf: it has none as it is."""
        endless = self.repeat or self.held_s is not None
        return math.inf if endless else self.start_s + len(self.steps) * self.interval_s

    def step(self, now_s: float) -> Step:
        """The step that it is in, with the level that it has now."""
        done = self.begun(now_s)
        if self.over(now_s):
            return self.steps[-1]
        target = self.steps[done % len(self.steps)]
        before = self.steps[(done - 1) % len(self.steps)].level if done else self.origin
        slope_s = min(self.slope_s, self.interval_s)
        into_s = max(0.0, self.elapsed_s(now_s) - done * self.interval_s)
        part = 1.0 if into_s >= slope_s else into_s / slope_s
        return replace(target, level=before + part * (target.level - before))


class ProgramMemory(ElectricalInstrument):
    """The part of the source that keeps and runs programs."""

    def _set_defaults(self) -> None:
        super()._set_defaults()
        # *RST ends what goes on, and leaves the memory as it is.
        self.steps: tuple[Step, ...] = getattr(self, "steps", ())
        self.files: dict[str, tuple[Step, ...]] = getattr(self, "files", {})
        self.loaded = getattr(self, "loaded", "")
        self.edited: Step | None = None  # the step that the next level is for
        self.draft: list[Step] = []
        self.running: Run | None = None
        self.selected = 1
        self._steps_told = 0

    @property
    def now(self) -> Step:
        """Function, range and level of the output now."""
        if self.running is not None:
            return self.running.step(self.lab.clock.now_s)
        return Step(self.state["function"], self.state["range"], self.state["level"])

    def levels_over(self, points: Points) -> Array | None:
        """On a ramp, the level in the middle of each window, V or A, [P]."""
        if self.running is None:
            return None
        middle_s = points.ends_s - points.window_s / 2
        return np.array([self.running.step(at_s).level for at_s in middle_s.tolist()])

    def _refuse_while_running(self) -> None:
        if self.running is not None:
            raise ScpiError(-221)

    # -- editing ----------------------------------------------------------------------------------

    def edit(self) -> None:
        self._refuse_while_running()
        self.draft = []
        self.edited = replace(self.now, level=0.0)

    def add_step(self, step: Step) -> None:
        """A level ends the edited step; the next one begins like it (p. 13-12).

        Raises:
            ScpiError: -223, the memory is full.
        """
        if len(self.draft) == MOST_STEPS:
            raise ScpiError(-223)
        self.draft.append(step)
        self.edited = replace(step, level=0.0)

    def end_edit(self) -> None:
        if self.edited is None:
            raise ScpiError(-221)
        self.steps, self.edited, self.loaded, self.selected = tuple(self.draft), None, "", 1

    def save_program(self, name: str) -> None:
        self.files[name] = self.steps

    def load_program(self, name: str) -> None:
        self._refuse_while_running()
        if name not in self.files:
            raise ScpiError(-224)
        self.steps, self.loaded, self.selected = self.files[name], name, 1

    def delete_program(self, name: str) -> None:
        if self.files.pop(name, None) is None:
            raise ScpiError(-224)

    def select_step(self, number: int) -> None:
        if number > max(1, len(self.steps)):
            raise ScpiError(-222)
        self.selected = number

    def ask_loaded(self) -> str:
        return f'"{self.loaded}"'

    def ask_selected(self) -> int:
        if self.running is not None:
            return self.running.begun(self.lab.clock.now_s) % len(self.running.steps) + 1
        return self.selected

    def ask_points(self) -> int:
        return len(self.steps)

    # -- running ----------------------------------------------------------------------------------

    def run(self) -> None:
        """All steps, from the first."""
        self._begin(self.steps, repeat=self.state["repeat"])

    def run_step(self) -> None:
        """The next step alone."""
        self._begin(self.steps[self.selected - 1 : self.selected], repeat=False)
        self.selected = self.selected % len(self.steps) + 1

    def _begin(self, steps: tuple[Step, ...], *, repeat: bool) -> None:
        self._refuse_while_running()
        now = self.now
        if not steps or self.edited is not None or not self.state["output"]:
            raise ScpiError(-221)
        if any(step.function != now.function for step in steps):  # it would switch the output off
            raise ScpiError(-221)
        self._steps_told = 0
        self.running = Run(
            self.lab.clock.now_s, now.level, steps, self.state["interval_s"],
            self.state["slope_s"], repeat,
        )  # fmt: skip

    def hold(self) -> None:
        """The level stays where it is, until ``:PROGram:CONTinue``."""
        if self.running is not None and self.running.held_s is None:
            held_s = self.running.elapsed_s(self.lab.clock.now_s)
            self.running = replace(self.running, held_s=held_s)

    def proceed(self) -> None:
        if self.running is not None and self.running.held_s is not None:
            start_s = self.lab.clock.now_s - self.running.held_s
            self.running = replace(self.running, start_s=start_s, held_s=None)

    def stop_program(self) -> None:
        """The program ends where it is, and the output keeps its level."""
        if self.running is not None:
            self._settle_on(self.now)
            self.running = None

    def _settle_on(self, step: Step) -> None:
        self.state.update(function=step.function, range=step.range, level=step.level)

    def _catch_up(self) -> None:
        """Take note of the steps that are over, and of the program's end."""
        run, now_s = self.running, self.lab.clock.now_s
        if run is not None:
            self._settle_on(run.step(now_s))
            steps = run.begun(now_s)
            if steps > self._steps_told:
                self._steps_told = steps
                self.questionable_event |= END_OF_STEP
            if run.over(now_s):
                self.running = None
                self.questionable_event |= END_OF_PROGRAM
            self.lab.touch()
        super()._catch_up()
