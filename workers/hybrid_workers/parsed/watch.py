"""Sees what the code of a Dag file does while it is parsed, and stops what must not be done for later tasks.

Python's audit events tell of files, sockets, processes and threads; a profile function tells of clocks, chance and
files that were only looked for; and keys of the environment are seen as they are encoded. What is forbidden raises
before it has happened: the file then goes the ordinary way, in which it may do it.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from functools import wraps
from types import CodeType, FrameType
from typing import Any

from hybrid_workers.parsed.opened import OpenedFiles
from hybrid_workers.parsed.stamps import Stamp, is_installed, stamp

_STARTS_PROCESS = "it starts a process"
_WRITES = "it writes, moves or deletes a file"
_FORBIDDEN = {
    **dict.fromkeys(("os.system", "subprocess.Popen", "os.fork", "os.forkpty", "os.exec"), _STARTS_PROCESS),
    **dict.fromkeys(("os.posix_spawn", "os.spawn", "pty.spawn"), _STARTS_PROCESS),
    **dict.fromkeys(("os.kill", "os.killpg", "signal.pthread_kill"), "it sends a signal"),
    **dict.fromkeys(("fcntl.flock", "fcntl.lockf", "os.lockf"), "it locks a file"),
    **dict.fromkeys(("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.chmod", "os.chown"), _WRITES),
    **dict.fromkeys(("os.link", "os.symlink", "os.utime", "os.setxattr", "os.removexattr"), _WRITES),
    **dict.fromkeys(("tempfile.mkstemp", "tempfile.mkdtemp", "sqlite3.connect"), _WRITES),
    "sys.setprofile": "it profiles its code",
}
_LISTINGS = frozenset({"os.listdir", "os.scandir"})
_EVERYDAY = frozenset({"object.__getattr__", "builtins.id"})  # the former also comes from each call that is profiled
_HARMLESS_SOCKET_EVENT = "socket.gethostname"
_WRITING_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_SPECIAL = ("/proc/", "/sys/", "/dev/")
_BYTE_CODE = f"{os.sep}__pycache__"
_DATES = frozenset({"now", "utcnow", "today"})
_DURATIONS = frozenset(
    {"monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time", "process_time_ns"}
)
_CLOCKS = _DATES | _DURATIONS
_CLOCKS |= {"yesterday", "tomorrow", "time", "time_ns", "localtime", "gmtime", "ctime", "asctime"}
_CLOCKS |= {"clock_gettime", "clock_gettime_ns"}
_SOURCES_OF_CHANCE = frozenset({"urandom", "getrandom", "uuid1", "random", "getrandbits", "seed"})
_CHANCE = frozenset(
    {"urandom", "getrandom", "uuid1", "uuid4", "token_hex", "token_bytes", "token_urlsafe", "randbits", "randbelow"}
)
_CHANCE |= {"choice", "choices", "sample", "randint", "randrange"}
_COMPILED_DATES = frozenset({"Timestamp", "Period", "to_datetime", "datetime64"})
_BARE_LOOKS = frozenset({"stat", "lstat", "access", "readlink"})
_LOOKS = frozenset(
    {"exists", "lexists", "isfile", "isdir", "is_file", "is_dir", "islink", "realpath", "getmtime", "getsize", "stat"}
)
_ASKS_FOR_SECRETS = frozenset(
    {"_get_variable", "_get_variable_keys", "_get_connection", "_async_get_connection"}
    | {"get_variable_from_secrets", "get_connection_from_secrets"}
)
_SECRETS_MODULES = ("execution_time/context.py", "models/variable.py", "models/connection.py")
_SENDS = frozenset({"incr", "decr", "gauge", "timing", "timer", "start_span"})
_SENDING_MODULES = ("observability/metrics/stats.py", "opentelemetry/sdk/trace/__init__.py")
_THREAD_STARTS = frozenset({"start_new_thread", "start_joinable_thread"})
_NAMES = _CLOCKS | _CHANCE | {"strftime"}
_SEEN_NAMES = _NAMES | _BARE_LOOKS | _SOURCES_OF_CHANCE | _LOOKS | _THREAD_STARTS | _ASKS_FOR_SECRETS | _SENDS
_LOOKING_MODULES = frozenset({"genericpath", "posixpath", "pathlib", "hybrid_workers"})
_PYTHONS_OWN = sys.stdlib_module_names | {"importlib_metadata"}  # it looks at directories of installed packages
_LOGGING_MODULES = frozenset({"logging", "structlog"})
_IMPORTS = "<frozen importlib."
_PARSING_CONTEXT = "_AIRFLOW_PARSING_CONTEXT"


class Forbidden(BaseException):
    """Ends a parse whose result cannot be used for later tasks."""


class ParseWatch:
    """Watches one parse in this process.

    :param bundle: the directory of the bundle.
    :param own: other directories with code of the Dag authors, but for what is installed there.
    :ivar reason: why the result must not be used again, "" as long as it may.
    :ivar read: what was read, listed or looked for, as it was just before.
    """

    def __init__(self, bundle: str, own: Sequence[str] = ()) -> None:
        self._bundle = os.path.join(bundle, "")
        self._own = tuple(os.path.join(directory, "") for directory in own)
        self._names = set(_SEEN_NAMES)
        self._suspects: set[CodeType] = set()
        self.reason = ""
        self.read: dict[str, Stamp] = {}

    def forbid(self, reason: str) -> None:
        """Note why, and end the parse.

        :raises Forbidden: always.
        """
        self.reason = self.reason or reason
        raise Forbidden(reason)

    def note(self, path: object) -> None:
        """Note a file or directory that is read, listed or looked for."""
        if isinstance(path, bytes | os.PathLike):
            path = os.fsdecode(path)
        if not isinstance(path, str):
            return
        path = os.path.abspath(path)
        if path not in self.read and (f"{path}/".startswith(self._bundle) or not is_installed(path)):
            self.read[path] = stamp(path)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch within the context. Python keeps the audit hook for ever; it then does nothing."""
        global _current
        encode = os.environ.encodekey
        os.environ.encodekey = self._encode_with(encode)
        if not _is_hooked:
            _hook()
        with OpenedFiles(self._bundle) as opened, _stat_in_python():
            sys.setprofile(self._make_profile())
            _current = self
            try:
                yield
            finally:
                _current = None
                sys.setprofile(None)
                os.environ.encodekey = encode
                paths, are_all = opened.take()
                for path in paths:
                    self.note(path)
                if not are_all:
                    self.reason = self.reason or "more files of its bundle are opened than can be seen"

    def event(self, name: str, args: tuple[Any, ...]) -> None:
        """Judge one audit event."""
        if name == "open":
            self._opened(*args[:3])
        elif name in _LISTINGS:
            self.note("." if args[0] is None else args[0])
        elif name == "exec":
            self._executes(args[0])
        elif name.startswith("socket.") and name != _HARMLESS_SOCKET_EVENT:
            self.forbid("it uses a socket")
        elif (reason := _FORBIDDEN.get(name)) and not _is_byte_code(args):
            self.forbid(reason)

    def _opened(self, path: object, mode: object, flags: object) -> None:
        if isinstance(path, int):
            return
        name = os.fsdecode(path) if isinstance(path, bytes | os.PathLike) else str(path)
        writes = isinstance(flags, int) and flags & _WRITING_FLAGS
        if isinstance(mode, str):
            writes = any(letter in mode for letter in "wax+")
        if writes:
            if name != os.devnull and _BYTE_CODE not in name:
                self.forbid(f"it writes {name}")
        elif name.startswith(_SPECIAL) and name != os.devnull:
            self.forbid(f"it reads {name}")
        else:
            self.note(name)

    def _executes(self, code: object) -> None:
        """Look for what an author's module asks of compiled extensions: Python tells no profile function of it."""
        if not isinstance(code, CodeType) or not self._is_own(code):
            return
        for part in _with_nested(code):
            if _COMPILED_DATES.intersection(part.co_names) and _DATES.intersection(part.co_names + part.co_consts):
                self._suspects.add(part)
                self._names.add(part.co_name)
        if code in self._suspects:
            self.forbid("it asks for the time")

    def _encode_with(self, encode: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def seen(key: Any) -> Any:
            if isinstance(key, str) and key.startswith(_PARSING_CONTEXT):
                self.forbid("it asks which Dag or task it is parsed for")
            return encode(key)

        return seen

    def _make_profile(self) -> Callable[[FrameType, str, Any], None]:
        """Return what is called for each call of a function; most of them must cost little."""
        judge, names = self._called, self._names

        def profile(frame: FrameType, event: str, arg: Any) -> None:
            if event == "call":
                if (name := frame.f_code.co_name) in names:
                    judge(name, frame, frame.f_back, None)
            elif event == "c_call" and (name := getattr(arg, "__name__", "")) in names:
                judge(name, None, frame, arg)

        return profile

    def _called(self, name: str, frame: FrameType | None, caller: FrameType | None, builtin: Any) -> None:
        """Judge the call of a function.

        :param frame: of a function in Python; else ``builtin`` is called.
        """
        if frame is not None:
            if name in _LOOKS and _top_module(frame) in _LOOKING_MODULES:
                self._looked(frame)
            if name in _ASKS_FOR_SECRETS and frame.f_code.co_filename.endswith(_SECRETS_MODULES):
                self.forbid("it asks for a Variable or a Connection")
            if name in _SENDS and frame.f_code.co_filename.endswith(_SENDING_MODULES) and _has_name(frame):
                self.forbid("it sends a metric or a span")
            if frame.f_code in self._suspects:
                self.forbid("it asks for the time")
        if name in _SOURCES_OF_CHANCE and _is_chance(name, builtin, frame) and self._is_asked_for(caller):
            self.forbid("it uses random numbers")
        if name in _CLOCKS and _is_wall_clock(name, builtin) and self._is_asked_for(caller):
            self.forbid("it asks for the time")
        if name in _THREAD_STARTS:
            self.forbid("it starts a thread")
        if name in _BARE_LOOKS and frame is None and not _is_seen(caller) and self._is_asked_for(caller):
            self.forbid("it looks for files in a way that cannot be seen")
        if name in _NAMES and caller is not None and self._is_own(caller.f_code):
            if name in _CHANCE:
                self.forbid("it uses random numbers")
            if name in _CLOCKS or getattr(builtin, "__module__", "") == "time":
                self.forbid("it asks for the time")

    def _is_own(self, code: CodeType) -> bool:
        file = code.co_filename
        return file.startswith(self._bundle) or (file.startswith(self._own) and not is_installed(file))

    def _is_asked_for(self, frame: FrameType | None) -> bool:
        """Return whether an author's code wants it, through whatever library, and not the import of a library."""
        while frame is not None:
            if self._is_own(frame.f_code):
                return True
            if frame.f_code.co_filename.startswith(_IMPORTS) or _top_module(frame) in _LOGGING_MODULES:
                return False
            frame = frame.f_back
        return False

    def _looked(self, frame: FrameType) -> None:
        values = frame.f_locals
        self.note(next((values[key] for key in ("path", "filename", "self") if key in values), None))


def _top_module(frame: FrameType) -> str:
    """Return the package or module whose code it is; the file of a frozen module tells less."""
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


@contextmanager
def _stat_in_python() -> Iterator[None]:
    """Let ``os.stat`` be a function in Python, whose calls tell of their paths."""
    ask = os.stat

    @wraps(ask)
    def stat(path: Any, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
        return ask(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)

    os.stat = stat
    try:
        yield
    finally:
        os.stat = ask


def _is_seen(frame: FrameType | None) -> bool:
    """Return whether what a function looks for was noted; not if it asks for a link itself, or from a directory."""
    if frame is not None and frame.f_globals is globals():  # the function of _stat_in_python
        asked, frame = frame.f_locals, frame.f_back
        if asked["dir_fd"] is None and asked["follow_symlinks"]:
            return True
    return _is_pythons_own(frame)


def _is_pythons_own(frame: FrameType | None) -> bool:
    return frame is None or _top_module(frame) in _PYTHONS_OWN


def _is_chance(name: str, builtin: Any, frame: FrameType | None) -> bool:
    if frame is not None:
        is_seeded = name == "seed" and frame.f_locals.get("a") is not None
        return _top_module(frame) in ("random", "uuid") and not is_seeded
    if name == "seed":  # seen as it is called in Python
        return False
    return getattr(builtin, "__module__", "") == "posix" or isinstance(
        getattr(builtin, "__self__", None), random.Random
    )


def _is_wall_clock(name: str, builtin: Any) -> bool:
    if getattr(builtin, "__module__", "") == "time":
        return name not in _DURATIONS
    asked = getattr(builtin, "__self__", None)
    return isinstance(asked, type) and issubclass(asked, date)


def _with_nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _with_nested(constant)


def _has_name(frame: FrameType) -> bool:
    """Return whether a number or a span has a name; Airflow also takes the time without sending it."""
    return frame.f_locals.get("stat", "") is not None


_current: ParseWatch | None = None
_is_hooked = False


def _hook() -> None:
    global _is_hooked

    def audit(name: str, args: tuple[Any, ...]) -> None:
        if name not in _EVERYDAY and _current is not None:
            _current.event(name, args)

    sys.addaudithook(audit)
    _is_hooked = True


def _is_byte_code(args: tuple[Any, ...]) -> bool:
    """Return whether Python keeps a module's byte code: that is no effect of the module."""
    return bool(args) and isinstance(args[0], str) and _BYTE_CODE in args[0]
