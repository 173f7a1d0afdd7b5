"""flagsmith where Burgee refuses what it asks for: an error, or the default where there is one."""

from client import client, flags_of, heard
from flagsmith.exceptions import FlagsmithAPIError
from flagsmith.models import DefaultFlag
from scenario import say, told


def default(_name):
    return DefaultFlag(value="default", enabled=True)


# A document is not asked for again before the end.
settings = {"environment_refresh_interval_seconds": 3600}
bare = client(told["local"], **settings)
prepared = client(told["local"], default_flag_handler=default, **settings)
seen = []
for who in [None, {"identifier": "somebody", "traits": {"plan": "gold"}}]:
    try:
        flags_of(bare, who)
        failed = "no error"
    except FlagsmithAPIError as error:
        failed = str(error.__cause__)
    flag = flags_of(prepared, who).get_flag("text")
    seen.append({"failed": failed, "with": {"enabled": flag.enabled, "value": flag.value}})
say({"seen": seen, "heard": sorted(set(heard))})
