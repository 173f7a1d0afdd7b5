"""A client of flagsmith as a scenario wants it, and what an application sees of its flags."""

import logging

from flagsmith import Flagsmith
from scenario import told

# What the SDK logged.
heard = []


class Listener(logging.Handler):
    def emit(self, record):
        cause = record.exc_info and (record.exc_info[1].__cause__ or record.exc_info[1])
        heard.append(f"{record.getMessage()}: {cause}" if cause else record.getMessage())


# What it repeats about connections is not its own word.
logging.getLogger("flagsmith").addHandler(Listener())


def client(local, **settings):
    """With `local`, the SDK gets the environment document from Burgee and evaluates by itself."""
    settings.setdefault("environment_key", told["key"])
    return Flagsmith(api_url=f"{told['url']}/api/v1", enable_local_evaluation=local, **settings)


def flags_of(client, who):
    """The flags of nobody in particular, for None, or of an identity."""
    if who is None:
        return client.get_environment_flags()
    return client.get_identity_flags(
        who["identifier"], who.get("traits"), transient=who.get("transient", False)
    )


def faces(flags):
    """What an application sees of flags, by name."""
    return {
        flag.feature_name: {"id": flag.feature_id, "enabled": flag.enabled, "value": flag.value}
        for flag in flags.all_flags()
    }
