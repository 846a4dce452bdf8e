"""The window: sweep a junction, watch both layers, stop at any time.

It measures nothing itself.  A sweep is a recorded session, the same as from the command line; what
it measures reaches the window by signals.
"""

from gui.app import run, screenshot

__all__ = ["run", "screenshot"]
