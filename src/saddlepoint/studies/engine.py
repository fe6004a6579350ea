"""Engines run jobs: the interface, and the local one on processes of this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

from saddlepoint.counts import MOST_THREADS, check_count
from saddlepoint.errors import InputError
from saddlepoint.studies.job import Job, Outcome
from saddlepoint.studies.work import perform


@runtime_checkable
class Engine(Protocol):
    """Runs jobs, at most `slots` at once. A study knows nothing else of where its cells run.

    >>> isinstance(LocalEngine, type) and hasattr(LocalEngine, "submit")
    True
    """

    slots: int

    def submit(self, job: Job) -> None:
        """Start a job; the caller keeps to `slots`."""
        ...

    def wait(self, timeout: float) -> list[Outcome]:
        """Return the jobs that ended; wait for the first, at most `timeout` seconds."""
        ...

    def close(self) -> None:
        """Stop every worker at once; what they were at is lost."""
        ...


class LocalEngine:
    """Worker processes of this machine, one single-worker pool per slot.

    A pool that breaks then says which job its worker died of; the slot gets a new pool.

    Args:
        workers: how many processes; each runs its cells with the study's own number of threads.

    >>> with LocalEngine(2) as engine:
    ...     engine.wait(0.0)
    []
    """

    def __init__(self, workers: int = 1) -> None:
        check_count("workers", workers, most=MOST_THREADS)
        _check_start()
        self.slots = workers
        self._free = [_pool() for _ in range(workers)]
        self._busy: dict[Future[Outcome], tuple[Job, ProcessPoolExecutor]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, job: Job) -> None:
        """Start a job in a free slot."""
        pool = self._free.pop()
        try:
            future = pool.submit(perform, job)
        except BrokenProcessPool:  # its worker died while it was idle
            pool.shutdown(wait=False)
            pool = _pool()
            future = pool.submit(perform, job)
        self._busy[future] = (job, pool)

    def wait(self, timeout: float) -> list[Outcome]:
        """Return the jobs that ended; wait for the first, at most `timeout` seconds."""
        done, _ = wait(self._busy, timeout=timeout, return_when=FIRST_COMPLETED)
        outcomes = []
        for future in done:
            job, pool = self._busy.pop(future)
            try:
                outcomes.append(future.result())
            except BrokenProcessPool:
                outcomes.append(Outcome(job.cell.address, "lost", 0.0, "its worker process died"))
                pool.shutdown(wait=False)
                pool = _pool()
            self._free.append(pool)
        return outcomes

    def close(self) -> None:
        """Stop every worker at once; what they were at is lost."""
        for pool in (*self._free, *(pool for _, pool in self._busy.values())):
            for process in list((pool._processes or {}).values()):
                with contextlib.suppress(ProcessLookupError, ValueError):
                    process.kill()
            pool.shutdown(wait=True, cancel_futures=True)
        self._free, self._busy = [], {}


def _check_start() -> None:
    """Refuse where a worker could not begin: it runs the script that started it once more."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise InputError(
            "a study was started while a worker of it begins: put the call of run_study under"
            ' if __name__ == "__main__":'
        )
    script = getattr(sys.modules["__main__"], "__file__", None)
    if script is not None and not Path(script).exists():
        raise InputError(f"workers cannot be started from {script}; write the script to a file")


def _pool() -> ProcessPoolExecutor:
    # Not fork: a forked torch can deadlock in its thread pool.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=context, initializer=_begin_worker)


def _begin_worker() -> None:
    """Leave Ctrl-C to the runner, and end where it ends, however that is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    runner = multiprocessing.parent_process()
    if runner is not None:
        threading.Thread(target=_end_with, args=(runner.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait_for([sentinel])
    os._exit(1)
