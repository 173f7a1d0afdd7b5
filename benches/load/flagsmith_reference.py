"""The right answers to the Flagsmith works: a naive evaluator for the documents of `flagsmith_document.py`.

Plain on purpose: every segment, every feature, every request, from the document's own words
(flagsmith.md sections 8 to 12). It knows the operators that the generator writes, with the coercions that the
bench's traits need, and stops at anything else. `reference.py` calls it.
"""
import hashlib
import json
import re

import workload


def answer(document, work, number, run="0"):
    """The body that request `number` of a work ought to get."""
    if work in ("document", "document_304"):
        return document
    if work == "identities":
        identifier, traits = workload.identity(number, run)
        context = Context(document, identifier, traits)
        flags = [flag(document, state, context, True) for state in states(document, context)]
        echoed = [{"trait_key": name, "trait_value": value} for name, value in traits.items()]
        return {"identifier": identifier, "traits": echoed, "flags": visible(document, flags)}
    flags = visible(document, [flag(document, state, None, False) for state in document["feature_states"]])
    if work == "flags":
        return flags
    return next(each for each in flags if each["feature"]["name"] == workload.flag_asked_for(number))


class Context:
    """An identity, and the key that stands for it in hashes."""

    def __init__(self, document, identifier, traits):
        self.identifier, self.traits = identifier, traits
        self.key = "%s_%s" % (document["api_key"], identifier)


def states(document, context):
    """The state of each feature: the environment's, unless a segment's or the identity's own replaces it."""
    chosen = {}
    for segment in document["project"]["segments"]:
        if not is_member(segment, context):
            continue
        for state in segment["feature_states"]:
            priority = state["feature_segment"]["priority"]
            name = state["feature"]["name"]
            if name not in chosen or priority < chosen[name][0]:
                chosen[name] = priority, state
    for identity in document["identity_overrides"]:
        if identity["identifier"] == context.identifier:
            for state in identity["identity_features"]:
                chosen[state["feature"]["name"]] = float("-inf"), state
    return [chosen.get(state["feature"]["name"], (None, state))[1] for state in document["feature_states"]]


def flag(document, state, context, with_variant):
    """A flag as answers show it."""
    feature = next(own["feature"] for own in document["feature_states"]
                   if own["feature"]["id"] == state["feature"]["id"])
    value, variant = state["feature_state_value"], None
    if context and feature["type"] == "MULTIVARIATE":
        variant = "control"
    if context and state["multivariate_feature_state_values"]:
        drawn = share("%s,%s" % (state["django_id"], context.key))
        start = 0.0
        for each in sorted(state["multivariate_feature_state_values"], key=lambda each: each["id"]):
            end = start + each["percentage_allocation"]
            if start <= drawn < end:
                option = each["multivariate_feature_option"]
                value, variant = option["value"], option.get("key")
            start = end
    made = {"feature": feature, "enabled": state["enabled"], "feature_state_value": value}
    return dict(made, variant=variant) if with_variant else made


def visible(document, flags):
    """What client-side keys see."""
    project = document["project"]
    if document["hide_disabled_flags"] or project["hide_disabled_flags"]:
        raise ValueError("the generator hides no disabled flags")
    return [each for each in flags if each["feature"]["id"] not in project["server_key_only_feature_ids"]]


def is_member(segment, context):
    return bool(segment["rules"]) and all(holds(rule, segment, context) for rule in segment["rules"])


def holds(rule, segment, context):
    join = {"ALL": all, "ANY": any}[rule["type"]]
    conditions = [passes(condition, segment, context) for condition in rule["conditions"]]
    inner = [holds(each, segment, context) for each in rule["rules"]]
    return (not conditions or join(conditions)) and (not inner or join(inner))


def passes(condition, segment, context):
    operator, operand = condition["operator"], condition["value"]
    if operator == "PERCENTAGE_SPLIT":
        if condition["property_"]:
            raise ValueError("the generator takes percentages of identities only")
        return share("%s,%s" % (segment["id"], context.key)) <= float(operand)
    held = coerced(context.traits[condition["property_"]])
    if operator == "IN":
        return held in operand.split(",")
    if operator == "CONTAINS":
        return operand in held
    if operand.endswith(":semver"):
        held, operand = release(held), release(operand[:-len(":semver")])
    else:
        operand = type(held)(operand)
    if operator == "EQUAL":
        return held == operand
    if operator == "GREATER_THAN":
        return held > operand
    if operator == "GREATER_THAN_INCLUSIVE":
        return held >= operand
    if operator == "LESS_THAN":
        return held < operand
    raise ValueError("operator %s is not one that the generator writes" % operator)


def coerced(value):
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value):
        raise ValueError("the bench sends no text that looks like a number")
    return value


def release(text):
    return tuple(int(part) for part in text.split("."))


def share(text):
    number = int(hashlib.md5(text.encode()).hexdigest(), 16) % 9999
    if number == 9998:
        return share_again(text, 2)
    return number / 9998 * 100


def share_again(text, times):
    number = int(hashlib.md5(",".join([text] * times).encode()).hexdigest(), 16) % 9999
    return share_again(text, times + 1) if number == 9998 else number / 9998 * 100


def differences(got, expected):
    """What is wrong with an answer, as text; empty when it is right. Members that a server may add do not count."""
    if isinstance(expected, dict):
        if not isinstance(got, dict):
            return ["%.80r is not an object" % (got,)]
        return [wrong for name, value in expected.items() for wrong in
                ("%s: %s" % (name, each) for each in differences(got.get(name), value))
                # `variant` is an addition of newer servers.
                if name != "variant" or name in got]
    if isinstance(expected, list):
        if not isinstance(got, list) or len(got) != len(expected):
            return ["%.80r is not a list of %d" % (got, len(expected))]
        return ["[%d] %s" % (place, wrong) for place, pair in enumerate(zip(got, expected)) for wrong in
                differences(*pair)]
    return [] if json.dumps(got) == json.dumps(expected) else ["%.80r, not %.80r" % (got, expected)]
