"""What Dag files say about executors, queues and pods, read from their syntax. Nothing is imported or run.

Found are literal values and names of constants of the same file. A file that cannot be parsed is one entry with its
error, and the others are read all the same.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hybrid_executor.errors import TaskRejected
from hybrid_executor.kube.legacy import KEY as LEGACY_KEY
from hybrid_executor.kube.legacy import pod_of_legacy
from hybrid_executor.kube.overrides import OVERRIDE_KEY, TEMPLATE_KEY, read_overrides
from hybrid_executor.migration.removed_modules import replacement_of

_SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "venv"})
_TASK_ENDINGS = ("Operator", "Sensor", "Task")
_TASK_METHODS = frozenset({"task", "partial", "override", "Operator"})
_UNKNOWN = object()


@dataclass(frozen=True)
class Use:
    """A call or a dict of default arguments that sets an executor or a queue.

    :ivar line: of the executor, else of the queue. :ivar queue_line: of the queue, 0 for none.
    :ivar executor: its text; "" for none; ``None`` if it is an expression. :ivar queue: the same.
    """

    line: int
    where: str
    executor: str | None = ""
    queue: str | None = ""
    queue_line: int = 0
    is_default_args: bool = False


@dataclass(frozen=True)
class DagFile:
    """What one file says.

    :ivar path: relative to the folder. :ivar error: why it could not be read.
    :ivar imports: line, module with name, and what to write instead.
    :ivar refused: line of an ``executor_config`` and why it is refused here.
    :ivar templates: line and path of a pod template.
    """

    path: str
    uses: tuple[Use, ...] = ()
    imports: tuple[tuple[int, str, str], ...] = ()
    refused: tuple[tuple[int, str], ...] = ()
    templates: tuple[tuple[int, str], ...] = ()
    error: str = ""


def read_dags(folder: Path) -> list[DagFile]:
    """Return what each Python file in the folder and below says, in the order of their paths."""
    return [read_file(path, name=str(path.relative_to(folder))) for path in sorted(_python_files(folder))]


def _python_files(folder: Path) -> Iterator[Path]:
    seen: set[str] = set()
    for root, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:  # a link to a folder above
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if name not in _SKIPPED_FOLDERS and not name.startswith(".")]
        yield from (Path(root) / name for name in files if name.endswith(".py"))


def read_file(path: Path, *, name: str) -> DagFile:
    """Return what one file says."""
    try:
        tree = ast.parse(path.read_bytes(), filename=name)
    except SyntaxError as error:
        return DagFile(name, error=f"line {error.lineno or 0}: {error.msg}")
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        return DagFile(name, error=str(error) or type(error).__name__)
    reader = _Reader(tree)
    try:
        reader.visit(tree)
    except RecursionError:
        return DagFile(name, error="its expressions are nested too deeply to be read")
    return DagFile(
        name,
        tuple(sorted(reader.uses, key=lambda use: use.line)),
        tuple(reader.imports),
        tuple(reader.refused),
        tuple(reader.templates),
    )


@dataclass
class _Reader(ast.NodeVisitor):
    tree: ast.Module
    uses: list[Use] = field(default_factory=list)
    imports: list[tuple[int, str, str]] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    templates: list[tuple[int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._constants: dict[str, ast.expr] = {}
        self._seen: set[int] = set()
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
                self._constants[node.targets[0].id] = node.value
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
                self._constants[node.target.id] = node.value

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._import(node.lineno, alias.name, "")

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names if node.module and not node.level else ():
            self._import(node.lineno, str(node.module), alias.name)

    def _import(self, line: int, module: str, name: str) -> None:
        if (instead := replacement_of(module, name)) is not None:
            self.imports.append((line, f"{module}.{name}" if name else module, instead))

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name) and target.id.endswith("default_args"):
                self._default_args(node.value)
            elif isinstance(target, ast.Attribute) and target.attr in ("executor", "queue"):
                text = self._text(node.value)
                if text:
                    use = Use(node.lineno, ast.unparse(target), **{target.attr: text})  # type: ignore[arg-type]
                    self.uses.append(use)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        given = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
        callee = _name_of(node.func)
        if "default_args" in given:
            self._default_args(given["default_args"])
        is_task = _is_task(node.func)
        if is_task or "task_id" in given or "executor_config" in given:
            self._use(given, f"{callee}(...)", is_default_args=False)
        elif "executor" in given and isinstance(self._resolve(given["executor"]), ast.Constant):
            # Not a task by its name, but a text: pools of threads are objects.
            self._use(given, f"{callee}(...)", is_default_args=False)
        self.generic_visit(node)

    def _default_args(self, node: ast.expr) -> None:
        found = self._resolve(node)
        if not isinstance(found, ast.Dict) or id(found) in self._seen:
            return
        self._seen.add(id(found))
        given = {
            str(key.value): value
            for key, value in zip(found.keys, found.values, strict=True)
            if isinstance(key, ast.Constant)
        }
        self._use(given, "default_args", is_default_args=True)

    def _use(self, given: Mapping[str, ast.expr], where: str, *, is_default_args: bool) -> None:
        if "executor_config" in given:
            self._executor_config(given["executor_config"])
        executor, queue = given.get("executor"), given.get("queue")
        texts = {"executor": self._text(executor), "queue": self._text(queue)}
        if texts == {"executor": "", "queue": ""}:
            return
        first = executor if executor is not None and texts["executor"] != "" else queue
        self.uses.append(
            Use(
                first.lineno if first is not None else 0,
                where,
                texts["executor"],
                texts["queue"],
                queue.lineno if queue is not None else 0,
                is_default_args,
            )
        )

    def _text(self, node: ast.expr | None) -> str | None:
        """Return a text; "" for nothing or None; ``None`` for an expression."""
        if node is None:
            return ""
        found = self._resolve(node)
        if not isinstance(found, ast.Constant):
            return None
        return found.value if isinstance(found.value, str) else ""

    def _resolve(self, node: ast.expr) -> ast.expr:
        for _ in range(5):
            if not isinstance(node, ast.Name) or node.id not in self._constants:
                break
            node = self._constants[node.id]
        return node

    def _executor_config(self, node: ast.expr) -> None:
        found = self._resolve(node)
        if not isinstance(found, ast.Dict):
            return
        config: dict[str, object] = {}
        for key, value in zip(found.keys, found.values, strict=True):
            if isinstance(key, ast.Constant):
                config[str(key.value)] = self._value(value)
        template = config.get(TEMPLATE_KEY)
        if isinstance(template, str):
            self.templates.append((node.lineno, template))
        try:
            _check_config(config)
        except TaskRejected as error:
            self.refused.append((node.lineno, str(error)))

    def _value(self, node: ast.expr) -> object:
        """Return a literal; in a dict, values that are none are :data:`_UNKNOWN`."""
        node = self._resolve(node)
        if isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            return {str(key.value): self._value(value) for key, value in pairs if isinstance(key, ast.Constant)}
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return _UNKNOWN


def _check_config(config: Mapping[str, object]) -> None:
    """Check an ``executor_config`` as the executor does, as far as its values are literals.

    :raises TaskRejected: the executor would refuse it.
    """
    if config.get(OVERRIDE_KEY) is not None and config.get(LEGACY_KEY):
        read_overrides({OVERRIDE_KEY: {"metadata": {}, "spec": {}}, LEGACY_KEY: {"image": "any"}})
    legacy = config.get(LEGACY_KEY)
    if isinstance(legacy, Mapping):
        # A value that is not known here counts as not given, and its key is checked all the same.
        pod_of_legacy({key: None if _has_unknown(value) else value for key, value in legacy.items()})
    override = config.get(OVERRIDE_KEY)
    if override is not None and not _has_unknown(override):
        read_overrides({OVERRIDE_KEY: override})


def _has_unknown(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(_has_unknown(item) for item in value.values())
    return value is _UNKNOWN


def _name_of(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Call):
        return _name_of(node.func)
    return node.id if isinstance(node, ast.Name) else "a call"


def _is_task(node: ast.expr) -> bool:
    """Return whether a call makes a task: an operator, a sensor, ``@task``, ``partial`` or ``override``."""
    if _name_of(node).endswith(_TASK_ENDINGS) or _name_of(node) in _TASK_METHODS:
        return True
    return isinstance(node, ast.Attribute) and _is_task_module(node.value)


def _is_task_module(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "task"
