"""``python -m cli`` is the command ``spinloop``."""

from cli.main import main

main()
