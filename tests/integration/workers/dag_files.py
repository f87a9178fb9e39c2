"""Dag files of all kinds: those that may be parsed once, and those that each task must parse."""

from __future__ import annotations

_TASK = """
with DAG("{name}", schedule=None):
    @task
    def t():
        return {value}
    t()
"""


def dag(name: str, top: str, value: str) -> str:
    return f"from airflow.sdk import DAG, task\n{top}\n" + _TASK.format(name=name, value=value)


REUSED = {
    "plain": dag("plain", "", "[1, 'two']"),
    "dynamic": """
from airflow.sdk import DAG, task
for number in range(3):
    with DAG(f"dynamic_{number}", schedule=None) as made:
        @task
        def t(number=number):
            return number
        t()
    globals()[made.dag_id] = made
""",
    "mapped": """
from airflow.sdk import dag, task
@dag(schedule=None)
def mapped():
    @task
    def t(number):
        return number * 10
    t.expand(number=[1, 2, 3])
mapped()
""",
    "template": """
from airflow.sdk import DAG
from airflow.providers.standard.operators.bash import BashOperator
with DAG("template", schedule=None, template_searchpath=None):
    BashOperator(task_id="t", bash_command="words.sh", params={"who": "you"})
""",
    "factory": """
from airflow.sdk import DAG
from pathlib import Path
import yaml
from factories.makes import make
for name, values in yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text()).items():
    globals()[name] = make(name, values)
""",
    "state": dag("state", "seen = []", "(seen.append(1), len(seen))[1]"),
    "leaves": dag("leaves", "import atexit\natexit.register(lambda: print('bye'))", "1"),
    "logs": dag(
        "logs",
        "import logging, structlog\nold, new = logging.getLogger('old'), structlog.get_logger('new').bind(a=1)",
        "[old.warning('from %s', 'old'), new.error('from new', b=2), print('printed')]",
    ),
    "fails": dag("fails", "", "1 / 0"),
    "exits": dag("exits", "import os", "os._exit(7)"),
    "killed": dag("killed", "import os, signal", "os.kill(os.getpid(), signal.SIGKILL)"),
    "environment": dag("environment", "import os\nos.environ['FROM_TOP'] = 'top'", "os.environ['FROM_TOP']"),
    "copies": dag("copies", "import os\ncopied = dict(os.environ)", "copied['SEEN']"),
    "signals": dag(
        "signals",
        "import re",
        "[line for line in open('/proc/self/status') if re.match('Sig(Blk|Ign|Cgt)|Threads|Umask', line)]",
    ),
    "times_out": """
from datetime import timedelta
import time
from airflow.sdk import DAG, BaseOperator
class Long(BaseOperator):
    def execute(self, context):
        time.sleep(600)
    def on_kill(self):
        self.log.info("killed on time")
with DAG("times_out", schedule=None):
    Long(task_id="t", execution_timeout=timedelta(seconds=0.5))
""",
    "is_told_to_end": """
import os, signal
from airflow.sdk import DAG, BaseOperator
class Ending(BaseOperator):
    def execute(self, context):
        os.kill(os.getpid(), signal.SIGTERM)
        return self.what
    def on_kill(self):
        self.what = "was killed"
with DAG("is_told_to_end", schedule=None):
    Ending(task_id="t")
""",
    "warns": dag("warns", "import warnings\nwarnings.warn('this file is old')", "1"),
    "requests_": dag("requests_", "import requests", "requests.__name__"),  # it opens a socket when it is imported
    "seeded": dag("seeded", "import random\nx = random.Random(7)", "x.random()"),
    "says_little": dag("says_little", "import logging\nlogging.getLogger('quiet').debug('nothing')", "1"),
    "logs_its_way": dag(
        "logs_its_way",
        "import logging\nmine = logging.getLogger('mine')\nmine.setLevel(logging.DEBUG)\n"
        "mine.addHandler(logging.NullHandler())\nlogging.basicConfig(level=logging.DEBUG)",
        "[mine.debug('shown'), logging.getLogger('other').debug('not shown')]",
    ),
    "knows_the_time": dag("knows_the_time", "def later(): return Timestamp.now()", "1"),
    "resolves": dag("resolves", "import os\nx = os.path.realpath(__file__)", "x[-11:]"),
}
NOT_REUSED = {
    "variable": (
        dag("variable", "from airflow.sdk import Variable\nv = Variable.get('k')", "v"),
        "asks for a Variable",
    ),
    "env_variable": (
        dag("env_variable", "from airflow.sdk import Variable\nv = Variable.get('set_here')", "v"),
        "a Variable or a Connection",
    ),
    "broken": ("from airflow.sdk import DAG\nDAG(\n", "cannot be imported"),
    "chance": (dag("chance", "import random\nx = random.random()", "x >= 0"), "random numbers"),
    "unique": (dag("unique", "import uuid\nx = str(uuid.uuid4())", "len(x)"), "random numbers"),
    "clock": (dag("clock", "import datetime\nx = datetime.datetime.now()", "x.year > 2000"), "the time"),
    "thread": (
        dag("thread", "import threading\nx = threading.Thread(target=int)\nx.start(); x.join()", "1"),
        "a thread",
    ),
    "native_thread": (
        dag(
            "native_thread",
            "import ctypes\nc = ctypes.CDLL(None)\n"
            "x = c.pthread_create(ctypes.byref(ctypes.c_ulong()), None, c.pause, None)",
            "x",
        ),
        "a thread",
    ),
    "socket_": (dag("socket_", "import socket\nx = socket.socket()", "x.fileno() > 2"), "a socket"),
    "process": (dag("process", "import subprocess\nx = subprocess.run(['true']).returncode", "x"), "a process"),
    "fork": (dag("fork", "import os\nif not os.fork(): os._exit(0)\nos.wait()", "1"), "a process"),
    "writes": (dag("writes", "open('/tmp/hybrid-parsed-test', 'a').close()", "1"), "writes /tmp"),
    "holds": (dag("holds", "x = open(__file__)", "x.readline()"), "keeps a file open"),
    "context": (
        dag("context", "from airflow.sdk import get_parsing_context\nx = get_parsing_context().dag_id", "x"),
        "which Dag",
    ),
    "prints": (dag("prints", "print('parsing')", "1"), "prints or logs"),
    "handler": (dag("handler", "import signal\nsignal.signal(signal.SIGUSR2, signal.SIG_IGN)", "1"), "signals"),
    "shares": (dag("shares", "import multiprocessing\nx = multiprocessing.Lock()", "1"), ""),
    "profiles": (dag("profiles", "import sys\nsys.setprofile(None)", "1"), "profiles its code"),
    "other_user": (
        dag("other_user", "", "1").replace("@task", "@task(run_as_user='nobody-there')"),
        "another user",
    ),
    "clock_of_the_system": (
        dag("clock_of_the_system", "import time\nx = time.clock_gettime(time.CLOCK_REALTIME)", "x > 1e9"),
        "the time",
    ),
    "clock_of_a_library": (
        dag("clock_of_a_library", "from dateutil.parser import parse\nx = parse('10:00')", "x.hour"),
        "the time",
    ),
    "clock_of_a_module_beside": (
        dag(
            "clock_of_a_module_beside",
            "import os, sys\nsys.path.append(os.environ['AIRFLOW_HOME'])\nfrom beside import x",
            "x.year > 2000",
        ),
        "the time",
    ),
    "compiled_clock": (dag("compiled_clock", "Timestamp = str\nx = Timestamp('now')", "x"), "the time"),
    "compiled_clock_in_a_function": (
        dag(
            "compiled_clock_in_a_function",
            "class Timestamp:\n    now = str\ndef begin():\n    return Timestamp.now()\nx = begin()",
            "x",
        ),
        "the time",
    ),
    "chance_of_the_system": (
        dag("chance_of_the_system", "import random\nx = random.SystemRandom().random()", "x >= 0"),
        "random numbers",
    ),
    "chance_of_its_own": (
        dag("chance_of_its_own", "import random\nx = random.Random(7).random()", "x >= 0"),
        "random numbers",
    ),
    "chance_for_later": (dag("chance_for_later", "import random\nx = random.Random()", "x.random() >= 0"), "random"),
    "chance_of_a_library": (
        dag("chance_of_a_library", "import tempfile\nx = tempfile.mktemp()", "len(x) > 0"),
        "random numbers",
    ),
    "logs_all": (
        dag("logs_all", "import logging\nlogging.getLogger().setLevel(10)", "logging.getLogger('a').debug('shown')"),
        "sets up logging",
    ),
    "logs_more_of_tasks": (
        dag(
            "logs_more_of_tasks",
            "import logging\nlogger = logging.getLogger('airflow.task')\nlogger.setLevel(10)",
            "logger.debug('shown')",
        ),
        "sets up logging",
    ),
    "handles_logs": (
        dag(
            "handles_logs",
            "import logging\nclass Keep(logging.Handler):\n    kept = []\n"
            "    def emit(self, record): self.kept.append(record.getMessage())\n"
            "logging.getLogger().addHandler(Keep())",
            "[logging.getLogger('a').warning('kept'), Keep.kept]",
        ),
        "sets up logging",
    ),
    "binds": (
        dag("binds", "import structlog\nstructlog.contextvars.bind_contextvars(mine=1)", "1"),
        "sets up logging",
    ),
    "shows_errors": (
        dag("shows_errors", "import sys\ndef show(*_): pass\nsys.excepthook = show", "sys.excepthook is show"),
        "sets up logging",
    ),
    "sets_options": (
        dag(
            "sets_options",
            "import logging, os\nos.environ['AIRFLOW__LOGGING__LOGGING_LEVEL'] = 'DEBUG'",
            "logging.getLogger('a').debug('not shown')",
        ),
        "sets options of Airflow",
    ),
    "looks_by_itself": (dag("looks_by_itself", "import os\nx = os.access('/', os.R_OK)", "x"), "looks for files"),
    "looks_at_links": (
        dag("looks_at_links", "import os\nx = os.stat('/', follow_symlinks=False).st_nlink > 0", "x"),
        "looks for files",
    ),
    "looks_within": (
        dag("looks_within", "import os\nx = os.stat('tmp', dir_fd=os.open('/', 0)).st_nlink > 0", "x"),
        "looks for files",
    ),
}
FACTORY = """
from airflow.sdk import DAG, task
def make(name, values):
    with DAG(name, schedule=None) as made:
        @task
        def t():
            return values
        t()
    return made
"""
TASKS: dict[str, tuple[str, str, int]] = {"dynamic": ("dynamic_2", "t", -1), "mapped": ("mapped", "t", 1)}
