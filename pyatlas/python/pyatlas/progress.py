"""The progress of long operations: a line in terminals, a bar in notebooks, nothing elsewhere."""

from __future__ import annotations

import os
import sys
from typing import Any


def _in_notebook() -> bool:
    shell = sys.modules.get("IPython") and sys.modules["IPython"].get_ipython()
    return bool(shell) and shell.__class__.__name__ == "ZMQInteractiveShell"


def _size(number: int) -> str:
    value = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            break
        value /= 1000
    else:
        unit = "TB"
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


class Bar:
    """One bar, from its first `show` to its `end`.

    The environment variable ``PYATLAS_PROGRESS=0`` hides all of them.
    """

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._display: Any = None
        self._width = 0
        hidden = os.environ.get("PYATLAS_PROGRESS") == "0"
        self._notebook = not hidden and _in_notebook()
        self._terminal = not hidden and not self._notebook and sys.stderr.isatty()

    def show(self, done: int, total: int, size: int, seconds: float) -> None:
        """Show that `done` of `total` is done, and `size` bytes are read, after `seconds`."""
        text = f"{done} of {total} {self._unit}, {_size(size)}, {seconds:.1f} s"
        if self._notebook:
            from IPython.display import HTML, display

            bar = HTML(f'<progress value="{done}" max="{max(total, 1)}"></progress> {text}')
            if self._display is None:
                self._display = display(bar, display_id=True)
            else:
                self._display.update(bar)
        elif self._terminal:
            cells = 30 * done // max(total, 1)
            line = f"{'█' * cells}{'░' * (30 - cells)} {text}"
            sys.stderr.write("\r" + line.ljust(self._width))
            sys.stderr.flush()
            self._width = len(line)

    def end(self) -> None:
        """Remove the bar."""
        if self._display is not None:
            from IPython.display import HTML

            self._display.update(HTML(""))
        elif self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.flush()
