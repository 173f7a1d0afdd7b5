#!/usr/bin/env python3
"""Writes the Reflag features document that the load bench serves.

    python3 reflag_document.py --out reflag.json
    python3 reflag_document.py --size 600000 --out reflag.json     # the same rules, exactly 600,000 bytes

Of every 100 flags: 25 constants, 6 rollouts, 20 with a list of 50 companies, 12 that search an
e-mail address, 17 that compare numbers, 5 that compare dates, 15 combinations of conditions.
20 of them carry a config, half of these with a rollout among the variants; 3 are secret. That makes
about as many hashes for each caller as the percentage splits and variants of the Flagsmith workload
make (14). Which flag is which follows from the seed alone.

Same arguments, same bytes: the random numbers are drawn here, because the standard library's may
change from one Python release to the next. No answer changes with the calendar either: relative
dates are so near or so far that the dates in the requests (2018 to 2023) always fall on one side.
"""
import argparse
import json
import sys

MASK = (1 << 64) - 1

AREAS = ["account", "basket", "catalog", "dashboard", "export", "fleet", "gallery", "inbox", "journal", "kiosk"]
TOPICS = ["quick-view", "bulk-edit", "side-panel", "shortcuts", "digest", "audit-trail", "drafts", "smart-filter",
          "two-column", "offline-copy"]
KINDS = (["constant"] * 25 + ["rollout"] * 6 + ["company-list"] * 20 + ["email"] * 12 + ["number"] * 17
         + ["date"] * 5 + ["combination"] * 15)
CONFIGS_PER_100 = 20
SECRETS_PER_100 = 3

LISTED_COMPANIES = 400
PLANS = ["free", "pro", "team", "enterprise"]
COUNTRIES = ["AR", "AT", "AU", "BE", "BR", "CA", "CH", "CL", "CN", "CO", "CZ", "DE", "DK", "EE", "ES", "FI", "FR",
             "GB", "GR", "HU", "IE", "IL", "IN", "IT", "JP", "KE", "KR", "LT", "LV", "MX", "NG", "NL", "NO", "NZ",
             "PL", "PT", "SE", "SG", "US", "ZA"]

FILLER = "Kept for the teams that asked for it; see the rollout notes before changing anything here. "


class Draw:
    """SplitMix64."""

    def __init__(self, seed):
        self.state = seed & MASK

    def below(self, bound):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return ((z ^ (z >> 31)) * bound) >> 64

    def pick(self, choices):
        return choices[self.below(len(choices))]

    def sample(self, choices, count):
        left = list(choices)
        return [left.pop(self.below(len(left))) for _ in range(count)]


