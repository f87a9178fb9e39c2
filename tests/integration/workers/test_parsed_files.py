"""A task that is forked from a process with its parsed Dag file does, says and leaves what it does without that."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hybrid_workers.parsed.stamps import TICK_NANOSECONDS
from tests.integration.workers.dag_files import FACTORY, NOT_REUSED, REUSED, TASKS, dag
from tests.leaks import shared
from tests.processes import is_alive
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are lent on Linux only")


class Workers:
    """Runs workers, one after the other."""

    def __init__(self, home: Path) -> None:
        self.home = home
        environment = {name: text for name, text in os.environ.items() if name != "PYTEST_VERSION"}
        with home.joinpath("errors").open("w") as errors:
            self._program = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.workers.parsed_worker"],
                env=environment | {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def run(self, told: dict[str, Any]) -> int:
        """Run a worker to its end; return its exit code."""
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write(json.dumps(told) + "\n")
        self._program.stdin.flush()
        answer = self._program.stdout.readline()
        assert answer, self.home.joinpath("errors").read_text()
        return int(answer)

    def close(self) -> None:
        """End the program."""
        self._program.communicate()


class Bundle:
    """A folder of Dag files, and workers that run their tasks."""

    def __init__(self, folder: Path, workers: Workers) -> None:
        self.path = folder / "dags"
        self.path.mkdir()
        self.seen = folder / "seen"
        self.home = workers.home
        self._folder = folder
        self._workers = workers

    def write(self, name: str, text: str) -> None:
        file = self.path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    def run(
        self,
        *steps: object,
        parse_seconds: float = 300,
        most_files: int = 8,
        code: int = 0,
        are_known: bool = True,
        kind: str = "airflow.dag_processing.bundles.local.LocalDagBundle",
        wait_seconds: float = 60.0,
        prepare: str = "",
        options: Mapping[str, str] | None = None,
    ) -> tuple[list[Any], str]:
        """Return what each step showed, and all that the worker wrote.

        :param are_known: a task of each file has come to the worker already.
        :param kind: the class of the bundle.
        :param prepare: what the worker's main process executes before it forks.
        :param options: further variables of its environment.
        """
        self._wait_until_settled()
        if are_known and parse_seconds:
            steps = f"know(*{[path.name for path in self.path.glob('*.py')]})", *steps
        bundle = {"classpath": kind, "kwargs": {"path": str(self.path)}}
        environment = {
            "AIRFLOW_VAR_SET_HERE": "from the environment",
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([{"name": "b", **bundle}]),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self._folder / "logs"),
            "SEEN": str(self.seen),
            **(options or {}),
        }
        file = self._folder / "output"
        file.unlink(missing_ok=True)
        told = {
            "parse_seconds": parse_seconds,
            "most_files": most_files,
            "wait_seconds": wait_seconds,
            "prepare": prepare,
            "steps": steps,
        }
        ended = self._workers.run({**told, "environment": environment, "output": str(file)})
        output = file.read_text()
        assert ended == code, output
        return [json.loads(line[6:]) for line in output.splitlines() if line.startswith("SHOWN ")], output

    def _wait_until_settled(self) -> None:
        """Wait until the files are older than a tick of the file system's clock: until then no parse may be kept."""
        newest = max(path.stat().st_ctime_ns for path in (self.path, *self.path.rglob("*")))
        wait_until(lambda: time.time_ns() > newest + 2 * TICK_NANOSECONDS)


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    with shared():
        started = Workers(tmp_path_factory.mktemp("home"))
    yield started
    started.close()


@pytest.fixture
def bundle(tmp_path: Path, workers: Workers) -> Bundle:
    return Bundle(tmp_path, workers)


def returned(result: Any) -> Any:
    """Return what a task pushed as its result."""
    return next((json.loads(body) for path, body in result["asked"] if path.endswith("/return_value")), None)


