"""The stubs say what there is, and what it does."""

import ast
import subprocess
import sys
from pathlib import Path

import pyatlas

STUB = Path(pyatlas.__file__).parent / "_pyatlas.pyi"


def test_stubs_are_those_of_the_module(tmp_path):
    command = [sys.executable, "-m", "mypy.stubtest", "pyatlas._pyatlas", "--ignore-disjoint-bases"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr


def test_everything_public_is_documented():
    def public(body):
        for node in body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_"):
                yield node
                yield from public(node.body)

    documented = {}
    for node in public(ast.parse(STUB.read_text()).body):
        documented[node.name] = documented.get(node.name) or bool(ast.get_docstring(node))
    assert len(documented) > 70
    assert [name for name, documented in documented.items() if not documented] == []
    for line in STUB.read_text().splitlines():
        assert len(line) <= 100
