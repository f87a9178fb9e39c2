"""What to write in Dag files, line by line, and the queues that tasks use. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from hybrid_executor.migration.dag_reading import DagFile, Use
from hybrid_executor.migration.executors import Executors
from hybrid_executor.migration.finding import Finding
from hybrid_executor.migration.plan import Asked, Plan, Target

_PAGE = "docs/migration.md#executor-in-dag-files"


@dataclass(frozen=True)
class Effective:
    """A use with what it inherits from the default arguments of its file.

    :ivar executor: "" for none. :ivar queue: ``None`` for none.
    """

    file: DagFile
    use: Use
    executor: str
    queue: str | None

    @property
    def asked(self) -> Asked:
        """The key of :attr:`~hybrid_executor.migration.plan.Plan.targets`."""
        return self.executor, self.queue


def effective_uses(files: Iterable[DagFile]) -> list[Effective]:
    """Return all uses whose executor and queue are known, with what they inherit.

    If a file has several default arguments with different values, tasks inherit none of them: it is not known which.
    """
    found = []
    for file in files:
        executor, queue = _inherited(file)
        for use in file.uses:
            if use.executor is None or use.queue is None:
                continue
            inherits = not use.is_default_args
            found.append(
                Effective(
                    file,
                    use,
                    use.executor or (executor if inherits else ""),
                    use.queue or (queue if inherits else "") or None,
                )
            )
    return found


def _inherited(file: DagFile) -> tuple[str, str]:
    defaults = [use for use in file.uses if use.is_default_args]
    executors = {use.executor or "" for use in defaults}
    queues = {use.queue or "" for use in defaults}
    return (executors.pop() if len(executors) == 1 else "", queues.pop() if len(queues) == 1 else "")


def advise(files: Sequence[DagFile], uses: Sequence[Effective], *, old: Executors, plan: Plan) -> Iterator[Finding]:
    """Return a finding for each line of the Dags that has to change."""
    targets = {(one.file.path, id(one.use)): one for one in uses}
    for file in files:
        if file.error:
            yield _finding("check", file.path, 0, f"cannot be read ({file.error}), so nothing is known about it")
        for line, name, instead in file.imports:
            why = "Airflow 3 does not have this module"
            yield _finding("change", file.path, line, f"imports {name}", instead, why)
        for line, words in file.refused:
            yield _finding("change", file.path, line, words)
        for use in file.uses:
            one = targets.get((file.path, id(use)))
            if one is None:
                yield from _advise_on_expression(file, use)
            else:
                yield from _advise_on_use(one, old=old, plan=plan)


def _advise_on_expression(file: DagFile, use: Use) -> Iterator[Finding]:
    if use.executor is None:
        yield _finding(
            "check",
            file.path,
            use.line,
            f"{use.where}: executor= is an expression",
            "write queue= instead, with a queue whose route leads to the same pool",
            "an executor that is not configured breaks the import of the Dag",
        )
    elif use.queue is None:
        words = f"{use.where}: queue= is an expression, so the queue is not known here"
        yield _finding("check", file.path, use.queue_line, words, "airflow hybrid routes QUEUE shows its pool")


def _advise_on_use(one: Effective, *, old: Executors, plan: Plan) -> Iterator[Finding]:
    use, path = one.use, one.file.path
    if not one.executor:
        return
    entry = old.find(one.executor)
    if entry is None:
        if use.executor:
            yield _finding(
                "change",
                path,
                use.line,
                f"{use.where}: executor={use.executor!r} is not configured",
                "remove it; write queue= where the task should run elsewhere",
                "it breaks the import of the Dag, today as well",
            )
        return
    target = plan.targets.get(one.asked)
    if target is None:  # another executor stays beside ours
        return
    inherited, inherited_queue = _inherited(one.file)
    instead = _what_to_write(use, one, target, has_inherited=bool(inherited or inherited_queue), old=old)
    if not instead:
        return
    now = f"executor={use.executor!r}" if use.executor else f"queue={use.queue!r}, and the executor of default_args"
    why = "the executor of that name is not configured any more, which breaks the import of the Dag"
    yield _finding(
        "change", path, use.line, f"{use.where}: {now}", instead, why if use.executor else "the queue decides now"
    )


def _what_to_write(use: Use, one: Effective, target: Target, *, has_inherited: bool, old: Executors) -> str:
    queue = target.queue
    if queue is None and has_inherited and not use.is_default_args:
        queue = old.default_queue  # or the task would inherit the new queue of default_args
    own_queue = use.queue or None
    words = []
    key = "'executor': {0!r}" if use.is_default_args else "executor={0!r}"
    queue_words = ("'queue': {0!r}" if use.is_default_args else "queue={0!r}").format(queue)
    new_executor = key.format(target.executor) if target.executor else ""
    if use.executor:
        old_words = key.format(use.executor)
        if queue is not None and queue != own_queue:
            new = ", ".join(filter(None, (new_executor, queue_words)))
            words.append(f"{new} instead of {old_words}" + (f" and queue {own_queue!r}" if own_queue else ""))
        elif new_executor:
            words.append(f"{new_executor} instead of {old_words}")
        else:
            words.append(f"remove {old_words}" + (f"; {queue_words} stays" if own_queue else ""))
    elif queue is not None and queue != own_queue:
        words.append(queue_words)
    return "; ".join(words)


def _finding(kind: str, path: str, line: int, what: str, instead: str = "", why: str = "") -> Finding:
    return Finding(
        kind=kind,  # type: ignore[arg-type]
        subject=f"{path}:{line}" if line else path,
        what=what,
        instead=instead,
        why=why,
        documented=_PAGE,
    )
