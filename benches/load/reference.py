#!/usr/bin/env python3
"""What the right answers are: a naive evaluator for the documents of `reflag_document.py`, and with
`flagsmith_reference.py` for those of `flagsmith_document.py`.

    python3 reference.py --document reflag.json                        # sizes of the answers
    python3 reference.py --document flagsmith.json
    python3 reference.py --document reflag.json --bodies FOLDER        # bodies for bare-hyper, one per path
    python3 reference.py --document reflag.json --bodies FOLDER --one-flag

`measure.py --document` compares a server's answers with it before and after the timed rounds, because a
wrong answer may well be a fast one. Plain on purpose: every flag, every rule, every request, from the
document's own words. It knows the operators that the generator writes and their neighbours, and stops at
anything else.
"""
import argparse
import hashlib
import json
import os
import statistics
import time
from datetime import datetime, timedelta, timezone

import flagsmith_reference
import workload


def answer(document, work, number, run="0", now=None):
    """The body that request `number` of a work ought to get; None for those that are not compared."""
    if workload.WORKS[work].dialect == "flagsmith":
        return flagsmith_reference.answer(document, work, number, run)
    if not workload.WORKS[work].varies:
        return None
    pairs = workload.one_flag_attributes(number, run) if work == "one_flag" else workload.attributes(number, run)
    context = dict(pairs)
    secret_key = workload.WORKS[work].key == "secret"
    now = now or datetime.now(timezone.utc)
    features = {}
    for flag in document["features"]:
        if flag.get("secret") and not secret_key:
            continue
        if work == "one_flag" and flag["key"] != workload.one_flag_key(number):
            continue
        entry = evaluate(flag, context, now)
        if work != "enabled" or entry["isEnabled"]:
            features[flag["key"]] = entry
    return {"success": True, "remoteContextUsed": False, "flagStateVersion": document["flagStateVersion"],
            "features": features}


def evaluate(flag, context, now):
    results, missing = run_rules([rule["filter"] for rule in flag["targeting"]["rules"]], context, now)
    entry = {"key": flag["key"], "isEnabled": True in results, "targetingVersion": flag["targeting"]["version"],
             "ruleEvaluationResults": results, "missingContextFields": missing}
    if flag.get("config"):
        variants = flag["config"]["variants"]
        results, missing = run_rules([variant["filter"] for variant in variants], context, now)
        if True in results:
            variant = variants[results.index(True)]
            entry["config"] = {"key": variant["key"], "version": flag["config"]["version"],
                               "payload": variant["payload"], "ruleEvaluationResults": results,
                               "missingContextFields": missing}
    return entry


def differences(got, expected):
    """What is wrong with an answer, as text; empty when it is right. Members that a server may leave out
    or add do not count, save that rule results and missing fields have to be right when they are there."""
    if not isinstance(expected, dict) or "features" not in expected:
        return flagsmith_reference.differences(got, expected)
    wrong = []
    for member in ("success", "flagStateVersion"):
        if got.get(member) != expected[member]:
            wrong.append("%s is %r, not %r" % (member, got.get(member), expected[member]))
    entries = got.get("features")
    if not isinstance(entries, dict):
        return wrong + ["features is not a map"]
    for key in sorted(set(entries) ^ set(expected["features"])):
        wrong.append("flag %s %s" % (key, "should not be listed" if key in entries else "is not listed"))
    for key in sorted(set(entries) & set(expected["features"])):
        wrong += unequal(key, entries[key], expected["features"][key],
                         ("key", "isEnabled", "targetingVersion"))
        given, wanted = entries[key].get("config"), expected["features"][key].get("config")
        if given and wanted:
            wrong += unequal(key + " config", given, wanted, ("key", "version", "payload"))
        elif wanted or given and given.get("key") is not None:
            wrong.append("%s config is %r, not %r" % (key, given, wanted))
    return wrong


def unequal(label, got, expected, required):
    optional = ("ruleEvaluationResults", "missingContextFields")
    return ["%s %s is %r, not %r" % (label, member, got.get(member), expected[member])
            for member in required + optional
            if got.get(member) != expected[member] and (member in required or member in got)]


def run_rules(filters, context, now):
    missing = []
    results = [matches(condition, context, now, missing) for condition in filters]
    return results, list(dict.fromkeys(missing))


