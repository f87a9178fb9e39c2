"""Places: how many live attempts of a route are on each of its targets, and what keeps those numbers right.

An attempt is counted by the script that submits it, and leaves in the script that ends it or moves it on. So a limit
holds over all schedulers. What a crash or a lost key may leave behind is repaired here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import redis

from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.states import TERMINAL_STATES
from hybrid_executor.store.keys import Keys
from hybrid_executor.store.scripts import calls, run_script, run_scripts
from hybrid_executor.store.translation import translated
from hybrid_executor.store.wrong_types import checked_answers
from hybrid_executor.targets import place_name

_LIVE_SECONDS = 30 * 86400


class Places:
    """The places of one instance. A place is named by :func:`~hybrid_executor.targets.place_name`."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    @translated
    def counts(self, places: Iterable[str]) -> dict[str, int]:
        """Return how many live attempts are at each place; one round trip."""
        wanted = list(places)
        pipeline = self._client.pipeline(transaction=False)
        for place in wanted:
            pipeline.zcard(self._keys.place(place))
        answers = checked_answers(pipeline.execute(raise_on_error=False)) if wanted else []
        return {place: answer if isinstance(answer, int) else 0 for place, answer in zip(wanted, answers, strict=True)}

    @translated
    def leave(self, attempts: Mapping[AttemptId, int], *, because: str) -> list[bool]:
        """Let attempts leave their target that have a pod which has not started: their agents delete it.

        When the pod is certainly gone, the record is SUBMITTED and on no stream, and its owner moves it on. May be
        repeated.

        :param attempts: with the generation that each must have.
        :return: which of them are to leave.
        """
        answers = run_scripts(
            self._client,
            [
                calls.Leave(
                    attempt_key=self._keys.attempt(attempt),
                    prefix=self._keys.prefix,
                    id=attempt,
                    generation=generation,
                    because=because,
                )
                for attempt, generation in attempts.items()
            ],
        )
        return [bool(answer) for answer in answers]

    @translated
    def sweep(
        self, places: Sequence[tuple[str, str]], *, starts: Mapping[tuple[str, str], int], count: int = 500
    ) -> dict[tuple[str, str], int]:
        """Drop from places what has ended or moved on, ``count`` at each; one round trip.

        :param places: pairs of a route's pattern and the name of a target.
        :param starts: what the last call has returned.
        :return: where the next call goes on at each place, -1 after its end.
        """
        answers = run_scripts(
            self._client,
            [
                calls.SweepPlace(
                    place_key=self._keys.place(place_name(route, target)),
                    prefix=self._keys.prefix,
                    route=route,
                    target=target,
                    start=max(0, starts.get((route, target), 0)),
                    size=count,
                    terminal=TERMINAL_STATES,
                )
                for route, target in places
            ],
        )
        return {place: int(answer) for place, answer in zip(places, answers, strict=True)}

    @translated
    def recount(self, owner: OwnerId, *, cursor: int = 0, count: int = 500) -> int:
        """Count the attempts of a scheduler again, ``count`` or so at a time, in case a place was lost.

        :return: the cursor of the next call, 0 after the last ones.
        """
        call = calls.Recount(
            owner_key=self._keys.owner(owner),
            prefix=self._keys.prefix,
            cursor=str(cursor),
            size=count,
            live_seconds=_LIVE_SECONDS,
            terminal=TERMINAL_STATES,
        )
        return int(run_script(self._client, call))
