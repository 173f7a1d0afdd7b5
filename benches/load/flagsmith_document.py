#!/usr/bin/env python3
"""Writes the Flagsmith environment document that the load bench serves.

    python3 flagsmith_document.py --out flagsmith.json
    python3 flagsmith_document.py --overrides 100000 --out flagsmith.json

100 flags, every tenth with three variants among which 70 % of the identities are split; 20 segments, each
with overrides of three flags; 1,000 identities with one to three overrides of a dozen flags. Of every ten
segments three compare a plan (one of them beside a percentage), three look an area up in a list of 50 (one
beside a version), and one each searches an e-mail address, compares a version, compares a number, and takes
a percentage. That makes up to 14 hashes for each caller. One flag is kept from client-side keys, and a fifth
of the values need escapes or are not ASCII.

Same arguments, same bytes, on every machine (`Draw` in reflag_document.py).
"""
import argparse
import json
import sys
import uuid

from reflag_document import AREAS, PLANS, Draw

# The client-side key is part of what is hashed for an identity, so it is the document's own.
CLIENT_KEY = "pub_bench_0123456789abcdef"

TOPICS = ["quick_view", "bulk_edit", "side_panel", "shortcuts", "digest", "audit_trail", "drafts", "smart_filter",
          "two_column", "offline_copy"]
REGIONS = ["R%02d" % number for number in range(100)]
MAIL_HOSTS = 9
VARIANT_WEIGHTS = (25.0, 25.0, 20.0)
OVERRIDDEN_FLAGS = 12


