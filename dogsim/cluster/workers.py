"""Workers on the nodes of a cluster, and what is done when one of them is lost.

A worker is an actor of Ray that holds what is dear to load. Ray starts it again on its node when
its process dies (``max_restarts``) and asks it anew (``max_task_retries``). When its node is lost,
what it was asked goes to another one. Nothing is waited for without a limit.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from dogsim import __version__
from dogsim.errors import DogsimError, reason
from dogsim.plumbing.terminal import note

CPUS = 8  # of a worker, at most: one process cannot feed more
RESTARTS = 3  # of a worker on its node
ATTEMPTS = 3  # workers that are lost over the same item before that is what is to blame
AHEAD = 2  # items that a worker is given at a time, so that it never waits for the next one
TICK = 1.0  # seconds between two looks at the cluster
NEWS = 10.0  # seconds between two looks for new nodes, and until one is told that workers wait
START = 180.0  # seconds in which the first worker must be ready
LIMIT = 900.0  # seconds that an item may take


def require_same_version(expected: str) -> None:
    """Raise `DogsimError` if this node has another dogsim than the one that asks."""
    if __version__ != expected:
        raise DogsimError(f"This node has dogsim {__version__}. Expected {expected}, as it is here")


@dataclass(eq=False)
class _Worker:
    actor: Any
    node: str
    cpus: int
    ready: bool = False
    asked: int = 0


@dataclass(eq=False)
class _Item:
    number: int
    arguments: tuple[Any, ...]
    attempts: int = 0


@dataclass(eq=False)
class _Asked:
    """A question that is under way; without an item it is whether the worker is ready."""

    worker: _Worker
    item: _Item | None
    since: float = field(default_factory=time.monotonic)


class Workers:
    """Workers of one kind on all nodes of the cluster that one is connected to.

    Parameters
    ----------
    kind : class
        What a worker is: a class with a method ``ready(version)``, which raises `DogsimError` if it
        cannot work on its node or with a dogsim of that version, and methods that answer.
    arguments
        Of its constructor. They are small, or Ray could not start a worker again whose driver's
        object store is gone (ray-project/ray#53727).
    """

    def __init__(self, kind: type, *arguments: Any) -> None:
        self._kind, self._arguments = kind, arguments
        self._workers: list[_Worker] = []
        self._nodes: set[str] = set()
        self._asked: dict[Any, _Asked] = {}
        self._began = self._looked = time.monotonic()
        self._told = False
        self._place()

    def __len__(self) -> int:
        return len(self._workers)

    def results(
        self, method: str, items: Iterable[tuple[Any, ...]], ahead: int = AHEAD
    ) -> Iterator[tuple[int, Any]]:
        """Ask the workers for each item's result; yield them as they come, with their numbers.

        Parameters
        ----------
        method : str
            The workers' method that is called.
        items : iterable of tuple
            Its arguments. Worker i gets item i first.
        ahead : int
            How many items a worker is given at a time.

        Raises
        ------
        DogsimError
            What a worker raises, with the name of its node; if no worker is ready in time, all are
            lost, or several are lost over the same item.
        """
        import ray

        self._forget()
        waiting = deque(_Item(number, arguments) for number, arguments in enumerate(items))
        while waiting or any(asked.item for asked in self._asked.values()):
            self._look_around()
            self._give(method, waiting, ahead)
            done, _ = ray.wait(list(self._asked), timeout=TICK)
            for reference in done:
                asked = self._asked.pop(reference)
                asked.worker.asked -= 1
                try:
                    result = ray.get(reference, timeout=LIMIT)
                except ray.exceptions.RayTaskError as error:
                    raise self._failure(asked.worker, error) from error
                except ray.exceptions.RayError as error:
                    self._lose(asked.worker)
                    self._put_back(asked, waiting, error)
                else:
                    asked.worker.ready = True
                    if asked.item:
                        yield asked.item.number, result
            self._stop_the_overdue()

    def _forget(self) -> None:
        """Forget what was asked in a search that has failed."""
        for reference in [each for each, asked in self._asked.items() if asked.item]:
            self._asked.pop(reference).worker.asked -= 1

    def _place(self) -> None:
        """Start workers on nodes that have none."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        actor = ray.remote(self._kind)
        for node in ray.nodes():
            cpus, node_id = int(node["Resources"].get("CPU", 0)), node["NodeID"]
            if not node["Alive"] or not cpus or node_id in self._nodes:
                continue
            self._nodes.add(node_id)
            parts = -(-cpus // CPUS)
            threads = {f"{name}_NUM_THREADS": str(cpus // parts) for name in ("OMP", "OPENBLAS")}
            for _ in range(parts):
                started = actor.options(
                    num_cpus=cpus // parts,
                    max_restarts=RESTARTS,
                    max_task_retries=RESTARTS,
                    scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False),
                    runtime_env={"env_vars": threads},
                ).remote(*self._arguments)
                worker = _Worker(started, node["NodeManagerAddress"], cpus // parts)
                self._workers.append(worker)
                self._asked[started.ready.remote(__version__)] = _Asked(worker, None)
                worker.asked += 1

    def _give(self, method: str, waiting: "deque[_Item]", ahead: int) -> None:
        for _ in range(ahead):  # to each its first item before any gets a second
            for worker in self._workers:
                if waiting and worker.ready and worker.asked < ahead:
                    item = waiting.popleft()
                    reference = getattr(worker.actor, method).remote(*item.arguments)
                    self._asked[reference] = _Asked(worker, item)
                    worker.asked += 1

    def _look_around(self) -> None:
        """See what nodes there are now and then, and that workers do not wait unseen."""
        now = time.monotonic()
        if now - self._looked < NEWS and self._workers:
            return
        self._looked = now
        self._place()
        late = [worker for worker in self._workers if not worker.ready]
        if late and not self._told:
            self._told = True
            wanted = ", ".join(f"{worker.node} ({worker.cpus} CPUs)" for worker in late)
            note(f"Waiting for workers to start, or for CPUs that others use, on {wanted}.")
        if not self._workers:
            raise DogsimError(
                "No worker is left: their nodes are lost. What is done is kept; see to the cluster."
            )
        if len(late) == len(self._workers) and now - self._began > START:
            raise DogsimError(
                f"No worker was ready in {START:.0f} seconds. See by 'ray status' who uses the "
                "CPUs of the cluster."
            )

    def _lose(self, worker: _Worker) -> None:
        if worker in self._workers:
            self._workers.remove(worker)
            note(f"Lost a worker on {worker.node}; {len(self._workers)} go on.")

    def _put_back(self, asked: _Asked, waiting: "deque[_Item]", error: Exception) -> None:
        if asked.item is None:
            return
        asked.item.attempts += 1
        if asked.item.attempts >= ATTEMPTS:
            raise DogsimError(
                f"{ATTEMPTS} workers were lost over the same work, the last one on "
                f"{asked.worker.node}: {reason(error)[:300]}."
            ) from error
        waiting.appendleft(asked.item)

    def _stop_the_overdue(self) -> None:
        """Kill workers that do not answer; what they were asked fails, and goes to others."""
        import ray

        for asked in self._asked.values():
            worker, late = asked.worker, time.monotonic() - asked.since > LIMIT * AHEAD
            if late and worker in self._workers and (asked.item or worker.ready):
                self._lose(worker)
                ray.kill(worker.actor)

    def _failure(self, worker: _Worker, error: Any) -> DogsimError:
        cause = error.cause if isinstance(error.cause, DogsimError) else error
        return DogsimError(f"{worker.node}: {reason(cause)}.")