def flag_key(index):
    key = "%s-%s" % (AREAS[index % 10], TOPICS[index // 10 % 10])
    return key if index < 100 else "%s-%d" % (key, index // 100 + 1)


def listed_company(number):
    return "company-%05d" % (number % LISTED_COMPANIES)


def build(flags=100, seed=1, size=None, state_version=412):
    """The document as a value; with `size`, padded so that its compact JSON has that many bytes."""
    draw = Draw(seed)
    kinds = draw.sample(KINDS, 100)
    with_config = set(draw.sample(range(100), CONFIGS_PER_100))
    secret = set(draw.sample(range(100), SECRETS_PER_100))
    seen = dict.fromkeys(KINDS, 0)
    features = []
    for index in range(flags):
        slot = index % 100
        kind = kinds[slot]
        key = flag_key(index)
        feature = {
            "key": key,
            "description": "%s in the %s" % (key.split("-", 1)[1].replace("-", " ").capitalize(), AREAS[index % 10]),
            "stage": draw.pick(["Internal", "Beta", "General availability"]),
            "targeting": {"version": 1 + draw.below(30), "rules": rules(draw, kind, seen[kind], key)},
        }
        seen[kind] += 1
        if slot in with_config:
            feature["config"] = {"version": 1 + draw.below(30), "variants": variants(draw, key)}
        if slot in secret:
            feature["secret"] = True
        features.append(feature)
    document = {"success": True, "flagStateVersion": state_version, "features": features}
    if size is not None:
        pad(document, size)
    return document


def encode(document):
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def rules(draw, kind, nth, key):
    if kind == "constant":
        return [{"filter": constant(draw.below(10) < 6)} for _ in range(draw.pick([1, 1, 1, 1, 2]))]
    made = [{"filter": wrapped(draw, leading(draw, kind, nth, key))}]
    for _ in range(draw.pick([0, 0, 0, 0, 0, 1, 1, 1, 2, 2])):
        made.append({"filter": wrapped(draw, further(draw))})
    return made


def leading(draw, kind, nth, key):
    """The condition that gives a flag its kind; `nth` flag of that kind, so that every form occurs."""
    if kind == "rollout":
        return rollout(key, ["company.id", "user.id"][nth % 2], draw.pick([1000, 5000, 10000, 25000, 50000, 90000]))
    if kind == "company-list":
        return context("company.id", "ANY_OF", sorted(companies(draw, 50)))
    if kind == "email":
        return context("user.email", "CONTAINS", [["@mail%d.example", "@Mail%d.Example"][nth % 2] % draw.below(9)])
    if kind == "number":
        return context("company.seats", ["GT", "LT"][nth % 2], [str(25 * (1 + draw.below(18)))])
    if kind == "date":
        operator, value = [("AFTER", "30"), ("BEFORE", "90"), ("DATE_AFTER", "2020-06-01"), ("AFTER", "36500"),
                           ("DATE_AFTER", "2021-11-15T12:00:00Z")][nth % 5]
        return context("user.created_at", operator, [value])
    return combination(draw, nth, key)


def combination(draw, nth, key):
    plan = context("company.plan", "IS", [draw.pick(PLANS)])
    country = context("other.country", "ANY_OF", sorted(draw.sample(COUNTRIES, 3 + draw.below(6))))
    release = context("other.app_version", draw.pick(["GT", "LT"]), ["%d.%d" % (3 + draw.below(4), draw.below(10))])
    shape = nth % 5
    if shape == 0:
        return group("and", plan, country)
    if shape == 1:
        return group("and", plan, rollout(key, "user.id", draw.pick([20000, 50000])))
    if shape == 2:
        return group("or", plan, group("and", country, release))
    if shape == 3:
        return group("and", negation(plan), country, context("user.email", "SET"))
    return group("and", group("or", release, context("company.seats", "GT", ["250"])), negation(country))


def further(draw):
    """A second or third rule, as people add them to let some callers in early."""
    return draw.pick([
        context("company.plan", "IS", [draw.pick(PLANS)]),
        context("company.plan", "ANY_OF", ["team", "enterprise"]),
        context("other.country", "IS_NOT", [draw.pick(COUNTRIES)]),
        context("company.seats", "GT", ["400"]),
        context("company.id", "ANY_OF", sorted(companies(draw, 5))),
    ])


def variants(draw, key):
    """One or two chosen callers' variants, then the one for everybody else."""
    filters = draw.sample([
        context("company.plan", "IS", ["enterprise"]),
        rollout(key, "user.id", 50000),
        context("company.id", "ANY_OF", sorted(companies(draw, 5))),
    ], draw.pick([1, 2]))
    names = draw.sample(["compact", "large", "classic", "second", "calm"], len(filters) + 1)
    return [{"key": name, "filter": condition, "payload": payload(draw, name)}
            for name, condition in zip(names, filters + [constant(True)])]


def payload(draw, name):
    return draw.pick([
        {"limit": 5 * (1 + draw.below(40)), "label": name},
        {"ratio": draw.below(100) / 4, "colors": ["#1d3557", "#e63946"], "retry": {"times": 3, "wait": "2s"}},
        {"title": "Caf\u00e9 \u2713", "hint": "Choose \"%s\" again" % name, "steps": [1, 2, 3]},
        ["%s-%d" % (name, step) for step in range(3)],
        "https://assets.example/%s/%d.json" % (name, draw.below(1000)),
        draw.below(100000),
    ])


def companies(draw, count):
    return [listed_company(number) for number in draw.sample(range(LISTED_COMPANIES), count)]


def wrapped(draw, condition):
    """Half of the rules have their condition inside a group of one."""
    return group("and", condition) if draw.below(2) and condition["type"] != "group" else condition


def constant(value):
    return {"type": "constant", "value": value}


def context(field, operator, values=None):
    condition = {"type": "context", "field": field, "operator": operator}
    if values is not None:
        condition["values"] = values
    return condition


def group(operator, *filters):
    return {"type": "group", "operator": operator, "filters": list(filters)}


def negation(condition):
    return {"type": "negation", "filter": condition}


def rollout(key, attribute, threshold):
    return {"type": "rolloutPercentage", "key": key, "partialRolloutAttribute": attribute,
            "partialRolloutThreshold": threshold}


def pad(document, size):
    features = document["features"]
    missing = size - len(encode(document))
    if missing < 0 or not features:
        raise SystemExit("--size %d: without padding the document already has %d bytes" % (size, size - missing))
    share, rest = divmod(missing, len(features))
    for index, feature in enumerate(features):
        wanted = share + (index < rest)
        feature["description"] += (" " + FILLER * (wanted // len(FILLER) + 1))[:wanted]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flags", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, help="pad the descriptions until the document has this many bytes")
    parser.add_argument("--state-version", type=int, default=412, help="flagStateVersion")
    parser.add_argument("--out", default="-", help="file to write; - is standard output")
    options = parser.parse_args()
    text = encode(build(options.flags, options.seed, options.size, options.state_version))
    if options.out == "-":
        sys.stdout.buffer.write(text)
    else:
        with open(options.out, "wb") as out:
            out.write(text)


if __name__ == "__main__":
    main()
