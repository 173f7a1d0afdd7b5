"""A client of the OpenFeature SDK, whose provider asks Burgee at each evaluation."""

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from scenario import told


def headers():
    """The key, in one of the two header fields that may have it."""
    is_token = told["header"] == "Authorization"
    return {told["header"]: f"Bearer {told['key']}" if is_token else told["key"]}


api.set_provider(OFREPProvider(told["url"], headers_factory=headers))
client = api.get_client()


def face(details):
    """What an application sees of an evaluation."""
    if details.error_code:
        return {
            "value": details.value,
            "errorCode": details.error_code,
            "errorMessage": details.error_message,
        }
    return {
        "value": details.value,
        "variant": details.variant,
        "reason": details.reason,
        "metadata": details.flag_metadata,
    }


def details(key, fallback, context):
    """Asks for a flag by the type of the application's default."""
    asked = {
        bool: client.get_boolean_details,
        str: client.get_string_details,
        int: client.get_integer_details,
        float: client.get_float_details,
        dict: client.get_object_details,
        list: client.get_object_details,
    }
    return asked[type(fallback)](key, fallback, context)


def context_of(attributes):
    rest = {name: value for name, value in attributes.items() if name != "targetingKey"}
    return EvaluationContext(attributes.get("targetingKey"), rest)


def seen():
    """What is seen in each context of each flag that is asked for."""
    return [
        [face(details(key, fallback, context)) for key, fallback in told["asked"]]
        for context in map(context_of, told["contexts"])
    ]
