"""Where the runs of a sweep happen: in processes on this machine, or on a Ray cluster.

A place has `workers` (runs at a time), `threads` (of each), `call(function, *arguments)`, which waits for a process of
the call's own, and `stop()`. A process of its own for each run, because one that is killed for memory then takes no
other run with it; spawned, because the threads of numba and OpenMP do not survive a fork.
"""

import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from gridless.config.errors import ConfigError
from gridless.runs.threads import compute_with, cores

REFRESH = 0.5  # seconds between two looks at what is running
CONNECT = 10.0  # seconds for a cluster to answer


class CallError(RuntimeError):
    """A call that failed, in one line."""


class Processes:
    """Spawned processes on this machine. `workers` defaults to one per two cores; OMP_NUM_THREADS is respected."""

    def __init__(self, workers: int | None = None):
        self.workers = _positive(workers) or max(1, cores() // 2)
        self.threads = int(os.environ.get("OMP_NUM_THREADS") or max(1, cores() // self.workers))
        self.others = multiprocessing.active_children()
        self.slots: SimpleQueue[int] = SimpleQueue()  # each worker's place, so that two share no GPU while others idle
        for slot in range(self.workers):
            self.slots.put(slot)

    def __str__(self) -> str:
        return f"{_count(self.workers, 'worker')} of {_count(self.threads, 'thread')} on {_count(cores(), 'core')}"

    def call(self, function: Callable, *arguments) -> Any:
        spawn, slot = multiprocessing.get_context("spawn"), self.slots.get()
        try:
            with ProcessPoolExecutor(1, spawn, initializer=_begin, initargs=(self.threads, slot)) as process:
                return _unwrapped(process.submit(_spoken, function, arguments).result())
        except BrokenProcessPool:
            raise CallError("its process died: killed, or out of memory") from None
        finally:
            self.slots.put(slot)

    def stop(self) -> None:
        for child in multiprocessing.active_children():
            if child not in self.others:
                child.terminate()


class Cluster:
    """A Ray cluster by its address. Its machines have gridless installed and share this one's folders, at one path."""

    def __init__(self, address: str, workers: int | None = None):
        try:
            import ray  # pyright: ignore[reportMissingImports]  an extra
        except ImportError as error:
            raise ImportError(f"a sweep on a cluster needs ray ({error}); pip install 'gridless[ray]'") from None
        workers = _positive(workers)
        _reach(address)
        ray.init(address, log_to_driver=False, logging_level="error")
        self.ray, whole = ray, ray.cluster_resources()
        self.cores, largest = int(whole["CPU"]), max(int(node["Resources"].get("CPU", 0)) for node in ray.nodes())
        self.gpus = 1 if whole.get("GPU") else 0
        self.workers = workers or max(1, int(whole["GPU"]) if self.gpus else self.cores // 2)
        self.threads = max(1, min(largest, self.cores // self.workers))

    def __str__(self) -> str:
        size = _count(self.cores, "core")
        return f"{_count(self.workers, 'worker')} of {_count(self.threads, 'thread')} on a Ray cluster of {size}"

    def call(self, function: Callable, *arguments) -> Any:
        # max_calls: a process of its own, as here; retries: a lost machine's run goes on elsewhere from its checkpoint
        task = self.ray.remote(num_cpus=self.threads, num_gpus=self.gpus, max_calls=1, max_retries=1)(_on_cluster)
        try:
            return _unwrapped(self.ray.get(task.remote(os.getcwd(), self.threads, function, arguments)))
        except self.ray.exceptions.RayError as error:
            raise CallError(_line(error)) from None

    def stop(self) -> None:
        self.ray.shutdown()


def run_all(
    place: Processes | Cluster, function: Callable, calls: Mapping[str, tuple]
) -> Generator[dict[str, tuple[str, str]], None, None]:
    """Calls the function with every entry's arguments; one that fails stops no other.

    Yields, again and again until all have ended, each entry's state (queued, running, done, failed) and error. Whoever
    leaves early closes this (contextlib.closing), and nothing goes on.
    """
    slots = ThreadPoolExecutor(place.workers)
    futures = {name: slots.submit(place.call, function, *arguments) for name, arguments in calls.items()}
    waiting = set(futures.values())
    try:
        yield {name: _state(future) for name, future in futures.items()}
        while waiting:
            waiting = wait(waiting, REFRESH, FIRST_COMPLETED).not_done
            yield {name: _state(future) for name, future in futures.items()}
    finally:
        slots.shutdown(wait=False, cancel_futures=True)
        while not all(future.done() for future in futures.values()):
            place.stop()
            time.sleep(0.1)


def _state(future: Future) -> tuple[str, str]:
    if not future.done():
        return ("running" if future.running() else "queued"), ""
    error = future.exception()
    return ("failed", _line(error)) if error else ("done", "")


def _begin(threads: int, slot: int) -> None:
    """In a new process: its threads, its GPU, and its end as soon as the process that started it is gone, however that
    ended."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "started by a pool"
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends its children itself
    compute_with(threads)
    _see_one_gpu(slot)


def _see_one_gpu(slot: int) -> None:
    """Of the GPUs that this process may see, the slot's, by turns; before CUDA looks."""
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = [str(i) for i in range(torch.cuda.device_count())] if visible is None else visible.split(",")
    if gpus and gpus != [""]:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]


def _on_cluster(folder: str, threads: int, function: Callable, arguments: tuple) -> tuple[Any, str]:
    os.chdir(Path(folder))
    compute_with(threads)
    return _spoken(function, arguments)


def _spoken(function: Callable, arguments: tuple) -> tuple[Any, str]:
    """The function's answer, or its error in one line: not every exception survives the way between two processes."""
    try:
        return function(*arguments), ""
    except Exception as error:
        return None, _line(error)


def _unwrapped(answer: tuple[Any, str]) -> Any:
    value, error = answer
    if error:
        raise CallError(error)
    return value


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _reach(address: str) -> None:
    """Ray waits for ever for a cluster that is not there."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        try:
            socket.create_connection((host, int(port)), CONNECT).close()
        except OSError as error:
            raise ConnectionError(
                f"no Ray cluster at {address} ({error}); `ray start --head` prints one's address"
            ) from None


def _positive(workers: int | None) -> int | None:
    if workers is not None and workers < 1:
        raise ConfigError(f"--workers takes a number of at least 1, got {workers}")
    return workers


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"
