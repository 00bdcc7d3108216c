"""How far long work is shows in terminals and notebooks, and nowhere else."""

import io
import os
import pty
import subprocess
import sys
import types

import pytest

from pyatlas.progress import Bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_a_line_that_goes_away(monkeypatch):
    monkeypatch.delenv("PYATLAS_PROGRESS", raising=False)
    monkeypatch.setattr(sys, "stderr", Terminal())
    bar = Bar("files")
    bar.show(1, 4, 2_500_000, 1.25)
    bar.show(4, 4, 999, 2.0)
    bar.end()
    first, second, cleared, rest = sys.stderr.getvalue()[1:].split("\r")
    assert first == "█" * 7 + "░" * 23 + " 1 of 4 files, 2.5 MB, 1.2 s"
    assert second.startswith("█" * 30 + " 4 of 4 files, 999 B, 2.0 s") and len(second) == len(first)
    assert cleared.strip() == rest == ""


@pytest.mark.parametrize("hidden", [True, False])
def test_nothing_is_drawn_elsewhere(monkeypatch, hidden):
    monkeypatch.setenv("PYATLAS_PROGRESS", "0" if hidden else "1")
    monkeypatch.setattr(sys, "stderr", Terminal() if hidden else io.StringIO())
    bar = Bar("files")
    bar.show(1, 2, 3, 4.0)
    bar.end()
    assert sys.stderr.getvalue() == ""


def test_a_notebook_has_a_bar_that_is_updated(monkeypatch):
    monkeypatch.delenv("PYATLAS_PROGRESS", raising=False)
    shown = []

    class Handle:
        def update(self, html):
            shown.append(html)

    def display(html, display_id):
        shown.append(html)
        return Handle()

    shell = type("ZMQInteractiveShell", (), {})()
    ipython = types.SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(
        sys.modules, "IPython.display", types.SimpleNamespace(HTML=str, display=display)
    )
    bar = Bar("chunks")
    bar.show(1, 2, 3, 4.0)
    bar.show(2, 2, 3, 5.0)
    bar.end()
    assert ['value="1"' in shown[0], 'value="2"' in shown[1], shown[2]] == [True, True, ""]


def test_a_long_query_shows_its_chunks(stations):
    script = """
import sys, pyatlas
store = pyatlas.Atlas.open(sys.argv[1])
slow = "SELECT count(*) FROM atlas a, atlas b, generate_series(1, 12) c WHERE sin(a.temperature * b.depth + c.value) > 2"
print(store.sql(slow).fetchall())
"""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", script, stations]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, text=True) as process:
        os.close(theirs)
        drawn = b""
        while True:
            try:
                drawn += (read := os.read(ours, 65536))
            except OSError:
                break
            if not read:
                break
        out, _ = process.communicate()
    os.close(ours)
    assert out == "[(0,)]\n" and " chunks, " in drawn.decode()
