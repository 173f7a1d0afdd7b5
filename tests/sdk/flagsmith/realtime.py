"""flagsmith with realtime updates: a change is announced, and it fetches the document; it does not poll."""

from client import client, faces, flags_of, heard
from scenario import pause, say, told, until

flagsmith = client(True, enable_realtime_updates=True, realtime_api_url=told["url"])


def seen():
    return [faces(flags_of(flagsmith, who)) for who in told["whom"]]


def change():
    known = flagsmith._evaluation_context
    return lambda: flagsmith._evaluation_context is not known


changed = change()
pause({"seen": seen()})
until("another document", changed)
changed = change()
pause({"seen": seen(), "heard": list(heard)})
until("one more document", changed)
say({"seen": seen()})
