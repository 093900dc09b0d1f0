"""The kills of `ipc-demo chaos`, done to Python's multiprocessing.

Called with the pid of its parent and the names of kills. Says on what terms it kills, and then of each kill how often
it was done and what became of those who lived on: a JSON object a line.

A victim that is idle, waits or holds is killed REPEATS times. One in the middle of an operation does it again and
again and is killed at a random moment of it, KILLS times. The first time that somebody hangs is the last.

Workers are forked, and no process starts a thread before it has forked: what hangs, hangs for the kill's sake.
"""

import concurrent.futures
import ctypes
import json
import mmap
import multiprocessing
import os
import platform
import random
import signal
import sys
import time
from threading import BrokenBarrierError

REPEATS = 3
KILLS = 40
# Seconds after which somebody who still sleeps hangs. Who would run but gets no processor is given more.
PATIENCE = 1.0
STARVED = 10.0
# Seconds that a victim does its operation again and again, at most.
LONGEST_RUN = 0.003
# Victims that were between two operations when they were killed, for each kill: more, and the kill cannot be done.
MISSES = 50

# What may become of those who live on, from the best to the worst.
GOES_ON, LOSES, WRONG, HANGS = OUTCOMES = "goes_on", "loses", "wrong", "hangs"

context = multiprocessing.get_context("fork")
workers = []


class Missed(Exception):
    """The victim was not in its operation when it was killed."""


class Number:
    """A number that all processes see, whoever of them is killed."""

    def __init__(self):
        self.cells = memoryview(mmap.mmap(-1, 8)).cast("Q")

    @property
    def value(self):
        return self.cells[0]

    @value.setter
    def value(self, value):
        self.cells[0] = value


