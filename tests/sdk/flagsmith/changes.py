"""flagsmith: a change of the rules arrives, with the next call or the next poll."""

from client import client, faces, flags_of, heard
from scenario import pause, say, told, until

flagsmith = client(told["local"], environment_refresh_interval_seconds=0.05)


def seen():
    return [faces(flags_of(flagsmith, who)) for who in told["whom"]]


pause({"seen": seen()})
if told["local"]:
    known = flagsmith._evaluation_context
    until("another document", lambda: flagsmith._evaluation_context is not known)
    # The one that came may have been under way when the rules changed.
    second = flagsmith._evaluation_context
    until("one more document", lambda: flagsmith._evaluation_context is not second)
say({"seen": seen(), "heard": heard})
