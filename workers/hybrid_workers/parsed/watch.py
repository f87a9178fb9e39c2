"""Sees what the code of a Dag file does while it is parsed, and stops what must not be done for later tasks.

Python's audit events tell of files, sockets, processes and threads; a profile function tells of clocks, chance and
files that were only looked for; and keys of the environment are seen as they are encoded. What is forbidden raises
before it has happened: the file then goes the ordinary way, in which it may do it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

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
}
_LISTINGS = frozenset({"os.listdir", "os.scandir"})
_HARMLESS_SOCKET_EVENT = "socket.gethostname"
_WRITING_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_SPECIAL = ("/proc/", "/sys/", "/dev/")
_BYTE_CODE = f"{os.sep}__pycache__"
_CLOCKS = frozenset(
    {"now", "utcnow", "today", "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "localtime", "gmtime"}
) | {"yesterday", "tomorrow", "ctime", "asctime", "perf_counter_ns", "process_time", "process_time_ns"}
_CHANCE = frozenset(
    {"uuid1", "uuid4", "urandom", "getrandom", "token_hex", "token_bytes", "token_urlsafe", "randbits", "randbelow"}
) | {"choice", "choices", "sample", "randint", "randrange"}
_BARE_LOOKS = frozenset({"stat", "lstat", "access", "readlink"})
_LOOKS = frozenset({"exists", "lexists", "isfile", "isdir", "is_file", "is_dir", "getmtime", "getsize", "stat"})
_ASKS_FOR_SECRETS = frozenset(
    {"_get_variable", "_get_variable_keys", "_get_connection", "_async_get_connection"}
    | {"get_variable_from_secrets", "get_connection_from_secrets"}
)
_SECRETS_MODULES = ("execution_time/context.py", "models/variable.py", "models/connection.py")
_SENDS = frozenset({"incr", "decr", "gauge", "timing", "timer", "start_span"})
_SENDING_MODULES = ("observability/metrics/stats.py", "opentelemetry/sdk/trace/__init__.py")
_THREAD_STARTS = frozenset({"start_new_thread", "start_joinable_thread"})
_NAMES = _CLOCKS | _CHANCE | _BARE_LOOKS | {"strftime"}
_SEEN_NAMES = _NAMES | _LOOKS | _THREAD_STARTS | _ASKS_FOR_SECRETS | _SENDS
_LOOKING_MODULES = ("genericpath.py", "posixpath.py", "pathlib.py", "pathlib/__init__.py", "pathlib/_abc.py")
_PARSING_CONTEXT = "_AIRFLOW_PARSING_CONTEXT"


class Forbidden(BaseException):
    """Ends a parse whose result cannot be used for later tasks."""


class ParseWatch:
    """Watches one parse in this process.

    :param bundle: the directory of the bundle: code from there is the Dag author's.
    :ivar reason: why the result must not be used again, "" as long as it may.
    :ivar read: what was read, listed or looked for, as it was just before.
    """

    def __init__(self, bundle: str) -> None:
        self._bundle = os.path.join(bundle, "")
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
        if path not in self.read and not is_installed(path):
            self.read[path] = stamp(path)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch within the context. Python keeps the audit hook for ever; it then does nothing."""
        global _current
        encode = os.environ.encodekey
        os.environ.encodekey = self._encode_with(encode)
        if not _is_hooked:
            _hook()
        _current = self
        sys.setprofile(self._make_profile())
        try:
            yield
        finally:
            sys.setprofile(None)
            _current = None
            os.environ.encodekey = encode

    def event(self, name: str, args: tuple[Any, ...]) -> None:
        """Judge one audit event."""
        if name == "open":
            self._opened(*args[:3])
        elif name in _LISTINGS:
            self.note("." if args[0] is None else args[0])
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

    def _encode_with(self, encode: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def seen(key: Any) -> Any:
            if isinstance(key, str) and key.startswith(_PARSING_CONTEXT):
                self.forbid("it asks which Dag or task it is parsed for")
            return encode(key)

        return seen

    def _make_profile(self) -> Callable[[FrameType, str, Any], None]:
        """Return what is called for each call of a function; most of them must cost little."""
        judge, names = self._called, _SEEN_NAMES

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
            if name in _LOOKS and frame.f_code.co_filename.endswith(_LOOKING_MODULES):
                self._looked(frame)
            if name in _ASKS_FOR_SECRETS and frame.f_code.co_filename.endswith(_SECRETS_MODULES):
                self.forbid("it asks for a Variable or a Connection")
            if name in _SENDS and frame.f_code.co_filename.endswith(_SENDING_MODULES) and _has_name(frame):
                self.forbid("it sends a metric or a span")
        if name in _THREAD_STARTS:
            self.forbid("it starts a thread")
        if name in _NAMES and caller is not None and caller.f_code.co_filename.startswith(self._bundle):
            if name in _CHANCE:
                self.forbid("it uses random numbers")
            if name in _CLOCKS or getattr(builtin, "__module__", "") == "time":
                self.forbid("it asks for the time")
            if frame is None and name in _BARE_LOOKS:
                self.forbid("it looks for files in a way that cannot be seen")

    def _looked(self, frame: FrameType) -> None:
        values = frame.f_locals
        self.note(next((values[key] for key in ("path", "filename", "self") if key in values), None))


def _has_name(frame: FrameType) -> bool:
    """Return whether a number or a span has a name; Airflow also takes the time without sending it."""
    return frame.f_locals.get("stat", "") is not None


_current: ParseWatch | None = None
_is_hooked = False


def _hook() -> None:
    global _is_hooked

    def audit(name: str, args: tuple[Any, ...]) -> None:
        if _current is not None:
            _current.event(name, args)

    sys.addaudithook(audit)
    _is_hooked = True


def _is_byte_code(args: tuple[Any, ...]) -> bool:
    """Return whether Python keeps a module's byte code: that is no effect of the module."""
    return bool(args) and isinstance(args[0], str) and _BYTE_CODE in args[0]