def die_with(parent):
    """Has the kernel kill this process when its parent ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)


def nothing():
    pass


class Worker:
    """A process that does something, and says what it has to say to this one."""

    def __init__(self, body):
        parent, (self.words, mouth) = os.getpid(), context.Pipe(False)

        def live():
            die_with(parent)
            body(mouth.send)

        self.process = context.Process(target=live, daemon=True)
        self.process.start()
        mouth.close()
        workers.append(self)

    def is_asleep(self):
        with open(f"/proc/{self.process.pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "S"

    def until(self, is_done):
        """GOES_ON when that comes, HANGS if it does not, WRONG if the worker fails."""
        begun = time.monotonic()
        while not is_done():
            waited = time.monotonic() - begun
            if not self.process.is_alive():
                return WRONG
            if waited > STARVED or (waited > PATIENCE and self.is_asleep()):
                return HANGS
        return GOES_ON

    def says(self):
        """Its next word, or what became of it instead."""
        outcome = self.until(lambda: self.words.poll(0.02))
        try:
            return self.words.recv() if outcome == GOES_ON else outcome
        except EOFError:
            return WRONG

    def kill(self):
        self.process.kill()
        self.process.join()


# Those who are killed, and those who live on.


def still(first=nothing):
    """One that has done something and does nothing more."""

    def body(say):
        first()
        say(GOES_ON)
        signal.pause()

    worker = Worker(body)
    worker.says()
    return worker


def asleep_in(operation):
    """One that waits in an operation, and then says what came of it."""

    def body(say):
        say(GOES_ON)
        say(outcome_of(operation))

    worker = Worker(body)
    worker.says()
    looks, begun = 0, time.monotonic()
    while looks < 3:
        looks = looks + 1 if worker.is_asleep() else 0
        time.sleep(0.001)
        if time.monotonic() - begun > STARVED:
            raise RuntimeError("somebody who was to wait does not")
    return worker


class InTheMiddle(Worker):
    """One that does an operation again and again, and is killed in it."""

    def __init__(self, operation, before=nothing, after=nothing):
        is_in = self.is_in = Number()

        def body(say):
            say(GOES_ON)
            while True:
                before()
                is_in.value = 1
                operation()
                is_in.value = 0
                after()

        super().__init__(body)

    def kill(self):
        self.says()
        time.sleep(random.uniform(0, LONGEST_RUN))
        super().kill()
        if not self.is_in.value:
            raise Missed


class Repeating(Worker):
    """One that lives on and does an operation again and again."""

    def __init__(self, operation):
        rounds = self.rounds = Number()

        def body(_):
            while True:
                operation()
                rounds.value += 1

        super().__init__(body)

    def goes_on(self):
        enough = self.rounds.value + 2
        return self.until(lambda: time.sleep(0.0005) or self.rounds.value >= enough)


def outcome_of(operation):
    """What an operation says, or that it went well."""
    try:
        outcome = operation()
    except Exception:
        return WRONG
    return outcome if outcome in OUTCOMES else GOES_ON


def fresh(operation):
    """What an operation comes to for somebody who begins it now."""
    return Worker(lambda say: say(outcome_of(operation))).says()


def worst(*outcomes):
    return max(outcomes, key=OUTCOMES.index)


def all_go_on(peers):
    return worst(*(peer.goes_on() for peer in peers))


# Lock, RLock, Semaphore, BoundedSemaphore.


def take_and_give(lock):
    return lambda: (lock.acquire(), lock.release()) and None


def times(count, operation):
    return lambda: [operation() for _ in range(count)] and None


def idle(lock):
    still().kill()
    return fresh(take_and_give(lock))


def waiting(lock):
    lock.acquire()
    victim, peer = asleep_in(lock.acquire), asleep_in(take_and_give(lock))
    victim.kill()
    lock.release()
    return peer.says()


def holding(lock):
    still(lock.acquire).kill()
    return fresh(take_and_give(lock))


def in_acquire(lock, count=1, peers=0):
    others = [Repeating(take_and_give(lock)) for _ in range(peers)]
    InTheMiddle(times(count, lock.acquire), after=times(count, lock.release)).kill()
    return all_go_on(others) if others else fresh(take_and_give(lock))


def in_release(lock, count=1, peers=0):
    others = [Repeating(take_and_give(lock)) for _ in range(peers)]
    InTheMiddle(times(count, lock.release), before=times(count, lock.acquire)).kill()
    return all_go_on(others) if others else fresh(take_and_give(lock))


# Event.


def event_waiting():
    event = context.Event()
    victim, *peers = [asleep_in(event.wait) for _ in range(3)]
    victim.kill()
    return worst(fresh(event.set), *(peer.says() for peer in peers))


def event_in_wait():
    event = context.Event()
    others = [Repeating(lambda: (event.set(), event.clear())), Repeating(event.wait)]
    InTheMiddle(event.wait).kill()
    return all_go_on(others)


def event_in_set(peers=0):
    event = context.Event()
    others = [Repeating(event.wait) for _ in range(peers)]
    InTheMiddle(event.set, after=event.clear).kill()
    outcome = fresh(event.set)
    return outcome if outcome == HANGS else worst(outcome, *(peer.goes_on() for peer in others))


def event_in_clear():
    event = context.Event()
    InTheMiddle(event.clear, before=event.set).kill()
    return fresh(event.set)


# Condition.


def wait_for(condition):
    def wait():
        with condition:
            condition.wait()

    return wait


def notify(condition):
    def notify_one():
        with condition:
            condition.notify()

    return notify_one


def condition_waiting():
    condition = context.Condition()
    victim, peer = asleep_in(wait_for(condition)), asleep_in(wait_for(condition))
    victim.kill()
    outcome = worst(fresh(notify(condition)), peer.says())
    # Nobody waits any more: that notifies nobody.
    return outcome if outcome == HANGS else worst(outcome, fresh(notify(condition)))


def condition_in_wait():
    condition = context.Condition()
    others = [Repeating(notify(condition)), Repeating(wait_for(condition))]
    InTheMiddle(wait_for(condition)).kill()
    return all_go_on(others)


def condition_in_notify():
    condition = context.Condition()
    waiter = Repeating(wait_for(condition))
    InTheMiddle(notify(condition)).kill()
    return all_go_on([Repeating(notify(condition)), waiter])


# Barrier.


def pass_or_be_told(barrier):
    def wait():
        try:
            barrier.wait()
        except BrokenBarrierError:
            pass

    return wait


def barrier_idle():
    barrier = context.Barrier(2)
    peer, victim = asleep_in(pass_or_be_told(barrier)), still()
    victim.kill()
    return peer.says()


def barrier_waiting():
    barrier = context.Barrier(2)
    asleep_in(barrier.wait).kill()
    return fresh(pass_or_be_told(barrier))


def barrier_in_wait():
    barrier = context.Barrier(2)
    peer = Repeating(pass_or_be_told(barrier))
    InTheMiddle(barrier.wait).kill()
    return peer.goes_on()


# Value and Array.


def value_in_update():
    number = context.Value("L", 0)

    def increase():
        with number.get_lock():
            number.value += 1

    InTheMiddle(increase).kill()
    return fresh(increase)


def array_in_write():
    array, rounds = context.Array("L", 64), Number()

    def write():
        array[:] = [rounds.value] * 64
        rounds.value += 1

    def read():
        return GOES_ON if len(set(array[:])) == 1 else WRONG

    InTheMiddle(write).kill()
    return fresh(read)


# Pipe. An end that a process has not closed is one that lives on in it.


def judged(numbers, done, first=0):
    """Of numbers that were found: LOSES if one is missing that was `done`, WRONG if they are no row."""
    if numbers != list(range(first, first + len(numbers))):
        return WRONG
    return LOSES if first + len(numbers) < done else GOES_ON


def counting(give, payload=None):
    """The operation that gives 0, 1, 2 …, and the number of those that were given."""
    done = Number()

    def give_next():
        give((done.value, payload))
        done.value += 1

    return give_next, done


def pipe_in_send(payload=None):
    receiver, sender = context.Pipe(False)
    send, done = counting(sender.send, payload)

    def receive_all():
        sender.close()
        numbers = []
        try:
            while True:
                number, content = receiver.recv()
                numbers.append(number if content == payload else None)
        except (EOFError, OSError):
            return judged(numbers, done.value)

    peer, victim = Worker(lambda say: say(outcome_of(receive_all))), InTheMiddle(send)
    sender.close()
    victim.kill()
    return peer.says()


def pipe_idle():
    receiver, sender = context.Pipe(False)

    def see_end():
        sender.close()
        try:
            receiver.recv()
            return WRONG
        except EOFError:
            return GOES_ON

    peer, victim = asleep_in(see_end), still()
    sender.close()
    victim.kill()
    return peer.says()


def send_until_told(sender):
    def send():
        try:
            while True:
                sender.send(1)
        except BrokenPipeError:
            return GOES_ON

    return send


def pipe_waiting():
    receiver, sender = context.Pipe(False)
    victim = asleep_in(receiver.recv)
    receiver.close()
    victim.kill()
    return fresh(send_until_told(sender))


def pipe_in_recv():
    receiver, sender = context.Pipe(False)
    victim = InTheMiddle(receiver.recv)
    receiver.close()
    peer = Worker(lambda say: say(outcome_of(send_until_told(sender))))
    victim.kill()
    return peer.says()


# Queue and JoinableQueue.

ITEMS = 1000
END = (None, None)


def fill(queue, count):
    """Puts so many numbers and the end, by a process that flushes them and ends in peace."""
    filler = Worker(lambda _: [queue.put((number, None)) for number in range(count)] and queue.put(END))
    filler.process.join()


def drain(queue):
    """Everything up to the end."""
    return [number for number, _ in iter(queue.get, END)]


def put_end_and_drain(queue):
    queue.put(END)
    return drain(queue)


def queue_idle():
    queue = context.Queue()
    fill(queue, 3)
    still().kill()
    return fresh(lambda: judged(drain(queue), 3))


def queue_waiting(queue):
    victim, peer = asleep_in(queue.get), asleep_in(queue.get)
    victim.kill()
    fill(queue, 0)
    return peer.says()


def queue_in_put():
    queue = context.Queue()
    put, done = counting(queue.put)
    InTheMiddle(put).kill()
    return fresh(lambda: judged(put_end_and_drain(queue), done.value))


def queue_in_put_to_peer(payload=None):
    queue = context.Queue()
    put, done = counting(queue.put, payload)
    peer = asleep_in(lambda: judged(drain(queue), done.value))
    InTheMiddle(put).kill()
    Worker(lambda _: queue.put(END))
    return peer.says()


def queue_in_put_among_peers():
    queue = context.Queue(2)
    others = [Repeating(queue.get), Repeating(lambda: queue.put(END))]
    InTheMiddle(lambda: queue.put(END)).kill()
    return all_go_on(others)


def queue_in_get(queue, after=nothing, rest=drain):
    fill(queue, ITEMS)
    done = Number()

    def get():
        queue.get()
        done.value += 1

    InTheMiddle(get, after=after).kill()
    if done.value > ITEMS:
        raise Missed

    def find_rest():
        numbers = rest(queue)
        # The one that the victim had in its hand may be gone with it.
        first = ITEMS - len(numbers)
        if first > done.value + 1:
            return LOSES
        return judged(numbers, ITEMS, first) if first >= done.value else WRONG

    return fresh(find_rest)


def queue_in_get_from_peer():
    queue = context.Queue(2)
    peer = Repeating(lambda: queue.put(END))
    InTheMiddle(queue.get).kill()
    return all_go_on([peer, Repeating(queue.get)])


def queue_in_get_among_peers(queue, after=nothing):
    others = [Repeating(lambda: queue.put(END)), Repeating(lambda: (queue.get(), after()))]
    InTheMiddle(queue.get, after=after).kill()
    return all_go_on(others)


def do_tasks(queue):
    """Does everything up to the end, and waits until all is done, as it never is if somebody died with a task."""
    numbers = []
    for number, _ in iter(queue.get, END):
        numbers.append(number)
        queue.task_done()
    queue.task_done()
    queue.join()
    return numbers


def tasks_holding():
    queue = context.JoinableQueue()
    fill(queue, 2)
    still(queue.get).kill()
    return fresh(lambda: do_tasks(queue) and None)


def tasks_in_get():
    queue = context.JoinableQueue()
    return queue_in_get(queue, after=queue.task_done, rest=do_tasks)


def tasks_in_get_among_peers():
    queue = context.JoinableQueue(4)
    return queue_in_get_among_peers(queue, after=queue.task_done)


def tasks_in_task_done():
    queue = context.JoinableQueue()
    fill(queue, ITEMS)
    joiner = asleep_in(queue.join)
    InTheMiddle(queue.task_done, before=queue.get).kill()
    return worst(fresh(lambda: do_tasks(queue) and None), joiner.says())


# Pool and ProcessPoolExecutor, each in a process of its own, which kills one of its workers.

TASKS = 12
LONG_RESULT = 200_000
# Seconds that a task or a set-up lasts which is killed in it.
LINGER = 0.2
TIMEOUTS = TimeoutError, multiprocessing.TimeoutError, concurrent.futures.TimeoutError

# Who is killed: the process that lingers.
lingers = Number()
# Pools that are not ended, because that may hang.
kept = []


def linger():
    if not lingers.value:
        lingers.value = os.getpid()
        time.sleep(LINGER)


def kill_who_lingers():
    while not lingers.value:
        time.sleep(0.001)
    os.kill(lingers.value, signal.SIGKILL)


class PoolOf:
    """Two workers of a Pool."""

    def __init__(self, begin=nothing, *args):
        self.pool = context.Pool(2, begin, args)
        kept.append(self.pool)

    def submit(self, task, *args):
        return self.pool.apply_async(task, args).get

    def pids(self):
        return [worker.pid for worker in self.pool._pool]


class ExecutorOf:
    """Two workers of a ProcessPoolExecutor."""

    def __init__(self, begin=nothing, *args):
        self.executor = concurrent.futures.ProcessPoolExecutor(2, context, begin, args)
        kept.append(self.executor)

    def submit(self, task, *args):
        return self.executor.submit(task, *args).result

    def pids(self):
        return list(self.executor._processes)


def square(size, number):
    return number * number, bytes(size)


def submit_all(pool, size=8, count=TASKS):
    return [pool.submit(square, size, number) for number in range(count)]


def outcome_of_all(results, size=8, spared=0):
    """HANGS if a result does not come, LOSES if more than the spared ones are errors."""
    until, errors = time.monotonic() + PATIENCE, 0
    for number, result in enumerate(results):
        try:
            if result(max(0.01, until - time.monotonic())) != square(size, number):
                return WRONG
        except TIMEOUTS:
            return HANGS
        except Exception:
            errors += 1
    return GOES_ON if errors <= spared else LOSES


def in_own_process(body):
    """The outcome of a body that starts processes and threads of its own. It bounds its own waits."""

    def live(say):
        lingers.value = 0
        # It may have children, which end with it.
        multiprocessing.current_process()._config["daemon"] = False
        say(outcome_of(body))
        signal.pause()

    worker = Worker(live)
    return worker.words.recv() if worker.words.poll(STARVED) else HANGS


def pool_idle(make):
    def body():
        pool = make(die_with, os.getpid())
        outcome_of_all(submit_all(pool))
        os.kill(pool.pids()[0], signal.SIGKILL)
        time.sleep(LINGER)
        try:
            return outcome_of_all(submit_all(pool))
        except concurrent.futures.BrokenExecutor:
            return LOSES

    return in_own_process(body)


def pool_running(make):
    def body():
        pool = make(die_with, os.getpid())
        result, results = pool.submit(linger), submit_all(pool)
        kill_who_lingers()
        outcome = outcome_of_all(results)
        try:
            result(PATIENCE)
        except TIMEOUTS:
            return HANGS
        except Exception:
            # That is how it is told.
            pass
        return outcome

    return in_own_process(body)


def pool_in_steps(make, size=8):
    """Between two tasks, or in one: one may be an error."""

    def body():
        pool = make(die_with, os.getpid())
        outcome_of_all(submit_all(pool))
        results = submit_all(pool, size, 20 * TASKS)
        time.sleep(random.uniform(0, LONGEST_RUN))
        os.kill(pool.pids()[0], signal.SIGKILL)
        return outcome_of_all(results, size, spared=1)

    return in_own_process(body)


def pool_in_set_up(make):
    def begin(parent):
        die_with(parent)
        linger()

    def body():
        pool = make(begin, os.getpid())
        results = submit_all(pool)
        kill_who_lingers()
        return outcome_of_all(results)

    return in_own_process(body)


def pool_parent(make, do=lambda pool: signal.pause()):
    """Without the help of the kernel: HANGS if a worker outlives its parent, which is killed while it does something."""

    def live(say):
        multiprocessing.current_process()._config["daemon"] = False
        pool = make()
        outcome_of_all(submit_all(pool))
        say(pool.pids())
        while True:
            do(pool)

    parent = Worker(live)
    pids = parent.says()
    time.sleep(random.uniform(0, LONGEST_RUN))
    parent.kill()
    until = time.monotonic() + PATIENCE
    while any(map(is_running, pids)) and time.monotonic() < until:
        time.sleep(0.005)
    left = list(filter(is_running, pids))
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return HANGS if left else GOES_ON


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


NAMED = {
    "Lock.idle": lambda: idle(context.Lock()),
    "Lock.waiting": lambda: waiting(context.Lock()),
    "Lock.holding": lambda: holding(context.Lock()),
    "Lock.in_acquire": lambda: in_acquire(context.Lock()),
    "Lock.in_acquire_among_peers": lambda: in_acquire(context.Lock(), peers=1),
    "Lock.in_release": lambda: in_release(context.Lock()),
    "Lock.in_release_among_peers": lambda: in_release(context.Lock(), peers=1),
    "RLock.holding": lambda: holding(context.RLock()),
    "RLock.in_acquire": lambda: in_acquire(context.RLock(), count=2),
    "RLock.in_release": lambda: in_release(context.RLock(), count=2),
    "RLock.in_release_among_peers": lambda: in_release(context.RLock(), peers=1),
    "Semaphore.idle": lambda: idle(context.Semaphore(2)),
    "Semaphore.waiting": lambda: waiting(context.Semaphore(1)),
    "Semaphore.in_acquire": lambda: in_acquire(context.Semaphore(2)),
    "Semaphore.in_acquire_among_peers": lambda: in_acquire(context.Semaphore(2), peers=2),
    "Semaphore.in_release": lambda: in_release(context.Semaphore(2)),
    "Semaphore.in_release_among_peers": lambda: in_release(context.Semaphore(2), peers=2),
    "BoundedSemaphore.in_release_among_peers": lambda: in_release(context.BoundedSemaphore(2), peers=2),
    # Its last permit.
    "Semaphore.holding_all": lambda: holding(context.Semaphore(1)),
    "Semaphore.in_acquire_all": lambda: in_acquire(context.Semaphore(1)),
    "Semaphore.in_release_all": lambda: in_release(context.Semaphore(1), peers=1),
    "Event.waiting": event_waiting,
    "Event.in_wait": event_in_wait,
    "Event.in_set": event_in_set,
    "Event.in_set_to_peers": lambda: event_in_set(peers=2),
    "Event.in_clear": event_in_clear,
    "Condition.waiting": condition_waiting,
    "Condition.in_wait": condition_in_wait,
    "Condition.in_notify": condition_in_notify,
    "Barrier.idle": barrier_idle,
    "Barrier.waiting": barrier_waiting,
    "Barrier.in_wait": barrier_in_wait,
    "Value.in_update": value_in_update,
    "Array.in_write": array_in_write,
    "Pipe.idle": pipe_idle,
    "Pipe.waiting": pipe_waiting,
    "Pipe.in_send": pipe_in_send,
    "Pipe.in_send_long": lambda: pipe_in_send(bytes(200_000)),
    "Pipe.in_recv": pipe_in_recv,
    "Queue.idle": queue_idle,
    "Queue.waiting": lambda: queue_waiting(context.Queue()),
    "Queue.in_put": queue_in_put,
    "Queue.in_put_long": lambda: queue_in_put_to_peer(bytes(3_000)),
    "Queue.in_put_to_peer": queue_in_put_to_peer,
    "Queue.in_put_among_peers": queue_in_put_among_peers,
    "Queue.in_get": lambda: queue_in_get(context.Queue()),
    "Queue.in_get_from_peer": queue_in_get_from_peer,
    "Queue.in_get_among_peers": lambda: queue_in_get_among_peers(context.Queue(4)),
    "JoinableQueue.waiting": lambda: queue_waiting(context.JoinableQueue()),
    "JoinableQueue.holding": tasks_holding,
    "JoinableQueue.in_get": tasks_in_get,
    "JoinableQueue.in_get_among_peers": tasks_in_get_among_peers,
    "JoinableQueue.in_task_done": tasks_in_task_done,
    "Pool.idle": lambda: pool_idle(PoolOf),
    "Pool.running": lambda: pool_running(PoolOf),
    "Pool.in_steps": lambda: pool_in_steps(PoolOf),
    "Pool.in_long_result": lambda: pool_in_steps(PoolOf, LONG_RESULT),
    "Pool.in_set_up": lambda: pool_in_set_up(PoolOf),
    "Pool.parent": lambda: pool_parent(PoolOf),
    "Pool.parent_in_submit": lambda: pool_parent(PoolOf, submit_all),
    "ProcessPoolExecutor.idle": lambda: pool_idle(ExecutorOf),
    "ProcessPoolExecutor.running": lambda: pool_running(ExecutorOf),
    "ProcessPoolExecutor.in_steps": lambda: pool_in_steps(ExecutorOf),
    "ProcessPoolExecutor.in_long_result": lambda: pool_in_steps(ExecutorOf, LONG_RESULT),
    "ProcessPoolExecutor.in_set_up": lambda: pool_in_set_up(ExecutorOf),
    "ProcessPoolExecutor.parent": lambda: pool_parent(ExecutorOf),
    "ProcessPoolExecutor.parent_in_submit": lambda: pool_parent(ExecutorOf, submit_all),
}


def outcomes_of(name):
    """Does a kill as often as it is to be done, and counts what came of it."""
    wanted = KILLS if ".in_" in name else REPEATS
    counts, misses = dict.fromkeys(OUTCOMES, 0), 0
    while sum(counts.values()) < wanted and not counts[HANGS]:
        try:
            counts[NAMED[name]()] += 1
        except Missed:
            misses += 1
            if misses > MISSES * wanted:
                raise RuntimeError(f"{name}: no victim is killed in the middle of it")
        finally:
            end_workers()
    return counts


def end_workers():
    for worker in workers:
        worker.process.kill()
    for worker in workers:
        worker.process.join()
        worker.words.close()
    workers.clear()


def say(**facts):
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    die_with(int(sys.argv[1]))
    say(version=platform.python_version(), most_kills=KILLS, patience_ms=round(PATIENCE * 1000))
    try:
        for name in sys.argv[2:]:
            say(kill=name, **outcomes_of(name))
    except Exception as error:
        say(error=str(error) or type(error).__name__)
    finally:
        end_workers()
