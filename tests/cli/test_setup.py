"""The set-up script: what it promises about locks, stamps, concurrent and broken first runs, and the developers' verbs.

Most tests work on a small copy of the checkout: the real `swarm`, a lock with one tiny wheel that lies beside it, and a
program that prints what it was given. Where pip has to misbehave, a module `pip` on PYTHONPATH stands in for it.
"""

import ast
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
DEADLINE_S = 120
LOCKS = ("requirements.lock", "requirements-dev.lock")

PROGRAM = """\
import json, os, sys
import tiny
told = {"argv": sys.argv[1:], "cwd": os.getcwd(), "pid": os.getpid(), "tiny": tiny.VERSION, "path": sys.path}
print(json.dumps(told))
sys.exit(int(os.environ.get("EXIT_CODE", "0")))
"""


class Checkout:
    """A small checkout with its own locks, packages and environment."""

    def __init__(self, folder: Path):
        self.root = folder / "checkout with spaces"
        self.wheels = folder / "wheels"
        self.environment = self.root / ".venv"
        self.wheels.mkdir()
        shutil.copytree(ROOT / "scripts", self.root / "scripts")
        shutil.copy2(ROOT / "swarm", self.root)
        self.put("src/deepswarm/__init__.py", "")
        self.put("src/deepswarm/__main__.py", PROGRAM)
        self.pin("1.0")

    def put(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def pin(self, version):
        """Let both locks ask for this version of the tiny package."""
        line = f"tiny=={version} --hash=sha256:{tiny_wheel(self.wheels, version)}\n"
        for lock in LOCKS:
            self.put(lock, line)

    def start(self, *arguments, program=None, cwd=None, **variables):
        own = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels), "PIP_CONFIG_FILE": os.devnull}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DEEPSWARM_", "PYTHON"))}
        return subprocess.Popen(
            [program or self.root / "swarm", *arguments],
            cwd=cwd or self.root,
            env=inherited | own | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments, **how):
        return Finished(self.start(*arguments, **how))


class Finished:
    """What a call came to."""

    def __init__(self, process):
        self.out, self.err = process.communicate(timeout=DEADLINE_S)
        self.pid, self.code = process.pid, process.returncode

    @property
    def told(self):
        """What the program of the small checkout was given."""
        assert self.code == 0, self.err
        return json.loads(self.out.splitlines()[-1])


