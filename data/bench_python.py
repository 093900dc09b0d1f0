"""The work that ipc-demo measures, done by multiprocessing: a task a line on stdin, what it took a line on stdout.

Workers are forked, which is the fastest that Python has; only starting a worker is measured with "spawn", since that is what
ipc-demo does. No process outlives the one that started it, and no file is made.
"""

import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from multiprocessing.managers import SyncManager
from platform import python_version

fork = get_context("fork")
clock = time.perf_counter_ns


def die_with(parent):
    """Asks the kernel to kill this process when its parent ends, however that ends."""
    try:
        import ctypes
        ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL
    except (ImportError, OSError, AttributeError):
        return
    if os.getppid() != parent:
        os._exit(1)


class Worker:
    """A forked process that gets ready, and does `work` when all workers of its gate are there."""

    def __init__(self, gate, ready, work):
        self.ours, theirs = fork.Pipe()
        parent = os.getpid()

        def run():
            die_with(parent)
            ready()
            gate.wait()
            begun = clock()
            result = work()
            theirs.send((begun, clock(), result))

        self.process = fork.Process(target=run, daemon=True)
        self.process.start()
        # A worker that dies is then an end of file, and not a wait.
        theirs.close()

    def result(self):
        return self.ours.recv()

    def join(self):
        self.process.join()
        if self.process.exitcode != 0:
            raise RuntimeError(f"a worker ended with {self.process.exitcode}")


def race(*works, ready=lambda: None):
    """Starts a worker for each, and times them from when all are ready to the last one's end."""
    gate = fork.Barrier(len(works))
    workers = [Worker(gate, ready, work) for work in works]
    # By the workers' own clock, which is the same in all: who looks on from outside may come late on a busy machine.
    begun, ended, results = zip(*[worker.result() for worker in workers])
    for worker in workers:
        worker.join()
    return max(ended) - min(begun), results


def check(is_so, what):
    if not is_so:
        raise RuntimeError(what)


def alternate(take, give, times):
    begun = clock()
    for _ in range(times):
        take()
        give()
    return {"elapsed_ns": clock() - begun}


def lock(times):
    it = fork.Lock()
    return alternate(it.acquire, it.release, times)


def rlock(times):
    it = fork.RLock()
    return alternate(it.acquire, it.release, times)


def semaphore(times):
    it = fork.Semaphore(1)
    return alternate(it.acquire, it.release, times)


def value(times):
    number = fork.Value("Q", 0)
    begun = clock()
    for _ in range(times):
        with number.get_lock():
            number.value += 1
    elapsed = clock() - begun
    check(number.value == times, "an update was lost")
    return {"elapsed_ns": elapsed}


def event(times):
    ping, pong = fork.Event(), fork.Event()

    def here():
        for _ in range(times):
            ping.set()
            pong.wait()
            pong.clear()

    def there():
        for _ in range(times):
            ping.wait()
            ping.clear()
            pong.set()

    return {"elapsed_ns": race(here, there)[0]}


def condition(times):
    turns, turn = fork.Condition(), fork.RawValue("i", 0)

    def play(own):
        for _ in range(times):
            with turns:
                turns.wait_for(lambda: turn.value == own)
                turn.value = 1 - own
                turns.notify()

    return {"elapsed_ns": race(lambda: play(0), lambda: play(1))[0]}


def barrier(times):
    it = fork.Barrier(2)

    def meet():
        for _ in range(times):
            it.wait()

    return {"elapsed_ns": race(meet, meet)[0]}


def pipe(times, value):
    receiver, sender = fork.Pipe(duplex=False)

    def send():
        for _ in range(times):
            sender.send(value)

    def receive():
        return sum(receiver.recv() == value for _ in range(times))

    elapsed, (_, received) = race(send, receive)
    check(received == times, f"{received} of {times} messages arrived")
    return {"elapsed_ns": elapsed}


