from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import runner_jobs
import sanoscope.studies.cluster
from dask_cluster import DaskCluster, dask_cluster
from runner_jobs import DeadlyToReceive, Meeting
from sanoscope.errors import OptionError, SanoscopeError
from sanoscope.studies.runner import Runner

DIED = "its process ended at once (killed, or out of memory)"


def outcomes(runner: Runner, work: Callable[[Any], Any], jobs: Sequence[Any]) -> tuple[dict[Any, Any], dict[Any, str]]:
    """Results and reasons by job; none is told twice."""
    results: dict[Any, Any] = {}
    reasons: dict[Any, str] = {}

    def done(job: Any, result: Any) -> None:
        assert job not in results
        results[job] = result

    def failed(job: Any, reason: str) -> None:
        assert job not in reasons
        reasons[job] = reason

    runner.run(work, jobs, done, failed)
    return results, reasons


def meetings(folder: Path, jobs: int, held: Sequence[int]) -> list[Meeting]:
    os.mkfifo(folder / "held")
    os.mkfifo(folder / "never")
    return [Meeting(folder, index, index in held) for index in range(jobs)]


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def when_held(job: Meeting, held: list[int], act: Callable[[int], None]) -> threading.Thread:
    """Acts on the id of the process that holds a job, as soon as one does, and adds it to a list."""

    def wait() -> None:
        with job.pipe.open() as pipe:
            held.append(int(pipe.readline()))
        act(held[-1])

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


# In this process and in others


@pytest.mark.parametrize("processes", [1, 2])
def test_a_job_that_fails_leaves_the_others_alone(processes: int) -> None:
    results, reasons = outcomes(Runner(processes), runner_jobs.fail_in_its_way, range(6))
    assert results == {0: 0, 5: 5}
    assert set(reasons) == {1, 2, 3, 4}
    assert reasons[1] == "subject 7: is on two sides; mend the manifest"
    assert reasons[2] == "UnpicklableError: 3 and 4"
    assert reasons[3] == "ValueError"
    assert "pickle" in reasons[4]
    assert "\n" not in reasons[4]


