"""The code of README and docs, and the example."""

import re
import subprocess
import sys

import pytest


def blocks(text):
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", ["README.md", "docs/python.md"])
def test_the_code_of_a_document_runs(root, name, tmp_path):
    found = blocks((root / name).read_text(encoding="utf-8"))
    assert found
    code = "\n".join(found)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=600, check=False
    )
    assert done.returncode == 0, f"{code}\n{done.stderr}"


def test_the_example_runs(root, tmp_path):
    example = root / "examples" / "python" / "mnist_and_squid.py"
    done = subprocess.run(
        [sys.executable, str(example), "synthetic-digits"], capture_output=True, text=True, cwd=tmp_path, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "history.png").stat().st_size > 1000
    assert (tmp_path / "squid.png").stat().st_size > 1000
    assert "µA/cm²" in done.stdout