def same(result: Any) -> Any:
    """Return what must not differ: exit code, all that the API server was told, and the log."""
    volatile = {"timestamp", "ti_id", "bundle_prepare_ms", "dag_file_parse_ms"}
    lines = [{key: value for key, value in line.items() if key not in volatile} for line in result["log"]]
    asked = [request for request in result["asked"] if not request[0].endswith("/heartbeat")]
    texts = sorted(json.dumps(line, sort_keys=True) for line in lines)
    text = "\n".join([str(result["code"]), *map(str, asked), *texts])
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)?", "TIME", text)
    text = re.sub(r"datetime\.datetime\([\d, ]+", "TIME", text)
    text = re.sub(r"0x[0-9a-f]+|airflowtmp\w+|/mp-\w+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "CHANCE", text)
    return re.sub(r'pid\\?"?[=:]? ?\d+|PID:? ?\d+', "PID", text)


def was_lent(output: str, file: str) -> int:
    """Return how many tasks of a file were forked from its parsed parent."""
    return output.count(f"{file} was parsed before")


def write_corpus(bundle: Bundle) -> list[list[object]]:
    """Write all files; return a task of each."""
    sources = REUSED | {name: source for name, (source, _) in NOT_REUSED.items()}
    for name, source in sources.items():
        bundle.write(f"{name}.py", source)
    bundle.home.joinpath("beside.py").write_text("import datetime\nx = datetime.datetime.now()\n")
    bundle.write("words.sh", "echo hello {{ params.who }} in {{ run_id }}\n")
    bundle.write("factory.yaml", "factory: [1, 2]\nother: {a: b}\n")
    bundle.write("factories/makes.py", FACTORY)
    return [[f"{name}.py", *TASKS.get(name, (name, "t", -1))] for name in sources]


def test_tasks_do_and_say_the_same_with_and_without_it(bundle: Bundle) -> None:
    tasks = write_corpus(bundle)
    without, _ = bundle.run(*tasks, parse_seconds=0)
    again = tasks[: len(REUSED)]
    shown, output = bundle.run(*tasks, *again, most_files=len(tasks))
    for (file, *_), before, result in zip([*tasks, *again], [*without, *without], shown, strict=False):
        assert same(result) == same(before), file
    lent = {name: was_lent(output, f"{name}.py") for name in (*REUSED, *NOT_REUSED)}
    assert lent == dict.fromkeys(REUSED, 2) | dict.fromkeys(NOT_REUSED, 0), output
    for name, (_, reason) in NOT_REUSED.items():
        said = re.findall(rf"Each task of {name}\.py parses it: (.*)", output)
        assert len(said) == 1, name
        assert reason in said[0], (name, said)


def test_a_file_is_parsed_again_when_what_it_read_has_changed(bundle: Bundle) -> None:
    write_corpus(bundle)
    task = ["factory.py", "factory", "t"]
    bundle.run(task, parse_seconds=0)  # Python keeps byte code beside the sources
    change = f"(Path({str(bundle.path)!r}) / {{!r}}).write_text({{!r}}); time.sleep(0.1)"
    shown, output = bundle.run(
        task,
        task,
        change.format("factory.yaml", "factory: [changed]\n"),
        task,
        change.format("factories/makes.py", FACTORY.replace("return values", "return [values, 'made anew']")),
        task,
        change.format("factory.py", dag("factory", "", "'the file itself'")),
        task,
        task,
    )
    values = [[1, 2], [1, 2], ["changed"], [["changed"], "made anew"], "the file itself", "the file itself"]
    assert [returned(result) for result in shown] == values, output
    assert was_lent(output, "factory.py") >= 4, output


_LOOKS = {
    "Path(new).exists()": "touch",
    "os.path.exists(new)": "touch",
    "os.path.isfile(new)": "touch",
    "os.path.islink(new)": "link",
    "os.path.realpath(old) == old": "move",
    "os.path.getmtime(old) == 1": "age",
    "os.stat(old).st_mtime == 1": "age",
    "os.stat(path=old, follow_symlinks=True).st_mtime == 1": "age",
    "stat_of(new)": "touch",
}
_LOOKS_AS_A_LIBRARY = """
def stat_of(path):
    try:
        return bool(os.stat(path))
    except FileNotFoundError:
        return False
"""


def test_a_file_that_was_looked_for_is_seen_when_it_comes(bundle: Bundle) -> None:
    old, new = str(bundle.path / "old"), str(bundle.path / "new")
    Path(old).touch()
    changes = {
        "touch": f"Path({new!r}).touch()",
        "link": f"os.symlink('/', {new!r})",
        "move": f"os.rename({old!r}, {new!r}); os.symlink({new!r}, {old!r})",
        "age": f"os.utime({old!r}, (1, 1))",
    }
    for number, (look, change) in enumerate(_LOOKS.items()):
        name = f"looks_{number}"
        top = f"import os\nfrom pathlib import Path\nold, new = {old!r}, {new!r}\n{_LOOKS_AS_A_LIBRARY}x = {look}"
        bundle.write(f"{name}.py", dag(name, top, "x"))
        task = [f"{name}.py", name, "t"]
        shown, output = bundle.run(task, task, changes[change] + "; time.sleep(0.1)", task, task)
        before = look.endswith("== old")
        assert [returned(result) for result in shown] == [before, before, not before, not before], (look, output)
        assert was_lent(output, f"{name}.py") == 4, (look, output)
        Path(new).unlink(missing_ok=True)
        Path(old).unlink()
        Path(old).touch()


_READ_BY_C = """
import ctypes
from pathlib import Path
libc, letter = ctypes.CDLL(None), ctypes.create_string_buffer(1)
file = libc.open(bytes(Path(__file__).parent / "data" / "letter"), 0)
libc.read(file, letter, 1)
libc.close(file)
"""


def test_a_file_of_the_bundle_that_is_read_without_python_is_seen_when_it_changes(bundle: Bundle) -> None:
    bundle.write("data/letter", "a")
    bundle.write("data/other", "a")
    bundle.write("compiled.py", dag("compiled", _READ_BY_C, "letter.value.decode()"))
    task = ["compiled.py", "compiled", "t"]
    change = f"Path({str(bundle.path)!r}, 'data', {{!r}}).write_text('b'); time.sleep(0.1)"
    shown, output = bundle.run(task, task, change.format("other"), task, change.format("letter"), task, task)
    assert [returned(result) for result in shown] == ["a", "a", "a", "b", "b"], output
    assert was_lent(output, "compiled.py") == 5, output


def test_a_parse_is_used_no_longer_than_it_may(bundle: Bundle) -> None:
    bundle.write("plain.py", dag("plain", "import os\nparser = os.getpid()", "parser"))
    task = ["plain.py", "plain", "t"]
    shown, output = bundle.run(task, "time.sleep(1.2)", task, parse_seconds=1)
    first, second = map(returned, shown)
    assert first != second, output
    assert was_lent(output, "plain.py") == 2, output


def test_a_file_is_kept_from_its_second_task_on(bundle: Bundle) -> None:
    bundle.write("plain.py", dag("plain", "import os\nparser = os.getpid()", "parser == os.getpid()"))
    task = ["plain.py", "plain", "t"]
    shown, output = bundle.run(task, task, task, are_known=False)
    assert [returned(result) for result in shown] == [True, False, False], output
    assert was_lent(output, "plain.py") == 2, output


def test_a_parse_that_is_too_old_is_dropped_without_a_task(bundle: Bundle) -> None:
    bundle.write("plain.py", dag("plain", "", "1"))
    gone = """
from hybrid_workers.parsed import lent
deadline = time.monotonic() + 60
while lent.measure()["parsed_files"] != "0" and time.monotonic() < deadline:
    time.sleep(0.05)
show(lent.measure()["parsed_files"])
"""
    [_, left], output = bundle.run(["plain.py", "plain", "t"], gone, parse_seconds=1)
    assert was_lent(output, "plain.py") == 1
    assert left == "0"


def test_no_task_waits_long_for_a_parse_and_later_ones_use_it(bundle: Bundle) -> None:
    slowly = "import sys, time\nif sys.getprofile(): time.sleep(1)"  # only where its parse is watched
    bundle.write("slow.py", dag("slow", slowly, "'well'"))
    until_lent = """
output = Path(os.readlink("/proc/self/fd/1"))
for _ in range(100):
    assert run("slow.py", "slow", "t")["code"] == 0
    if "slow.py was parsed before" in output.read_text():
        break
"""
    [result], output = bundle.run(["slow.py", "slow", "t"], until_lent, wait_seconds=0.1)
    assert returned(result) == "well", output
    assert "it is still being parsed, for later tasks" in output
    assert was_lent(output, "slow.py") == 1, output


def test_a_watched_parse_may_take_longer_than_airflow_allows(bundle: Bundle) -> None:
    slowly = "import sys, time\nif sys.getprofile(): time.sleep(1.5)"  # only where its parse is watched
    bundle.write("slow.py", dag("slow", slowly, "'well'"))
    limit = "os.environ['AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT'] = '1'"
    [result], output = bundle.run(limit, ["slow.py", "slow", "t"])
    assert returned(result) == "well", output
    assert was_lent(output, "slow.py") == 1, output


def test_a_file_that_changes_all_the_time_is_not_tried_all_the_time(bundle: Bundle) -> None:
    bundle.write("prints.py", dag("prints", "print('parsing')", "1"))
    file = bundle.path / "prints.py"
    change = f"for number in range(20): os.utime({str(file)!r}, (number, number)); know('prints.py')"
    _, output = bundle.run(change)
    assert 1 <= output.count("Each task of prints.py parses it: it prints or logs") < 10, output


def test_only_a_version_of_a_bundle_that_brings_files_is_kept(bundle: Bundle) -> None:
    for version in ("v1", "v2"):
        bundle.write(f"{version}/plain.py", dag("plain", "", f"'{version}'"))
    first, second = (["plain.py", "plain", "t", -1, version] for version in ("v1", "v2"))
    newest = ["plain.py", "plain", "t"]
    shown, output = bundle.run(
        first, first, second, second, newest, newest, kind="tests.integration.workers.versions.Versions"
    )
    assert [returned(result) for result in shown] == ["v1", "v1", "v2", "v2", "v2", "v2"], output
    assert was_lent(output, "plain.py") == 2, output
    assert "a Versions without a version, may bring new files for each task" in output


def test_a_slot_goes_on_where_the_nursery_does_not_answer_and_where_a_request_is_too_large(bundle: Bundle) -> None:
    bundle.write("plain.py", dag("plain", "", "'well'"))
    task = ["plain.py", "plain", "t"]
    large, small = "os.environ['LARGE'] = 'x' * 200_000", "del os.environ['LARGE']"
    freeze = """
import signal
from hybrid_workers.parsed import lent, slot
slot._PATIENCE_SECONDS = 0.5
os.kill(lent._nursery, signal.SIGSTOP)
"""
    shown, output = bundle.run(task, large, task, small, task, freeze, task, task, "os.kill(lent._nursery, 18)")
    assert [returned(result) for result in shown] == ["well"] * 5, output
    assert was_lent(output, "plain.py") == 2, output
    assert output.count("does not answer; for 300 s each task parses its file") == 1, output


def test_no_more_files_are_kept_than_allowed(bundle: Bundle) -> None:
    for name in ("one", "two", "three"):
        bundle.write(f"{name}.py", dag(name, "import os\nparser = os.getpid()", "parser"))
    tasks = [[f"{name}.py", name, "t"] for name in ("one", "two", "one", "three", "one", "two")]
    count = "from hybrid_workers.parsed import lent; show(lent.measure())"
    shown, output = bundle.run(*tasks, count, most_files=2)
    one, two, one_again, _, one_later, two_later = map(returned, shown[:-1])
    assert one == one_again == one_later, output
    assert two != two_later, output
    assert shown[-1]["parsed_files"] == "2"
    assert int(shown[-1]["parsed_bytes"]) > 0


_LONG = dag("long", "import os, subprocess, time", "1").replace(
    "return 1",
    "none = subprocess.DEVNULL; p = subprocess.Popen(['sleep', '600'], stdin=none, stdout=none, stderr=none); "
    "open(os.environ['SEEN'], 'w').write(f'{os.getpid()} {os.getppid()} {p.pid}'); p.wait(); return 5",
)
_BEGIN = """
import threading, signal
def act(what):
    def wait():
        seen = Path(os.environ['SEEN'])
        while not (seen.exists() and len(seen.read_text().split()) == 3):
            time.sleep(0.05)
        task, parent, child = map(int, seen.read_text().split())
        nursery = psutil.Process(parent).ppid()
        show([task, parent, child, nursery])
        own = {'slot': os.getpid(), 'worker': os.getppid()}
        os.kill({'task': task, 'parent': parent, 'nursery': nursery, **own}[what], signal.SIGKILL)
    threading.Thread(target=wait, daemon=True).start()
from tests.processes import is_alive
def alive(*pids):
    return [pid for pid in pids if is_alive(pid)]
"""


@pytest.mark.parametrize("killed", ["task", "parent", "nursery"])
def test_a_task_ends_with_the_processes_that_it_comes_from_and_the_slot_goes_on(bundle: Bundle, killed: str) -> None:
    bundle.write("long.py", _LONG)
    bundle.write("plain.py", dag("plain", "", "'well'"))
    shown, output = bundle.run(_BEGIN, f"act({killed!r})", ["long.py", "long", "t"], ["plain.py", "plain", "t"])
    pids, result, later = shown
    if killed == "task":  # what it started lives on, as ever
        os.kill(pids[2], 9)
    assert result["code"] == -9, output
    assert [json.loads(body)["state"] for path, body in result["asked"] if path.endswith("/state")] == ["failed"]
    assert any("terminated by signal" in line["event"] for line in result["log"])
    assert returned(later) == "well"
    assert was_lent(output, "plain.py") == (0 if killed == "nursery" else 1)
    wait_until(lambda: not alive(*pids), what=lambda: f"nothing is left of {pids}: {alive(*pids)}")


_SLOW = dag(
    "slow", "import os, time\nwhile not os.path.exists(os.environ['SEEN'] + '.gate'): time.sleep(0.02)", "'well'"
)
_KILL_WHILE_PARSING = """
from hybrid_workers.parsed import lent
def kill_while_parsing(what):
    def wait():
        while not (parents := list(lent.children_of(lent._nursery))):
            time.sleep(0.02)
        show([*parents, lent._nursery])
        own = {'slot': os.getpid(), 'worker': os.getppid()}
        os.kill({'parent': parents[0], 'nursery': lent._nursery, **own}[what], signal.SIGKILL)
        Path(os.environ['SEEN'] + '.gate').touch()
    threading.Thread(target=wait, daemon=True).start()
"""


@pytest.mark.parametrize(
    ("killed", "code"), [("parent", 0), ("nursery", 0), ("slot", 247), ("worker", -9)], ids=lambda value: str(value)
)
def test_what_is_killed_while_a_file_is_parsed_leaves_nothing_and_the_task_parses_it(
    bundle: Bundle, killed: str, code: int
) -> None:
    bundle.write("slow.py", _SLOW)
    steps = (
        _BEGIN,
        _KILL_WHILE_PARSING,
        f"kill_while_parsing({killed!r})",
        "know('slow.py')",
        ["slow.py", "slow", "t"],
    )
    shown, output = bundle.run(*steps, code=code, are_known=False)
    [pids, *results] = shown
    assert [returned(result) for result in results] == ([] if code else ["well"]), output
    wait_until(lambda: not alive(*pids), what=lambda: f"nothing is left of {pids}: {alive(*pids)}")


@pytest.mark.parametrize(("killed", "code"), [("slot", 247), ("worker", -9)])
def test_a_task_ends_with_its_slot_and_its_worker_and_so_does_what_it_started(
    bundle: Bundle, killed: str, code: int
) -> None:
    bundle.write("long.py", _LONG)
    shown, _ = bundle.run(_BEGIN, f"act({killed!r})", ["long.py", "long", "t"], code=code)
    [pids, *_] = shown
    wait_until(lambda: not alive(*pids), what=lambda: f"nothing is left of {pids}: {alive(*pids)}")


def test_a_slot_finds_and_ends_the_task_that_it_has_been_lent(bundle: Bundle) -> None:
    """As the worker does where the supervisor itself breaks."""
    bundle.write("long.py", _LONG)
    interrupt = """
from hybrid_workers.processes import RunProcesses
def broken(*_):
    raise OSError("broken while the task ran")
signal.signal(signal.SIGALRM, broken)
processes = RunProcesses()
signal.setitimer(signal.ITIMER_REAL, 4)
"""
    ending = "processes.end(); show(alive(*map(int, Path(os.environ['SEEN']).read_text().split()[::2])))"
    shown, output = bundle.run(_BEGIN, interrupt, ["long.py", "long", "t"], ending)
    assert shown[0]["code"] == "OSError: broken while the task ran", output
    assert shown[1] == [], output


def alive(*pids: int) -> list[int]:
    """Return which processes still run."""
    return [pid for pid in pids if is_alive(pid)]
