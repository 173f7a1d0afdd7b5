"""flagsmith: a feature that is not there, without a default and with one."""

from client import client, flags_of, heard
from flagsmith.exceptions import FlagsmithFeatureDoesNotExistError
from flagsmith.models import DefaultFlag
from scenario import say, told


def default(name):
    return DefaultFlag(value=f"default of {name}", enabled=True)


bare = client(told["local"])
prepared = client(told["local"], default_flag_handler=default)
seen = []
for who in [None, {"identifier": "somebody"}]:
    try:
        without = flags_of(bare, who).get_flag(told["feature"]).value
    except FlagsmithFeatureDoesNotExistError as error:
        without = str(error)
    flag = flags_of(prepared, who).get_flag(told["feature"])
    seen.append({"without": without, "with": {"enabled": flag.enabled, "value": flag.value}})
say({"seen": seen, "heard": heard})
