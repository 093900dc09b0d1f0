"""One of the kills of `ipc-demo chaos`, done to Python's multiprocessing.

Called with the name of the kill. Prints Python's version, and "hangs" if somebody who lives on waits longer
than PATIENCE, else "goes on".
"""

import multiprocessing
import os
import platform
import sys
import threading
import time

PATIENCE = 1.5


def tell(_, told):
    told.send(None)
    time.sleep(1000)


def take(lock, told):
    lock.acquire()
    told.send(None)
    time.sleep(1000)


def get(queue, told):
    told.send(None)
    told.send(queue.get())
    time.sleep(1000)


def wait(waited_for, told):
    told.send(None)
    waited_for.wait()


def wait_for_condition(condition, told):
    with condition:
        told.send(None)
        condition.wait()


def start(target, shared):
    """Starts a worker and waits for its first word. A worker that goes on to wait is given the time to do so."""
    here, there = context.Pipe()
    worker = context.Process(target=target, args=(shared, there), daemon=True)
    worker.start()
    here.recv()
    if target is not take:
        time.sleep(0.3)
    return worker, here


def kill(worker):
    worker.kill()
    worker.join()


def goes_on(action):
    """Whether an action of this process, as one that lives on, comes to its end."""
    done = threading.Event()
    threading.Thread(target=lambda: (action(), done.set()), daemon=True).start()
    return done.wait(PATIENCE)


def idle():
    """A worker is killed that has done nothing to the lock."""
    shared = context.Lock()
    kill(start(tell, shared)[0])
    return shared.acquire(timeout=PATIENCE)


def lock():
    """Its holder is killed."""
    shared = context.Lock()
    kill(start(take, shared)[0])
    return shared.acquire(timeout=PATIENCE)


def semaphore():
    """The holder of its only permit is killed."""
    shared = context.Semaphore(1)
    kill(start(take, shared)[0])
    return shared.acquire(timeout=PATIENCE)


def queue():
    """One of two consumers is killed while it waits; the other is to get the next item."""
    shared = context.Queue()
    idle, _ = start(get, shared)
    _, other = start(get, shared)
    kill(idle)
    shared.put(1)
    return other.poll(PATIENCE)


def joinable():
    """A worker is killed with the only task; somebody joins."""
    shared = context.JoinableQueue()
    shared.put(1)
    worker, here = start(get, shared)
    here.recv()
    kill(worker)
    return goes_on(shared.join)


def barrier():
    """One of two parties is killed while it waits for the other."""
    shared = context.Barrier(2)
    kill(start(wait, shared)[0])
    # A broken barrier would be told; that is going on too.
    return goes_on(lambda: swallow(shared.wait))


def swallow(action):
    try:
        action()
    except threading.BrokenBarrierError:
        pass


def condition():
    """A waiter is killed; somebody notifies."""
    shared = context.Condition()
    kill(start(wait_for_condition, shared)[0])

    def notify():
        with shared:
            shared.notify()

    return goes_on(notify)


if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    kills = [idle, lock, semaphore, queue, joinable, barrier, condition]
    chosen = {kill.__name__: kill for kill in kills}[sys.argv[1]]
    print(platform.python_version(), "goes on" if chosen() else "hangs", flush=True)
    for child in multiprocessing.active_children():
        child.kill()
    # The threads that hang would be waited for.
    os._exit(0)
