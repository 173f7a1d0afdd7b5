"""What all programs share: what they are told, how they say what they saw, how they wait."""

import json
import sys
import time

# Where Burgee is, its keys, and what the scenario adds.
told = json.loads(sys.argv[1])


def say(seen):
    """Says what was seen: one line of JSON."""
    print(json.dumps(seen), flush=True)


def pause(seen):
    """Says what was seen and waits until the test has changed something."""
    say(seen)
    sys.stdin.readline()


def until(what, look):
    """Looks until there is something to see."""
    start = time.monotonic()
    while not (seen := look()):
        if time.monotonic() - start > 20:
            raise TimeoutError(f"still waiting for: {what}")
        time.sleep(0.001)
    return seen