def flag_name(index):
    return "%s_%s_%d" % (AREAS[index % 10], TOPICS[index // 10 % 10], index)


def overridden_identity(number):
    return "listed-user-%05d" % number


def build(flags=100, segments=20, multivariate=10, overrides=1000, seed=1):
    """The document as a value."""
    draw = Draw(seed)
    spacing = max(1, flags // max(1, multivariate))
    with_variants = set(range(4, flags, spacing)[:multivariate])

    def feature(index):
        kind = "MULTIVARIATE" if index in with_variants else "STANDARD"
        return {"id": 1000 + index, "name": flag_name(index), "type": kind}

    def state(index, number, enabled, value, variants=(), priority=None):
        made = {"django_id": number, "feature": feature(index), "enabled": enabled, "feature_state_value": value,
                "featurestate_uuid": drawn_uuid(draw), "multivariate_feature_state_values": list(variants)}
        if priority is not None:
            made["feature_segment"] = {"priority": priority}
        return made

    def variants(index, number):
        return [{"id": number * 10 + place, "mv_fs_value_uuid": drawn_uuid(draw), "percentage_allocation": weight,
                 "multivariate_feature_option": {"id": number * 10 + place,
                                                 "value": "variant_%s_%d" % ("abc"[place], index)}}
                for place, weight in enumerate(VARIANT_WEIGHTS)]

    def segment(index):
        chosen = sorted(draw.sample(range(flags), min(3, flags)))
        states = [state(flag, 60000 + 10 * index + place, draw.below(2) == 1, "segment_%d_value_%d" % (index, flag),
                        priority=index) for place, flag in enumerate(chosen)]
        return {"id": 300 + index, "name": "segment_%d" % index, "rules": [rule("ALL", rules=rules(draw, index))],
                "feature_states": states}

    def identity(number):
        chosen = sorted(draw.sample(hot, min(len(hot), draw.pick([1, 1, 1, 2, 3]))))
        states = [state(flag, None, draw.below(2) == 1, draw.pick([None, "early", "forced"])) for flag in chosen]
        return {"identifier": overridden_identity(number), "identity_uuid": drawn_uuid(draw),
                "created_date": "2026-02-03T08:30:00.000000Z", "updated_at": "2026-02-04T08:30:00.000000Z",
                "environment_api_key": CLIENT_KEY, "identity_traits": [], "identity_features": states}

    hot = list(range(0, flags, max(1, flags // OVERRIDDEN_FLAGS)))[:OVERRIDDEN_FLAGS]
    return {
        "id": 1, "api_key": CLIENT_KEY, "name": "bench", "updated_at": "2026-03-01T08:30:00.125000Z",
        "allow_client_traits": True, "hide_sensitive_data": False, "hide_disabled_flags": None,
        "use_identity_composite_key_for_hashing": True, "use_identity_overrides_in_local_eval": True,
        "feature_states": [
            state(index, 50000 + index, index % 4 != 0, value(draw, index),
                  variants(index, 50000 + index) if index in with_variants else ()) for index in range(flags)],
        "identity_overrides": [identity(number) for number in range(overrides)],
        "project": {
            "id": 1, "name": "bench", "hide_disabled_flags": False, "enable_realtime_updates": False,
            "server_key_only_feature_ids": [1000 + flags - 1],
            "organisation": {"id": 1, "name": "bench", "feature_analytics": False, "stop_serving_flags": False,
                             "persist_trait_data": True},
            "segments": [segment(index) for index in range(segments)],
        },
    }


def encode(document):
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def drawn_uuid(draw):
    return str(uuid.UUID(int=draw.below(1 << 64) << 64 | draw.below(1 << 64), version=4))


def value(draw, index):
    """Every type that a value can have, as often as people use it."""
    return [
        lambda: None, lambda: None, lambda: None,
        lambda: draw.pick(["calm", "blue", "compact", "v2", "on-demand"]),
        lambda: draw.pick(["calm", "blue", "compact", "v2", "on-demand"]),
        lambda: 1 + draw.below(100000),
        lambda: draw.below(2) == 1,
        lambda: "https://assets.example/%s/%d.json" % (flag_name(index), draw.below(10 ** 6)),
        lambda: json.dumps({"limit": draw.below(1000), "hint": "Open the \"%s\" page again" % AREAS[index % 10]}),
        lambda: "\u00e9t\u00e9 %s \u2713 %d" % (AREAS[index % 10], index),
    ][index % 10]()


def rules(draw, index):
    share = condition("PERCENTAGE_SPLIT", "", "%.1f" % draw.pick([10, 25, 50]))
    listed = condition("IN", "region", ",".join(sorted(draw.sample(REGIONS, 50))))
    return [
        lambda: [rule("ANY", condition("EQUAL", "plan", PLANS[3]))],
        lambda: [rule("ANY", condition("EQUAL", "plan", PLANS[1]), condition("EQUAL", "plan", PLANS[2]))],
        lambda: [rule("ANY", listed)],
        lambda: [rule("ANY", listed)],
        lambda: [rule("ANY", condition("CONTAINS", "email", "@mail%d.example" % draw.below(MAIL_HOSTS)))],
        lambda: [rule("ANY", condition("GREATER_THAN_INCLUSIVE", "app_version", "4.%d.0:semver" % draw.below(8)))],
        lambda: [rule("ANY", condition("GREATER_THAN", "age", str(20 + draw.below(40))))],
        lambda: [rule("ANY", share)],
        lambda: [rule("ANY", condition("EQUAL", "plan", PLANS[1])), rule("ANY", share)],
        lambda: [rule("ANY", condition("LESS_THAN", "app_version", "5.%d.0:semver" % draw.below(4))),
                 rule("ANY", listed)],
    ][index % 10]()


def rule(kind, *conditions, rules=()):
    return {"type": kind, "conditions": list(conditions), "rules": list(rules)}


def condition(operator, trait, operand):
    return {"operator": operator, "property_": trait, "value": operand}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flags", type=int, default=100)
    parser.add_argument("--segments", type=int, default=20)
    parser.add_argument("--multivariate", type=int, default=10, help="how many of the flags have variants")
    parser.add_argument("--overrides", type=int, default=1000, help="identities with overrides of their own")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", default="-", help="file to write; - is standard output")
    options = parser.parse_args()
    text = encode(build(options.flags, options.segments, options.multivariate, options.overrides, options.seed))
    if options.out == "-":
        sys.stdout.buffer.write(text)
    else:
        with open(options.out, "wb") as out:
            out.write(text)


if __name__ == "__main__":
    main()