def tiny_wheel(folder, version):
    """Write a wheel of the package `tiny`, the same for the same version; its sha256."""
    path = folder / f"tiny-{version}-py3-none-any.whl"
    about = f"tiny-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in {
            "tiny.py": f"VERSION = '{version}'\n",
            f"{about}/METADATA": f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n",
            f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{about}/RECORD": f"tiny.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n{about}/RECORD,,\n",
        }.items():
            wheel.writestr(zipfile.ZipInfo(name), text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """A checkout that is set up for the developers' verbs and for the program; do not change it."""
    made = Checkout(tmp_path_factory.mktemp("ready"))
    for module, ends in {"ruff": "0", "mypy": "1", "pytest": "0"}.items():
        made.put(f"src/{module}.py", f"import sys\nprint('{module}', *sys.argv[1:], flush=True)\nsys.exit({ends})\n")
    made.put("src/importlinter/__init__.py", "")
    made.put("src/importlinter/cli.py", "def lint_imports_command():\n    print('layers', flush=True)\n")
    made.put("tests/core/test_nothing.py", "")
    first = made.run("lint")
    assert first.code == 0, first.err
    return made


@pytest.fixture
def fake_pip(tmp_path):
    """Put a module `pip` of these lines before the real one; gives the variables to call with."""

    def make(*lines):
        package = tmp_path / "fake" / "pip"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text("\n".join(("import fcntl, os, pathlib, sys", *lines)))
        return {"PYTHONPATH": str(package.parent)}

    return make


VERSION_OR_ELSE = "if '--version' in sys.argv: sys.exit(print('pip 99.0 from nowhere'))"


# --- the files --------------------------------------------------------------------------------------------------------


def test_the_script_parses_on_an_old_python_and_then_refuses_it():
    source = (ROOT / "swarm").read_text()
    tree = ast.parse(source, feature_version=(3, 6))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    code = "import runpy, sys; sys.version_info = (3, 6, 15); runpy.run_path(sys.argv[1], run_name='__main__')"
    answer = subprocess.run([sys.executable, "-c", code, ROOT / "swarm"], capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert "needs Python 3.11 or newer" in answer.stderr
    assert "3.6.15" in answer.stderr
    assert "Traceback" not in answer.stderr


def pins(name):
    """The requirements of a lock by name, each with its hashes."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        wanted, *hashes = line.split(" --hash=")
        requirement = Requirement(wanted)
        found[requirement.name] = (requirement, [each.strip() for each in hashes])
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_of_a_lock_is_one_version_with_hashes(lock):
    found = pins(lock)
    assert found
    for requirement, hashes in found.values():
        assert [each.operator for each in requirement.specifier] == ["=="], requirement
        assert requirement.url is None
        assert hashes, requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes), requirement


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_address_and_no_option(lock):
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert not re.search(r"^\s*(#|-(?!-hash=sha256:))", text, re.MULTILINE)


def test_the_developers_lock_holds_all_that_the_program_needs_in_the_same_versions():
    program, everything = pins("requirements.lock"), pins("requirements-dev.lock")
    assert program == {name: everything.get(name) for name in program}


def wanted(lines):
    """Requirements by their one spelling (ruamel.yaml is ruamel-yaml)."""
    return {re.sub(r"[-_.]+", "-", Requirement(line).name).lower(): Requirement(line) for line in lines}


def test_the_lists_of_packages_agree():
    text = (ROOT / "requirements.in").read_text()
    chosen = wanted(line.partition("#")[0] for line in text.splitlines() if line.partition("#")[0].strip())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = wanted(project["dependencies"])
    assert chosen.keys() == declared.keys()
    for name, (pin, _) in pins("requirements.lock").items():
        (version,) = (each.version for each in pin.specifier)
        if name in chosen:
            assert version in chosen[name].specifier
            assert version in declared[name].specifier
            assert str(chosen[name].marker) == str(declared[name].marker) == str(pin.marker)


def test_ci_and_the_set_up_script_can_be_started():
    for name in ("swarm", ".ci/run"):
        assert os.access(ROOT / name, os.X_OK), name


# --- the first run and all others -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_first_run_installs_the_lock_and_starts_the_program(checkout):
    first = checkout.run("run", "--task", "task.yaml")
    assert first.told["argv"] == ["run", "--task", "task.yaml"]
    assert first.told["tiny"] == "1.0"
    assert str(checkout.root / "src") in first.told["path"]
    assert len(first.out.splitlines()) == 1, "stdout belongs to the program"
    assert all(line.startswith("swarm: ") for line in first.err.splitlines())


@pytest.mark.slow
def test_the_program_gets_its_arguments_its_folder_and_the_process_unchanged(ready, tmp_path):
    (tmp_path / "random.py").write_text("raise SystemExit('a file of the caller became a module')")
    arguments = ["run", "two words", "", "--set", "a='b'", "*", "--", "--help", "ä€", "-x=$HOME"]
    call = ready.run(*arguments, cwd=tmp_path)
    assert call.told["argv"] == arguments
    assert call.told["cwd"] == str(tmp_path)
    assert call.told["pid"] == call.pid
    assert str(tmp_path) not in call.told["path"]
    assert "" not in call.told["path"]


@pytest.mark.slow
def test_the_exit_code_is_the_programs(ready):
    assert ready.run("run", EXIT_CODE="75").code == 75


@pytest.mark.slow
def test_a_ready_environment_is_not_installed_again(ready, fake_pip):
    broken = fake_pip("sys.exit('pip was called')")
    for arguments in (["run"], ["lint"]):
        again = ready.run(*arguments, **broken)
        assert again.code == 0
        assert "installing" not in again.err


@pytest.mark.slow
def test_a_changed_lock_is_installed_and_a_changed_back_one_too(checkout):
    assert "installing" in checkout.run("lint").err
    checkout.pin("2.0")
    assert checkout.run("run").told["tiny"] == "2.0"
    checkout.pin("1.0")
    assert "installing" in checkout.run("lint").err, "the developers' stamp of 1.0 went when 2.0 came"
    assert checkout.run("run").told["tiny"] == "1.0"


@pytest.mark.slow
def test_concurrent_first_runs_install_once(checkout):
    calls = [checkout.start("run", str(number)) for number in range(4)]
    ended = [Finished(call) for call in calls]
    assert [call.told["argv"][1] for call in ended] == ["0", "1", "2", "3"]
    assert sum("installing" in call.err for call in ended) == 1


@pytest.mark.slow
def test_a_set_up_that_was_killed_is_made_again(checkout, fake_pip):
    kill = fake_pip(
        VERSION_OR_ELSE,
        "prefix = pathlib.Path(sys.argv[sys.argv.index('--python') + 1]).parents[1]",
        "(site,) = prefix.glob('lib/python3*/site-packages')",
        "(site / 'tiny.py').write_text('half a fi')",
        "os.kill(os.getppid(), 9)",
    )
    assert checkout.run("run", **kill).code == -9
    assert checkout.run("run").told["tiny"] == "1.0"
    assert "half" not in next(checkout.environment.glob("lib/python3*/site-packages/tiny.py")).read_text()


@pytest.mark.slow
def test_nobody_starts_before_the_pip_of_a_killed_set_up_has_ended(checkout, fake_pip, tmp_path):
    outlive = fake_pip(
        VERSION_OR_ELSE,
        "os.kill(os.getppid(), 9)",
        f"fcntl.flock(open({str(tmp_path / 'gate')!r}), fcntl.LOCK_EX)",
    )
    with (tmp_path / "gate").open("w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)  # while it is held here, that pip does not end
        killed = checkout.start("run", **outlive)
        assert killed.wait(DEADLINE_S) == -9
        waiting = checkout.start("run")
        assert "waiting for another set-up" in waiting.stderr.readline()
    assert Finished(waiting).told["tiny"] == "1.0"
    Finished(killed)


@pytest.mark.slow
@pytest.mark.parametrize("known", [False, True], ids=["replaced by another", "removed"])
def test_an_environment_whose_python_is_gone_is_made_again(checkout, known):
    assert checkout.run("run").code == 0
    python = os.path.realpath(checkout.environment / "bin" / "python")
    for mark in (checkout.environment / "deepswarm-setup").iterdir():
        if known:
            mark.write_text(mark.read_text().replace(python, "/nowhere/python3"))
    for link in (checkout.environment / "bin").glob("python*"):
        link.unlink()
        link.symlink_to("/nowhere/python3")
    again = checkout.run("run")
    assert "making it again" in again.err
    assert again.told["tiny"] == "1.0"


@pytest.mark.slow
def test_a_moved_checkout_runs_its_own_source(checkout):
    assert checkout.run("run").code == 0
    checkout.root = checkout.root.rename(checkout.root.with_name("moved"))
    assert str(checkout.root / "src") in checkout.run("run").told["path"]


@pytest.mark.slow
def test_another_folder_can_be_named(checkout, tmp_path):
    elsewhere = tmp_path / "some" / "where"
    assert checkout.run("run", DEEPSWARM_VENV=str(elsewhere)).told["tiny"] == "1.0"
    assert (elsewhere / "bin" / "python").exists()
    assert not checkout.environment.exists()


@pytest.mark.slow
def test_user_wide_pip_settings_do_not_stop_the_set_up(checkout):
    assert checkout.run("run", PIP_USER="1", PIP_REQUIRE_VIRTUALENV="1").told["tiny"] == "1.0"


# --- when it cannot be set up -----------------------------------------------------------------------------------------


def test_a_folder_that_was_not_made_here_is_left_alone(checkout, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    call = checkout.run("run", DEEPSWARM_VENV=str(tmp_path / "mine"))
    assert call.code == 2
    assert "was not made by ./swarm" in call.err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_missing_pip_is_named_with_its_remedy_and_leaves_nothing(checkout, fake_pip):
    call = checkout.run("run", **fake_pip("sys.exit('No module named pip')"))
    assert call.code == 2
    assert "has no pip" in call.err
    assert "hint: sudo apt install python3-pip" in call.err
    assert not checkout.environment.exists()


def test_a_pip_that_is_too_old_is_named(checkout, fake_pip):
    call = checkout.run("run", **fake_pip("print('pip 22.2.9 from nowhere')"))
    assert call.code == 2
    assert "pip 22.2 is too old" in call.err


@pytest.mark.slow
def test_the_end_of_what_a_failing_pip_said_is_shown_and_the_next_call_tries_again(checkout, fake_pip):
    failing = fake_pip(VERSION_OR_ELSE, "for line in range(100): print('line', line)", "sys.exit(3)")
    call = checkout.run("run", **failing)
    assert call.code == 2
    assert call.out == ""
    assert "exit code 3" in call.err
    assert "line 99\n" in call.err
    assert "line 80\n" not in call.err
    assert "hint: " in call.err
    again = checkout.run("run")
    assert again.told["tiny"] == "1.0"
    assert "making" not in again.err, "pip had written nothing, so the environment was sound"


@pytest.mark.slow
def test_a_pip_that_fails_while_writing_leaves_no_half_environment(checkout, fake_pip):
    failing = fake_pip(VERSION_OR_ELSE, "print('Installing collected packages: tiny')", "sys.exit('disk full')")
    assert checkout.run("run", **failing).code == 2
    again = checkout.run("run")
    assert "making it again" in again.err
    assert again.told["tiny"] == "1.0"


@pytest.mark.slow
@pytest.mark.parametrize("line", ["tiny==1.0", f"tiny==1.0 --hash=sha256:{'0' * 64}"], ids=["no hash", "another hash"])
def test_a_wheel_without_its_hash_is_refused(checkout, line):
    checkout.put("requirements.lock", line + "\n")
    call = checkout.run("run")
    assert call.code == 2
    assert "hashes" in call.err.lower()


@pytest.mark.slow
def test_developers_tools_that_cannot_be_had_do_not_stop_the_program(checkout):
    assert checkout.run("run").code == 0
    checkout.put("requirements-dev.lock", f"nowhere==1.0 --hash=sha256:{'0' * 64}\n")
    for _ in range(2):
        assert checkout.run("lint").code == 2
        call = checkout.run("run")
        assert call.told["tiny"] == "1.0"
        assert call.err == ""


# --- the verbs --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_failed_step_stops_nothing_and_pytest_has_the_last_word(ready):
    call = ready.run("check", "-x")
    assert call.code == 1
    assert [line.split()[0] for line in call.out.splitlines()] == ["ruff", "ruff", "mypy", "layers", "pytest"]
    assert call.out.splitlines()[-1] == "pytest -m not slow tests/core -n auto -x"
    assert re.findall(r"swarm: (\w+) (ok|FAILED) \(\d+\.\d s\)", call.err) == [
        ("format", "ok"),
        ("lint", "ok"),
        ("type", "FAILED"),
        ("layers", "ok"),
    ]
    assert call.err.splitlines()[-2:] == ["swarm: failed so far: type", "swarm: fast tests ..."]


@pytest.mark.slow
def test_the_exit_code_of_a_verb_says_whether_it_passed(ready):
    assert ready.run("lint").code == 0
    assert ready.run("type").code == 1


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_shows_the_verbs_and_then_the_programs_help(ready, arguments):
    call = ready.run(*arguments)
    assert call.told["argv"] == ["--help"]
    for verb in ("test", "check", "fmt", "lint", "type", "layers", "cover", "bench"):
        assert f"./swarm {verb} " in call.out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "stands_for"),
    [("seed", ["seed"]), ("swarm", ["run"]), ("filter", ["filter"]), ("worker", ["run", "--set", "workers=1"])],
)
def test_the_scripts_of_the_mission_page_become_the_commands(ready, tmp_path, script, stands_for):
    path = ready.root / "scripts" / f"{script}.py"
    call = ready.run(path, "--task", "my task.yaml", program=sys.executable, cwd=tmp_path)
    assert call.told["argv"] == [*stands_for, "--task", "my task.yaml"]
    assert call.told["cwd"] == str(tmp_path)


# --- the wheel --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_wheel_holds_the_command_the_data_and_the_mark_of_types(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (path,) = tmp_path.glob("deepswarm_runner-*.whl")
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        (commands,) = (wheel.read(name).decode() for name in names if name.endswith("entry_points.txt"))
    assert "deepswarm = deepswarm.cli.main:command_line" in commands
    source = ROOT / "src"
    files = [path for path in (source / "deepswarm").rglob("*") if path.suffix in {".py", ".toml", ".typed"}]
    assert {path.relative_to(source).as_posix() for path in files} <= names
