"""What atlas-python 0.10.0 prints, pyatlas prints."""

import subprocess
import sys
from pathlib import Path

SEED = Path(__file__).parent / "seed"


def test_a_script_of_atlas_python_prints_the_same():
    script = subprocess.run(
        [sys.executable, SEED / "script.py", "pyatlas"], capture_output=True, text=True, check=False
    )
    assert script.returncode == 0, script.stderr
    assert script.stdout.splitlines() == (SEED / "expected.txt").read_text().splitlines()