def matches(condition, context, now, missing):
    kind = condition["type"]
    if kind == "constant":
        return condition["value"]
    if kind == "negation":
        return not matches(condition["filter"], context, now, missing)
    if kind == "group":
        parts = (matches(part, context, now, missing) for part in condition["filters"])
        return all(parts) if condition["operator"] == "and" else any(parts)
    if kind == "rolloutPercentage":
        attribute = condition["partialRolloutAttribute"]
        if attribute not in context:
            missing.append(attribute)
            return False
        return bucket("%s.%s" % (condition["key"], context[attribute])) < condition["partialRolloutThreshold"]
    if kind == "context":
        if condition["field"] not in context and condition["operator"] not in ("SET", "NOT_SET"):
            missing.append(condition["field"])
            return False
        return compare(context.get(condition["field"], ""), condition["operator"], condition.get("values") or [], now)
    raise ValueError("filter type %s is not one that the generator writes" % kind)


def bucket(text):
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little") & 0xFFFFF
    return int(number / 0xFFFFF * 100000)


def compare(text, operator, values, now):
    if operator in ("SET", "NOT_SET"):
        return (text != "") == (operator == "SET")
    if operator in ("IS", "ANY_OF"):
        return text in (values[:1] if operator == "IS" else values)
    if operator in ("IS_NOT", "NOT_ANY_OF"):
        return text not in (values[:1] if operator == "IS_NOT" else values)
    if operator in ("CONTAINS", "NOT_CONTAINS"):
        return (values[0].lower() in text.lower()) == (operator == "CONTAINS")
    if operator == "GT":
        return float(text) > float(values[0])
    if operator == "LT":
        return float(text) < float(values[0])
    if operator == "AFTER":
        return date(text) > now - timedelta(days=int(values[0]))
    if operator == "BEFORE":
        return date(text) < now - timedelta(days=int(values[0]))
    if operator == "DATE_AFTER":
        return date(text) >= date(values[0])
    if operator == "DATE_BEFORE":
        return date(text) <= date(values[0])
    raise ValueError("operator %s is not one that the generator writes" % operator)


def date(text):
    if len(text) == len("2020-06-01"):
        text += "T00:00:00Z"
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)


def encode(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--document", required=True)
    parser.add_argument("--answers", type=int, default=400, help="answers per work that the sizes are taken from")
    parser.add_argument("--bodies", help="folder to write bodies to, named as bare-hyper looks for them")
    parser.add_argument("--one-flag", action="store_true",
                        help="with --bodies: write the answer for one flag under the path it shares with all flags")
    options = parser.parse_args()
    with open(options.document, "rb") as file:
        text = file.read()
    document = json.loads(text)

    if "feature_states" in document:
        works = print_flagsmith(document, text, options.answers)
    else:
        works = print_reflag(document, text, options.answers, options.one_flag)
    if options.bodies:
        os.makedirs(options.bodies, exist_ok=True)
        for path, body in works.items():
            with open(os.path.join(options.bodies, path.replace("/", "_")), "wb") as out:
                out.write(body)


def print_reflag(document, text, answers, one_flag):
    print(json.dumps({"work": "features", "bytes": len(text), "flags": len(document["features"])}))
    middle = {}
    for work in ("evaluated", "enabled", "one_flag"):
        made, row, middle[work] = answer_many(document, work, answers)
        row["listed"] = round(statistics.mean(len(body["features"]) for body in made), 1)
        row["enabled"] = round(statistics.mean(
            sum(entry["isEnabled"] for entry in body["features"].values()) for body in made), 1)
        print(json.dumps(row))
    return {"/features": text, "/features/enabled": middle["enabled"],
            "/features/evaluated": middle["one_flag" if one_flag else "evaluated"]}


def print_flagsmith(document, text, answers):
    print(json.dumps({"work": "document", "bytes": len(text), "flags": len(document["feature_states"]),
                      "segments": len(document["project"]["segments"]),
                      "identity_overrides": len(document["identity_overrides"])}))
    middle = {}
    for work in ("flags", "flag", "identities"):
        made, row, middle[work] = answer_many(document, work, answers)
        if work == "identities":
            row["listed"] = round(statistics.mean(len(body["flags"]) for body in made), 1)
            row["enabled"] = round(statistics.mean(
                sum(flag["enabled"] for flag in body["flags"]) for body in made), 1)
        print(json.dumps(row))
    return {"/api/v1/environment-document/": text, "/api/v1/flags/": middle["flags"],
            "/api/v1/identities/": middle["identities"]}


def answer_many(document, work, answers):
    """Some answers, a row about them, and the body of median length."""
    started = time.perf_counter()
    made = [answer(document, work, number) for number in range(1, answers + 1)]
    spent = time.perf_counter() - started
    bodies = sorted((encode(body) for body in made), key=len)
    middle = bodies[len(bodies) // 2]
    return made, {
        "work": work, "bytes_least": len(bodies[0]), "bytes_median": len(middle), "bytes_most": len(bodies[-1]),
        "different_answers": len(set(bodies)), "naive_us": round(spent / len(made) * 1e6)}, middle


if __name__ == "__main__":
    main()
