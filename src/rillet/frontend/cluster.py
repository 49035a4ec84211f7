"""tf.train.ClusterSpec and tf.train.Server: TensorFlow 1's processes that work together.

rillet works in one process, and each server that is made here stands for it: `tf.Session(server.target)` is a session of
this process. A target of a cluster some of whose servers are elsewhere is refused.
"""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from rillet.core.export import public
from rillet.frontend.config_objects import ClusterDef, ConfigProto, ServerDef


def _checked_tasks(job: str, given: Any) -> dict[int, str]:
    if isinstance(given, dict):
        tasks = dict(sorted(given.items()))
    elif isinstance(given, (list, tuple)):
        tasks = dict(enumerate(given))
    else:
        raise TypeError(f"The tasks for job {job!r} must be a list or a dictionary from integers to strings.")
    for index, address in tasks.items():
        if not isinstance(index, int) or not isinstance(address, str):
            raise TypeError(f"The tasks for job {job!r} must be a list or a dictionary from integers to strings.")
    return tasks


@public("train.ClusterSpec")
class ClusterSpec:
    """The processes of a cluster: their addresses, by job and index.

    cluster: {job: [address, ...] or {index: address}}, a ClusterSpec or a ClusterDef. TypeError for anything else.
    """

    def __init__(self, cluster: Any) -> None:
        if isinstance(cluster, ClusterSpec):
            cluster = {job: dict(tasks) for job, tasks in cluster._tasks.items()}
        elif isinstance(cluster, ClusterDef):
            cluster = {job.name: dict(job.tasks) for job in cluster.job}
        elif not isinstance(cluster, dict):
            raise TypeError(
                "`cluster` must be a dictionary mapping one or more job names to lists of network addresses, or a "
                "`ClusterDef` protocol buffer"
            )
        self._tasks: dict[str, dict[int, str]] = {job: _checked_tasks(job, tasks) for job, tasks in cluster.items()}

    @property
    def jobs(self) -> list[str]:
        return list(self._tasks)

    def as_dict(self) -> dict[str, Any]:
        """{job: [address, ...]}, or {index: address} where indices are missing."""
        return {
            job: list(tasks.values()) if list(tasks) == list(range(len(tasks))) else dict(tasks)
            for job, tasks in self._tasks.items()
        }

    def as_cluster_def(self) -> Any:
        result = ClusterDef()
        for job in sorted(self._tasks):
            result.job.add(name=job, tasks=self._tasks[job])
        return result

    def _of(self, job_name: str) -> dict[int, str]:
        if job_name not in self._tasks:
            raise ValueError(f"No such job in cluster: {job_name!r}")
        return self._tasks[job_name]

    def num_tasks(self, job_name: str) -> int:
        return len(self._of(job_name))

    def task_indices(self, job_name: str) -> list[int]:
        return list(self._of(job_name))

    def task_address(self, job_name: str, task_index: int) -> str:
        tasks = self._of(job_name)
        if task_index not in tasks:
            raise ValueError(f"No task with index {task_index} in job {job_name!r}")
        return tasks[task_index]

    def job_tasks(self, job_name: str) -> list[str | None]:
        """The addresses of a job, None where an index is missing."""
        tasks = self._of(job_name)
        return [tasks.get(index) for index in range(max(tasks, default=-1) + 1)]

    def __bool__(self) -> bool:
        return bool(self._tasks)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ClusterSpec) and self._tasks == other._tasks

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        whole = self.as_dict()
        return f"ClusterSpec({ ({job: whole[job] for job in sorted(whole)})!r})"


@public(v1=["train.Server"])
class Server:
    """This process as a task of a cluster. `target` is what a session takes.

    server_or_cluster_def: a ClusterSpec, ClusterDef, ServerDef or dict. job_name, task_index: which of its tasks this is;
        they may be left out where there is only one. Raises ValueError for a task that the cluster has not.
    """

    _made_here: ClassVar[set[str]] = set()  # the addresses of the servers of this process

    def __init__(
        self,
        server_or_cluster_def: Any,
        job_name: str | None = None,
        task_index: int | None = None,
        protocol: str | None = None,
        config: Any = None,
        start: bool = True,
    ) -> None:
        definition = server_or_cluster_def
        if isinstance(definition, ServerDef):
            cluster = ClusterSpec(definition.cluster)
            job_name = job_name or definition.job_name
            task_index = definition.task_index if task_index is None else task_index
            protocol = protocol or definition.protocol
        else:
            cluster = ClusterSpec(definition)
        if job_name is None and len(cluster.jobs) != 1:
            raise ValueError("Must specify an explicit `job_name`: the cluster has several jobs.")
        job = cluster.jobs[0] if job_name is None else job_name
        if task_index is None and cluster.num_tasks(job) != 1:
            raise ValueError(f"Must specify an explicit `task_index`: the job {job!r} has several tasks.")
        index = cluster.task_indices(job)[0] if task_index is None else task_index
        self._cluster = cluster
        self._definition = ServerDef(
            cluster=cluster.as_cluster_def(),
            job_name=job,
            task_index=index,
            protocol=protocol or "grpc",
            default_session_config=config or ConfigProto(),
        )
        self._made_here.add(cluster.task_address(job, index))

    @property
    def target(self) -> str:
        """What tf.Session takes: this process. NotImplementedError where a task of the cluster is another process."""
        tasks = [address for job in self._cluster.jobs for address in self._cluster.job_tasks(job) if address]
        elsewhere = [address for address in tasks if address not in self._made_here]
        if elsewhere:
            raise NotImplementedError(
                f"rillet works in one process, and of this cluster's {len(tasks)} tasks it has not made "
                f"{', '.join(elsewhere)}.\n    Try: a tf.train.Server in this program for each of them, or a cluster of one: "
                "tf.train.Server.create_local_server()."
            )
        return ""

    @property
    def server_def(self) -> Any:
        return self._definition

    def start(self) -> None:
        """A server that is this process runs already."""

    def join(self) -> NoReturn:
        """RuntimeError: nobody uses this server from outside, and a wait would never end."""
        raise RuntimeError("server.join() waits for ever: nobody outside this process uses this server.")

    @staticmethod
    def create_local_server(config: Any = None, start: bool = True) -> Server:
        """A server of this process alone."""
        return Server({"localhost": ["localhost:0"]}, protocol="grpc", config=config, start=start)
