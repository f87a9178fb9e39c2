"""What must hold at each run of a Lua script: what it answers and writes follows from what Redis held before.

Each judge below says once more, and in other words, when a script may write. So a missing condition shows at the first
run that it should have stopped, also where a later repair would make good what was written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, get_type_hints

from hybrid_executor.states import TERMINAL_STATES
from hybrid_executor.store.keys import LAUNCH_GROUP, OWNER
from hybrid_executor.store.scripts import calls, load_script
from tests.simulation.faults import script_names
from tests.simulation.names import QUEUES
from tests.simulation.redis_streams import position_of

if TYPE_CHECKING:
    from tests.simulation.redis_server import RedisServer

Record = Mapping[str, str]
_TERMINAL = frozenset(state.value for state in TERMINAL_STATES)
_NONE: Record = {}


class Scripts:
    """Looks at each run of a script before and after it.

    :ivar violations: what did not hold.
    """

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self.violations: list[str] = []
        server.around_script = self._look

    def _look(self, digest: str, keys: Sequence[str], texts: Sequence[str], run: Callable[[], Any]) -> Any:
        name = script_names().get(digest, "")
        judge = _JUDGES.get(name)
        if judge is None:
            return run()
        call = Run(self._server, name, keys, texts)
        judgement = judge(call)
        next(judgement)
        call.answer = run()
        self.violations += [f"{name.lower()}.lua: {complaint}" for complaint in judgement]
        return call.answer


class Run:
    """One run of a script.

    :ivar answer: what it answered, once it has run.
    """

    def __init__(self, server: RedisServer, name: str, keys: Sequence[str], texts: Sequence[str]) -> None:
        self.peek = server.peek
        self.home = server.replication_id
        self.keys = list(keys)
        self.answer: Any = None
        self._given: dict[str, Any] = {}
        next_key, next_text = iter(keys), iter(texts)
        for field, slot in _slots(name):
            if slot == "keys":
                self._given[field] = list(next_key)
            elif slot == "key":
                self._given[field] = next(next_key, None)
            elif slot == "texts":
                self._given[field] = list(next_text)
            else:
                self._given[field] = next(next_text)

    def __getitem__(self, field: str) -> Any:
        return self._given[field]

    def number(self, field: str) -> int | None:
        """Return an argument that is a number, or is left out."""
        return int(self[field]) if self[field] else None

    def record(self, field: str = "attempt_key") -> Record:
        """Return a copy of a record, empty where there is none."""
        return self.record_at(self[field])

    def record_at(self, key: str) -> Record:
        """Return a copy of the record of a key, empty where there is none."""
        return dict(self.peek(key) or _NONE)


Judge = Callable[[Run], Iterator[str]]
"""Yields once before the script has run, and then what does not hold."""


def _generation(record: Record) -> int:
    return int(record.get("generation") or 0)


def _has_ended(record: Record) -> bool:
    return record.get("state") in _TERMINAL


def _judge_epoch(run: Run) -> Iterator[str]:
    """Another server than before begins another epoch, and what was submitted before it waits."""
    epoch, home = run.peek(run["epoch_key"]), run.peek(run["home_key"])
    yield ""
    if epoch and home and home != run.home:
        if run.peek(run["epoch_key"]) == epoch:
            yield "Redis is another server, and the epoch is the old one"
        if not run.peek(run["unsettled_key"]):
            yield "Redis is another server, and nothing waits until all have written again what they know"


def _judge_claim(run: Run) -> Iterator[str]:
    before, sent = run.record(), run.number("sent_generation")
    yield ""
    code, after, unsettled = run.answer[0], run.record(), int(run.peek(run["unsettled_key"]) or 0)
    is_repeated = before.get("state") == "running" and run["token"] and before.get("claim_token") == run["token"]
    is_stale = sent is not None and sent < _generation(before)
    may_win = not before or (
        before["state"] == "submitted" and not is_stale and before.get("pool", run["pool"]) == run["pool"]
    )
    must_wait = unsettled and int(before.get("submitted_at") or 0) <= unsettled
    if is_repeated:
        if code != 1 or after != before:
            yield "a claim that was granted is not granted again"
    elif not may_win:
        if code != 0 or after != before:
            yield f"a claim of what is {before['state']} is not refused"
    elif must_wait:
        if code != 2 or after != before:
            yield "a claim is granted though Redis may have fallen back"
    elif code != 1 or after.get("state") != "running" or _generation(after) != _generation(before) + 1:
        yield f"a claim of what waits is answered by {code}"


def _judge_advance(run: Run) -> Iterator[str]:
    before, expected, entry = run.record(), run.number("generation"), run["acknowledged_id"]
    yield ""
    code, after = run.answer[0], run.record()
    may_change = bool(before) and before["state"] in run["sources"].strip(",").split(",")
    if expected is not None and expected != _generation(before):
        may_change = False
    if run["only_pod"] and before.get("pod") not in (None, "", run["only_pod"]) and before["state"] != "submitted":
        may_change = False
    if run["needs_workload"] == "1" and before.get("pool", "kubernetes") != "kubernetes":
        may_change = False
    if not may_change and (code > 0 or after != before):
        yield f"what is {before.get('state')} in generation {_generation(before)} became {after.get('state')}"
    if code <= 0 and after != before:
        yield f"a change that was refused ({code}) was made"
    stream = run.peek(run["acknowledged_key"]) if entry and run["acknowledged_key"] else None
    if stream is not None:
        position, group = position_of(entry, 0), stream.groups.get(LAUNCH_GROUP)
        if stream.find(position) is not None or (group is not None and position in group.pending):
            yield "an outcome leaves its launch on the stream"


def _judge_submit(run: Run) -> Iterator[str]:
    items = [json.loads(text) for text in run["items"][::4]]
    destinations = json.loads(run["destinations"])
    befores = [run.record_at(run.keys[item["first_key"] - 1]) for item in items]
    are_queued = [_is_queued(run, item["id"], before) for item, before in zip(items, befores, strict=True)]
    yield ""
    unsettled = int(run.peek(run["unsettled_key"]) or 0)
    for item, before, is_queued, answer in zip(items, befores, are_queued, run.answer, strict=True):
        after = run.record_at(run.keys[item["first_key"] - 1])
        destination = destinations[item["destination"] - 1]
        is_expected = _generation(before) == item["expected_generation"] and not _has_ended(before)
        if item.get("only_waits") and before.get("state") != "submitted":
            is_expected = False
        if item.get("only_waits") and unsettled and int(before.get("submitted_at") or 0) <= unsettled:
            is_expected = False
        if answer > 0 and not is_expected:
            yield f"what is {before.get('state')} in generation {_generation(before)} was submitted"
        # A worker may have a message from before a loss of data, and have died with it.
        if answer > 0 and is_queued and not item.get("only_waits") and not before.get("received_by"):
            yield "a message was sent again that waits in its queue"
        if answer <= 0 and after != before:
            yield f"a submission that was refused ({answer}) was made"
        if answer > 0 and after.get("owner") != destination["owner"]:
            yield "a submission has another owner"
        old = before.get("owner")
        is_moved = answer > 0 and old and old != destination["owner"]
        if is_moved and item["id"] in (run.peek(run["prefix"] + OWNER + old) or ()):
            yield "a submission by another owner leaves the attempt with the first"


def _is_queued(run: Run, attempt: str, before: Record) -> bool:
    """Return whether the message of an attempt waits in its queue."""
    if before.get("state") != "submitted" or before.get("pool") != "celery":
        return False
    messages = [json.loads(message)["headers"] for queue in QUEUES for message in run.peek(queue) or ()]
    return any(headers["id"] == attempt for headers in messages)


def _judge_restore(run: Run) -> Iterator[str]:
    before = run.record()
    yield ""
    after, generation = run.record(), int(run["generation"])
    may_replace = run["replaces_older"] == "1" and "ended_at" not in before and _generation(before) < generation
    if before and not may_replace and (run.answer or after != before):
        yield f"the record of what is {before.get('state')} was written again"
    if before.get("owner") and after.get("owner") != before["owner"]:
        yield f"a record that was written again went from {before['owner']} to {after.get('owner')}"
    if not before and (not run.answer or _generation(after) != generation):
        yield "a lost record was not written again"


def _judge_adopt(run: Run) -> Iterator[str]:
    before, old_owner = run.record(), run.record().get("owner", "")
    yield ""
    after = run.record()
    if _has_ended(before) and after != before:
        yield "what has ended was adopted"
    if before and not _has_ended(before):
        members = run.peek(run["prefix"] + OWNER + old_owner) or ()
        if after.get("owner") != run["owner"] or (old_owner not in ("", run["owner"]) and run["id"] in members):
            yield f"an adoption leaves the attempt with {old_owner}"


def _judge_annotate(run: Run) -> Iterator[str]:
    before = run.record()
    yield ""
    if (not before or "ended_at" in before) and (run.answer or run.record() != before):
        yield "a note was written to what does not live"


def _judge_leave(run: Run) -> Iterator[str]:
    before = run.record()
    yield ""
    may_leave = before.get("state") in ("launching", "pending") and _generation(before) == int(run["generation"])
    if bool(run.answer) != may_leave or (not may_leave and run.record() != before):
        yield f"what is {before.get('state')} leaves its target"


def _judge_give_warm(run: Run) -> Iterator[str]:
    before, generation = run.record(), int(run["generation"])
    taken = dict(run.peek(run["warm_taken_key"]) or {})
    yield ""
    code, pod = run.answer
    after = run.record()
    is_decided = before.get("warm_generation") == str(generation)
    is_last_call = run["is_last_call"] == "1" and before.get("state") == "submitted" and not before.get("warm")
    if _generation(before) != generation and (code or after != before):
        yield "a launch of another generation gets a waiting pod"
    elif is_decided and not is_last_call and (code == 1 or after != before or pod not in ("", before.get("warm"))):
        yield "it was decided again whether a launch gets a waiting pod"
    elif before.get("state") not in ("submitted", "launching", "pending") and (code or after != before):
        yield f"what is {before.get('state')} gets a waiting pod"
    elif code == 1 and pod and (pod in taken or before["state"] != "submitted"):
        yield f"the waiting pod {pod} was given away again"


def _judge_offer_warm(run: Run) -> Iterator[str]:
    fence = int((run.peek(run["lease_key"]) or {}).get("fence") or 0)
    before = dict(run.peek(run["warm_ready_key"]) or {})
    yield ""
    ready = dict(run.peek(run["warm_ready_key"]) or {})
    if fence > int(run["fence"]):
        if ready != before:
            yield "an old keeper says which pods wait"
        return
    taken, offered = run.peek(run["warm_taken_key"]) or {}, run["pods"][: int(run["offered_count"])]
    if set(ready) & set(taken):
        yield "a waiting pod that was given away is offered again"
    if set(ready) != set(offered) - set(taken):
        yield "the pods that are offered are not those that wait"


def _judge_due(run: Run) -> Iterator[str]:
    before = run.record()
    yield ""
    is_warm = before.get("warm") and before.get("warm_generation") == run["generation"]
    may_be_due = before.get("state") == "pending" and _generation(before) == int(run["generation"])
    if run.answer == 1 and (not may_be_due or is_warm or before.get("hand_over") == run["generation"]):
        yield f"what is {before.get('state')} is to be handed over"


def _judge_erase(run: Run) -> Iterator[str]:
    before = run.record()
    yield ""
    is_expected = _generation(before) == int(run["generation"]) and (_has_ended(before) or run["is_forced"] == "1")
    if before and not is_expected and run.peek(run["attempt_key"]) is None:
        yield f"the record of what is {before.get('state')} was deleted"


def _judge_forget(run: Run) -> Iterator[str]:
    before = run.record()
    yield ""
    if run.answer and before and not _has_ended(before) and before.get("owner") == run["owner"]:
        yield "a live attempt is dropped from its owner's set"


def _judge_renew(run: Run) -> Iterator[str]:
    before, payload = run.record(), run.peek(run["payload_key"])
    yield ""
    may_renew = (
        before.get("state") in run["states"].strip(",").split(",") and before.get("generation") == run["generation"]
    )
    if not may_renew and (run.answer or run.peek(run["payload_key"]) != payload):
        yield f"what is {before.get('state')} got another workload"


def _judge_version(run: Run) -> Iterator[str]:
    fence, version = int((run.peek(run["lease_key"]) or {}).get("fence") or 0), run.peek(run["version_key"])
    yield ""
    if 0 < int(run["fence"]) < fence and run.peek(run["version_key"]) != version:
        yield "an old watcher replaces the version of the new one"


def _judge_withdraw(run: Run) -> Iterator[str]:
    life = run.record("member_key").get("life")
    yield ""
    if run["life"] and life and life != run["life"] and not run.record("member_key"):
        yield "the announcement of another life is withdrawn"


def _judge_leave_group(run: Run) -> Iterator[str]:
    stream = run.peek(run["launch_key"])
    group = stream.groups.get(LAUNCH_GROUP) if stream is not None else None
    held = [one for one in group.pending.values() if one.consumer == run["consumer"]] if group is not None else []
    yield ""
    if held and run.answer:
        yield f"{run['consumer']} leaves the group with {len(held)} entries"


_JUDGES: Mapping[str, Judge] = {
    "Epoch": _judge_epoch,
    "Claim": _judge_claim,
    "Advance": _judge_advance,
    "Submit": _judge_submit,
    "Restore": _judge_restore,
    "Adopt": _judge_adopt,
    "Annotate": _judge_annotate,
    "Leave": _judge_leave,
    "GiveWarm": _judge_give_warm,
    "OfferWarm": _judge_offer_warm,
    "Due": _judge_due,
    "Erase": _judge_erase,
    "Forget": _judge_forget,
    "Renew": _judge_renew,
    "Version": _judge_version,
    "Withdraw": _judge_withdraw,
    "LeaveGroup": _judge_leave_group,
}


@cache
def _slots(name: str) -> tuple[tuple[str, str], ...]:
    table = getattr(calls, name)
    return tuple(zip(get_type_hints(table), load_script(table).slots, strict=True))
