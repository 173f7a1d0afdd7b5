"""flagsmith: the flags of nobody in particular and of identities, in the order in which they are told."""

from client import client, faces, flags_of, heard
from scenario import say, told

flagsmith = client(told["local"])
seen = [faces(flags_of(flagsmith, who)) for who in told["whom"]]
say({"seen": seen, "heard": heard})
