"""openapi-spec-validator: whether the description is OpenAPI 3.1, in either spelling."""

import json
import urllib.request

import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator
from scenario import say, told


def get(path):
    with urllib.request.urlopen(told["url"] + path, timeout=30) as answer:
        return answer.read()


spellings = [json.loads(get("/openapi.json")), yaml.safe_load(get("/openapi.yaml"))]
errors = [f"{list(error.absolute_path)}: {error.message}" for error in OpenAPIV31SpecValidator(spellings[0]).iter_errors()]
say({"errors": errors, "same": spellings[0] == spellings[1]})
