"""Every code block of README and docs is executed, by a reader who types what stands there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "bench" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES += sorted((ROOT / "examples").glob("*/README.md"))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHOWN = re.compile(r"<!-- output of: (.*?) -->\n```text\n(.*?)^```", re.MULTILINE | re.DOTALL)
TESTS = "./swarm test\n"
KINDS = {"", "sh", "text", "yaml", "json", "python"}


def blocks(page: Path) -> list[tuple[str, str]]:
    return BLOCK.findall(page.read_text(encoding="utf-8"))


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder that looks like the project's root to whoever types there; the real one stays as it is."""
    (tmp_path / "swarm").symlink_to(ROOT / "swarm")
    (tmp_path / "scripts").symlink_to(ROOT / "scripts")
    kept = shutil.ignore_patterns("output*", "seeds.jsonl", "__pycache__")
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=kept)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_on_the_page_works(page, desk):
    assert {kind for kind, _ in blocks(page)} <= KINDS
    for kind, text in blocks(page):
        if kind in {"", "sh"} and text != TESTS and "bench" not in text:
            done = typed(text, desk)
            assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


def test_the_first_screen_shows_exactly_two_commands_and_ci_runs_the_second():
    first = (ROOT / "README.md").read_text(encoding="utf-8").split("What goes in")[0]
    commands = [text.strip() for kind, text in BLOCK.findall(first) if kind in {"", "sh"}]
    assert len(commands) == 2
    assert commands[1] == TESTS.strip()
    assert commands[1] in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if "<!-- output of:" in page.read_text(encoding="utf-8")])
def test_shown_output_is_what_the_command_prints(page, desk):
    for command, shown in SHOWN.findall(page.read_text(encoding="utf-8")):
        done = typed(command, desk)
        assert timeless(done.stdout) == timeless(shown), done.stderr


def typed(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = ["/bin/bash", "-e", "-c", text]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def timeless(text: str) -> str:
    """Without what differs from run to run: how long it took, and what bound it."""
    text = re.sub(r"^  pace  .*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"in [\d.]+ (?:s|min)", "in a while", text).strip()


def test_the_pages_that_are_made_from_code_and_data_are_up_to_date():
    command = [sys.executable, str(ROOT / "docs" / "make_reference.py"), "--check"]
    assert subprocess.run(command, check=False).returncode == 0, "python docs/make_reference.py writes it"