@pytest.mark.parametrize("processes", [1, 2])
def test_jobs_compute_with_as_many_threads_as_are_said(processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    results, _ = outcomes(Runner(processes, threads=before + 1), runner_jobs.threads_of_torch, range(2))
    assert set(results.values()) == {(before + 1, str(before + 1))}
    assert torch.get_num_threads() == before
    assert os.environ["OMP_NUM_THREADS"] == "1"


@pytest.mark.parametrize("processes", [1, 2])
def test_what_cannot_be_written_ends_the_run(processes: int) -> None:
    def done(job: int, result: int) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        Runner(processes).run(runner_jobs.square, range(9), done, done)


def test_no_jobs_are_no_work() -> None:
    assert outcomes(Runner(2), runner_jobs.square, []) == ({}, {})


@pytest.mark.parametrize("options", [{"processes": 0}, {"threads": 0}])
def test_less_than_one_is_refused(options: dict[str, int]) -> None:
    with pytest.raises(OptionError, match="0: must be at least 1"):
        Runner(**options)


# Processes that end


def test_a_job_that_ends_its_process_fails_alone() -> None:
    results, reasons = outcomes(Runner(2), runner_jobs.die_of, [0, "killed", 1, 2, 3])
    assert results == {number: number for number in range(4)}
    assert reasons == {"killed": DIED}


def test_a_job_whose_process_dies_once_is_carried_out_again(tmp_path: Path) -> None:
    jobs = meetings(tmp_path, 4, held=[1])
    killed: list[int] = []
    killer = when_held(jobs[1], killed, kill)
    results, reasons = outcomes(Runner(2), runner_jobs.hold_once, jobs)
    killer.join()
    assert set(results) == set(jobs)
    assert reasons == {}
    assert killed[0] not in results.values()


def test_a_job_that_no_process_can_receive_fails_alone() -> None:
    deadly = DeadlyToReceive()
    results, reasons = outcomes(Runner(2), runner_jobs.die_of, [0, deadly, 1])
    assert results == {0: 0, 1: 1}
    assert reasons == {deadly: DIED}


def test_a_job_that_exits_fails_alone_in_a_process_of_its_own() -> None:
    results, reasons = outcomes(Runner(2), runner_jobs.leave, range(3))
    assert results == {0: 0, 2: 2}
    assert reasons == {1: "SystemExit: enough"}
    with pytest.raises(SystemExit, match="enough"):
        outcomes(Runner(1), runner_jobs.leave, range(3))


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_run(tmp_path: Path, ending: signal.Signals) -> None:
    jobs = meetings(tmp_path, 4, held=range(4))
    code = (
        "import sys; from pathlib import Path; from runner_jobs import Meeting, hold_once\n"
        "from sanoscope.studies.runner import Runner\n"
        "jobs = [Meeting(Path(sys.argv[1]), index, True) for index in range(4)]\n"
        "Runner(2).run(hold_once, jobs, print, print)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        with jobs[0].pipe.open() as pipe:
            held = {pipe.readline(), pipe.readline()}
            run.send_signal(ending)
            assert pipe.read() == ""  # ends when nobody has it open: both processes are gone, and no other has begun
        output, errors = run.communicate()
    assert len(held) == 2
    assert output == ""
    if ending == signal.SIGINT:
        assert errors.rstrip().endswith("KeyboardInterrupt")
        assert "Warning" not in errors


# On a Dask cluster


def test_a_cluster_gives_what_this_process_gives_and_survives_a_worker(tmp_path: Path) -> None:
    with dask_cluster(tmp_path) as cluster:
        runner = Runner(scheduler=cluster.address, threads=2)
        here = Runner(threads=2)
        assert outcomes(runner, runner_jobs.fail_in_its_way, range(6)) == outcomes(
            here, runner_jobs.fail_in_its_way, range(6)
        )
        results, _ = outcomes(runner, runner_jobs.threads_of_torch, range(4))
        assert set(results.values()) == {(2, "2")}
        _survives_a_worker(cluster, tmp_path)


def _survives_a_worker(cluster: DaskCluster, folder: Path) -> None:
    jobs = meetings(folder, 6, held=[1])
    killed: list[int] = []
    killer = when_held(jobs[1], killed, kill)
    results, reasons = outcomes(Runner(scheduler=cluster.address), runner_jobs.hold_once, jobs)
    killer.join()
    (left,) = {worker.pid for worker in cluster.workers} - set(killed)
    assert set(results) == set(jobs)
    assert reasons == {}
    assert results[jobs[1]] == left


def test_a_cluster_fails_a_job_that_kills_its_workers_and_tells_of_a_lost_scheduler(tmp_path: Path) -> None:
    with dask_cluster(
        tmp_path, workers=3, environment={"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    ) as cluster:
        runner = Runner(scheduler=cluster.address)
        results, reasons = outcomes(runner, runner_jobs.die_of, ["killed"])
        assert results == {}
        assert "each process that it was given to ended at once" in reasons["killed"]
        assert outcomes(runner, runner_jobs.square, range(4)) == ({0: 0, 1: 1, 2: 4, 3: 9}, {})

        jobs = meetings(tmp_path, 3, held=[1])
        told: list[Meeting] = []
        others = threading.Semaphore(0)

        def done(job: Meeting, _: int) -> None:
            told.append(job)
            others.release()

        def lose_scheduler(_: int) -> None:
            for _ in range(len(jobs) - 1):
                others.acquire()
            cluster.scheduler.kill()

        loser = when_held(jobs[1], [], lose_scheduler)
        with pytest.raises(SanoscopeError, match=f"scheduler at {cluster.address} was lost") as lost:
            runner.run(runner_jobs.hold_once, jobs, done, done)
        loser.join()
        assert "\n" not in str(lost.value)
        assert set(told) == {jobs[0], jobs[2]}


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nothing://here", "127.0.0.1:port"])
def test_no_scheduler_is_told_with_how_to_start_one(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sanoscope.studies.cluster, "CONNECT_SECONDS", 0.5)
    with pytest.raises(OptionError, match=rf"{address}; start one with `dask scheduler`.*`dask worker {address}"):
        outcomes(Runner(scheduler=address), runner_jobs.square, [1])


def test_a_scheduler_needs_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(OptionError, match=r'pip install "sanoscope\[dask\]"'):
        Runner(scheduler="tcp://host:8786")
