"""Waiting for something to become true, with a deadline and a reason."""

import time


def wait_until(condition, what, timeout=30, interval=0.02):
    """The first true result of `condition()`; TimeoutError naming `what` when there is none."""
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout} s")
        time.sleep(interval)
