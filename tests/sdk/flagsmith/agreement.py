"""What flagsmith makes of the environment document and what Burgee answers are compared, flag by flag."""

import json

from client import client, faces, flags_of, heard
from scenario import say, told


def seen_with_variants(flags):
    return {
        flag.feature_name: {**faces(flags)[flag.feature_name], "variant": flag.variant}
        for flag in flags.all_flags()
    }


local, remote = client(True), client(False)
different, outcomes, compared = [], {}, 0
for who in told["whom"]:
    sdk, burgee = (seen_with_variants(flags_of(which, who)) for which in (local, remote))
    for name in {**sdk, **burgee}:
        both = [json.dumps(flags.get(name), sort_keys=True) for flags in (sdk, burgee)]
        compared += 1
        outcomes.setdefault(name, set()).add(both[0])
        if both[0] != both[1]:
            different.append({"who": who, "name": name, "sdk": both[0], "burgee": both[1]})
# A flag that is the same for everybody compares nothing.
alike = [name for name, seen in outcomes.items() if len(seen) == 1]
say({"compared": compared, "different": different, "alike": alike, "heard": heard})
