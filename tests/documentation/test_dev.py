"""What `mcp-operator dev` prints after a save is what docs/dev.md shows."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path

from tests.documentation import pages, places, tutorial

PAGE = pages.ROOT / "docs" / "dev.md"
DEADLINE = 60.0


def test_a_save_prints_what_the_page_shows(tmp_path: Path) -> None:
    (shown,) = re.findall(r"^```text\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    places.prepare("docs/dev.md", tmp_path)
    tool = tmp_path / "shop" / "tool-check-stock.yaml"
    program = [sys.executable, "-m", "cli", "dev", "shop", "--port", str(pages.free_port())]
    program += ["--service", "shop/orders=http://127.0.0.1:19000"]

    with subprocess.Popen(
        program, cwd=tmp_path, env=tutorial.environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    ) as process:  # fmt: skip
        watchdog = threading.Timer(DEADLINE, process.kill)
        watchdog.start()
        assert process.stdout is not None
        printed = []
        for line in process.stdout:
            if line.startswith("page: "):
                tool.write_text(tool.read_text().replace("        type: string", "        type: text", 1))
                printed.clear()
                continue
            printed.append(line)
            if line.startswith("reloaded"):
                break
        watchdog.cancel()
        process.terminate()
        assert process.wait(10) == 0

    assert pages.difference(re.sub(r"\d+ ms", "... ms", shown), "".join(printed)) is None
