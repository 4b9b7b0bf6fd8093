"""A lock that is given in the order in which it was asked for."""
import collections
import threading


class FIFOLock:
    def __init__(self):
        self._guard = threading.Lock()
        self._held = False
        self._waiting = collections.deque()

    def acquire(self, blocking=True):
        with self._guard:
            if not self._held:
                self._held = True
                return True
            if not blocking:
                return False
            turn = threading.Event()
            self._waiting.append(turn)
        turn.wait()                                 # `release` hands the lock over, still held
        return True

    def release(self):
        with self._guard:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._held = False

    def __enter__(self):
        return self.acquire()

    def __exit__(self, t, v, tb):
        self.release()