def queue(times, bytes, producers, consumers, capacity):
    it = fork.Queue(capacity)
    each = -(-times // producers)
    total = each * producers

    def make(number):
        return number if bytes == 8 else b"%c" % (number & 255) * bytes

    def put():
        for number in range(each):
            it.put(make(number))

    def get(items):
        return sum(1 for _ in range(items) if it.get() is not None)

    shares = [total // consumers + (number < total % consumers) for number in range(consumers)]
    getters = [lambda items=items: get(items) for items in shares]
    elapsed, results = race(*getters, *[put] * producers)
    check(sum(results[:consumers]) == total, "items were lost")
    return {"elapsed_ns": elapsed, "operations": total}


def ping_pong(times, capacity):
    there, back = fork.Queue(capacity), fork.Queue(capacity)

    def echo():
        for _ in range(times):
            back.put(there.get())

    def play():
        took = []
        for number in range(times):
            begun = clock()
            there.put(number)
            check(back.get() == number, "the wrong number came back")
            took.append(clock() - begun)
        return sorted(took)

    elapsed, (_, took) = race(echo, play)
    percentile = lambda percent: took[len(took) * percent // 100]
    return {"elapsed_ns": elapsed, "p50_ns": percentile(50), "p99_ns": percentile(99)}


def joinable(times, capacity):
    it = fork.JoinableQueue(capacity)

    def put():
        for number in range(times):
            it.put(number)
        it.join()

    def do():
        total = 0
        for _ in range(times):
            total += it.get()
            it.task_done()
        return total

    elapsed, (_, total) = race(put, do)
    check(total == times * (times - 1) // 2, "other tasks came than were put")
    return {"elapsed_ns": elapsed}


def work(busy_ns, size, number):
    end = clock() + busy_ns
    while busy_ns and clock() < end:
        pass
    return bytes(size) if size else number


def pool_of(way, workers):
    if way == "executor":
        return ProcessPoolExecutor(workers, fork, die_with, (os.getpid(),))
    return fork.Pool(workers, die_with, (os.getpid(),))


def pool(times, way, workers, busy_ns, bytes):
    with pool_of(way, workers) as it:
        # All its processes are there.
        list(it.map(abs, range(workers)))
        begun = clock()
        chunks = {"chunksize": 1} if way == "chunksize_1" else {}
        results = sum(1 for _ in it.map(partial(work, busy_ns, bytes), range(times), **chunks))
        elapsed = clock() - begun
    check(results == times, "another number of results came")
    return {"elapsed_ns": elapsed}


def pool_start(times, way, workers):
    elapsed = 0
    for _ in range(times):
        begun = clock()
        with pool_of(way, workers) as it:
            check(list(it.map(abs, [-7])) == [7], "another result came")
            elapsed += clock() - begun
    return {"elapsed_ns": elapsed}


def manager(times, way, call, clients):
    # An address without a file: nothing to leave behind.
    address = f"\0ipc-demo-bench-{os.getpid()}" if way == "unix" else ("127.0.0.1", 0)
    with_manager = SyncManager(address=address, ctx=fork)
    with_manager.start(die_with, (os.getpid(),))
    try:
        it = with_manager.dict(key=0)
        each = -(-times // clients)

        def set():
            for number in range(each):
                it["key"] = number

        def get():
            for _ in range(each):
                it["key"]

        # Every process has a connection of its own, which its first call makes.
        elapsed, _ = race(*[set if call == "set" else get] * clients, ready=lambda: it["key"])
        return {"elapsed_ns": elapsed, "operations": each * clients}
    finally:
        with_manager.shutdown()


def spawn(times):
    context = get_context("spawn")
    begun = clock()
    for _ in range(times):
        worker = context.Process(target=abs, args=(1,))
        worker.start()
        worker.join()
        check(worker.exitcode == 0, "a worker failed")
    return {"elapsed_ns": clock() - begun}


TASKS = {
    task.__name__: task
    for task in (
        lock, rlock, semaphore, value, event, condition, barrier, pipe, queue, ping_pong, joinable, pool, pool_start, manager,
        spawn,
    )
}


def answer(request):
    task = TASKS[request.pop("task")]
    try:
        return {"operations": request["times"], **task(**request)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


die_with(int(sys.argv[1]))
print(json.dumps({"version": python_version()}), flush=True)
for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
