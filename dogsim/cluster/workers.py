"""Run workers on the nodes of a cluster, and replace those that are lost.

A worker is a Ray actor that holds an object that is expensive to load. If its process dies, Ray
restarts it on its node (``max_restarts``) and repeats its task (``max_task_retries``). If its node
is lost, its items are assigned to other workers. All waiting has a time limit.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from dogsim import __version__
from dogsim.cluster.connection import MAX_REASON_LENGTH
from dogsim.errors import DogsimError, reason
from dogsim.plumbing.terminal import note

MAX_CPUS_PER_WORKER = 8  # one process cannot use more
MAX_RESTARTS = 3  # of a worker on its node
MAX_ATTEMPTS = 3  # an item for which this many workers were lost is considered the cause
ITEMS_PER_WORKER = 2  # assigned at a time, so that a worker never waits for its next item
POLL_SECONDS = 1.0
NODE_CHECK_SECONDS = 10.0
START_TIMEOUT_SECONDS = 180.0  # for the first worker
ITEM_TIMEOUT_SECONDS = 900.0


def check_version(expected: str) -> None:
    """Raise `DogsimError` if this node has another version of dogsim than the driver."""
    if __version__ != expected:
        raise DogsimError(
            f"This node has dogsim {__version__}. Expected {expected}, the version of the driver"
        )


@dataclass(eq=False)
class _WorkerState:
    """A started worker and its number of unfinished tasks."""

    actor: Any
    node: str
    cpus: int
    ready: bool = False
    n_tasks: int = 0


@dataclass(eq=False)
class _Item:
    """An item of work and the number of workers that were lost while they computed it."""

    number: int
    arguments: tuple[Any, ...]
    attempts: int = 0


@dataclass(eq=False)
class _Task:
    """A running call of a worker; without an item it is the call of ``ready``."""

    worker: _WorkerState
    item: _Item | None
    since: float = field(default_factory=time.monotonic)


class Workers:
    """Workers of one class on all nodes of the connected cluster.

    Parameters
    ----------
    worker_class : class
        A class with a method ``ready(version)``, which raises `DogsimError` if it cannot work on
        its node or with the driver's version of dogsim, and with methods that compute items.
    arguments
        The arguments of its constructor. They must be small: Ray cannot restart a worker whose
        arguments are in a lost object store (ray-project/ray#53727).
    """

    def __init__(self, worker_class: type, *arguments: Any) -> None:
        self._worker_class, self._arguments = worker_class, arguments
        self._workers: list[_WorkerState] = []
        self._nodes: set[str] = set()
        self._tasks: dict[Any, _Task] = {}
        self._started = self._last_node_check = time.monotonic()
        self._reported_waiting = False
        self._start_on_new_nodes()

    def __len__(self) -> int:
        return len(self._workers)

    def results(
        self, method: str, items: Iterable[tuple[Any, ...]], per_worker: int = ITEMS_PER_WORKER
    ) -> Iterator[tuple[int, Any]]:
        """Compute items on the workers; yield each result with its item's number when it is ready.

        Parameters
        ----------
        method : str
            The method of the workers that computes an item.
        items : iterable of tuple
            Its arguments. Worker i computes item i first.
        per_worker : int
            Maximum number of items that are assigned to a worker at a time.

        Raises
        ------
        DogsimError
            An error of a worker, with the name of its node; or if no worker becomes ready in time,
            all workers are lost, or several workers are lost while they compute the same item.
        """
        import ray

        self._discard_tasks()
        waiting = deque(_Item(number, arguments) for number, arguments in enumerate(items))
        while waiting or any(task.item for task in self._tasks.values()):
            self._check_nodes()
            self._assign(method, waiting, per_worker)
            done, _ = ray.wait(list(self._tasks), timeout=POLL_SECONDS)
            for reference in done:
                task = self._tasks.pop(reference)
                task.worker.n_tasks -= 1
                try:
                    result = ray.get(reference, timeout=ITEM_TIMEOUT_SECONDS)
                except ray.exceptions.RayTaskError as error:
                    raise _worker_error(task.worker, error) from error
                except ray.exceptions.RayError as error:
                    self._remove(task.worker)
                    self._put_back(task, waiting, error)
                else:
                    task.worker.ready = True
                    if task.item:
                        yield task.item.number, result
            self._kill_overdue()

    def _discard_tasks(self) -> None:
        """Discard the items of an earlier call that has failed."""
        for reference in [each for each, task in self._tasks.items() if task.item]:
            self._tasks.pop(reference).worker.n_tasks -= 1

    def _start_on_new_nodes(self) -> None:
        import ray

        for node in ray.nodes():
            cpus, node_id = int(node["Resources"].get("CPU", 0)), node["NodeID"]
            if node["Alive"] and cpus and node_id not in self._nodes:
                self._nodes.add(node_id)
                n_workers = -(-cpus // MAX_CPUS_PER_WORKER)
                for _ in range(n_workers):
                    self._start(node, cpus // n_workers)

    def _start(self, node: dict[str, Any], cpus: int) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        threads = {f"{name}_NUM_THREADS": str(cpus) for name in ("OMP", "OPENBLAS")}
        options = ray.remote(self._worker_class).options(
            num_cpus=cpus,
            max_restarts=MAX_RESTARTS,
            max_task_retries=MAX_RESTARTS,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
            runtime_env={"env_vars": threads},
        )
        actor = options.remote(*self._arguments)
        worker = _WorkerState(actor, node["NodeManagerAddress"], cpus, n_tasks=1)
        self._workers.append(worker)
        self._tasks[actor.ready.remote(__version__)] = _Task(worker, None)

    def _assign(self, method: str, waiting: "deque[_Item]", per_worker: int) -> None:
        for _ in range(per_worker):  # every worker gets a first item before any gets a second
            for worker in self._workers:
                if waiting and worker.ready and worker.n_tasks < per_worker:
                    item = waiting.popleft()
                    reference = getattr(worker.actor, method).remote(*item.arguments)
                    self._tasks[reference] = _Task(worker, item)
                    worker.n_tasks += 1

    def _check_nodes(self) -> None:
        """Start workers on new nodes, and report workers that are not ready."""
        now = time.monotonic()
        if now - self._last_node_check < NODE_CHECK_SECONDS and self._workers:
            return
        self._last_node_check = now
        self._start_on_new_nodes()
        late = [worker for worker in self._workers if not worker.ready]
        if late and not self._reported_waiting:
            self._reported_waiting = True
            nodes = ", ".join(f"{worker.node} ({worker.cpus} CPUs)" for worker in late)
            note(f"Waiting for workers to start, or for CPUs used by others, on {nodes}.")
        if not self._workers:
            raise DogsimError(
                "No worker is left, because all nodes are lost. The results so far are stored; "
                "check the cluster."
            )
        if len(late) == len(self._workers) and now - self._started > START_TIMEOUT_SECONDS:
            raise DogsimError(
                f"No worker was ready in {START_TIMEOUT_SECONDS:.0f} seconds. Check with "
                "'ray status' which programs use the CPUs of the cluster."
            )

    def _remove(self, worker: _WorkerState) -> None:
        if worker in self._workers:
            self._workers.remove(worker)
            note(f"Lost a worker on {worker.node}; {len(self._workers)} are left.")

    def _put_back(self, task: _Task, waiting: "deque[_Item]", error: Exception) -> None:
        if task.item is None:
            return
        task.item.attempts += 1
        if task.item.attempts >= MAX_ATTEMPTS:
            raise DogsimError(
                f"{MAX_ATTEMPTS} workers were lost while they computed the same item, the last one "
                f"on {task.worker.node}: {reason(error)[:MAX_REASON_LENGTH]}."
            ) from error
        waiting.appendleft(task.item)

    def _kill_overdue(self) -> None:
        """Kill workers that do not answer in time; their tasks fail and their items are retried."""
        import ray

        for task in self._tasks.values():
            worker = task.worker
            late = time.monotonic() - task.since > ITEM_TIMEOUT_SECONDS * ITEMS_PER_WORKER
            if late and worker in self._workers and (task.item or worker.ready):
                self._remove(worker)
                ray.kill(worker.actor)


def _worker_error(worker: _WorkerState, error: Any) -> DogsimError:
    cause = error.cause if isinstance(error.cause, DogsimError) else error
    return DogsimError(f"{worker.node}: {reason(cause)}.")
