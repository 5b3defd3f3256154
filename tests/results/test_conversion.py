"""Values become typed in several threads at once."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from staa_cli.results.report import load_report

sys.setswitchinterval(1e-6)
together = Barrier(4)
def load(_):
    together.wait()
    return load_report(Path(sys.argv[1]))
with ThreadPoolExecutor(4) as pool:
    reports = list(pool.map(load, range(4)))
assert all(report == reports[0] for report in reports)
"""


def test_the_first_reports_may_be_read_by_several_threads() -> None:
    stored = __file__.replace("test_conversion.py", "stored_report.json")
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", SCRIPT, stored], check=False)
        assert done.returncode == 0
