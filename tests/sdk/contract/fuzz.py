"""schemathesis: asks what the description allows, and what it does not, and checks every answer against it.

Says a line now and then while it runs, and what came of it in the end.
"""

import pathlib
import subprocess
import sys
import tempfile
import time

from scenario import say, told

# What every answer must be. `positive_data_acceptance` is not among them: contexts have bounds on their depth, on their
# names and on how many members they have, which no schema can say.
CONFIG = """
[checks]
enabled = false
not_a_server_error.enabled = true
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx"]
status_code_conformance.enabled = true
content_type_conformance.enabled = true
response_headers_conformance.enabled = true
response_schema_conformance.enabled = true
unsupported_method.enabled = true
allow_header_conformance.enabled = true
ignored_auth.enabled = true
negative_data_rejection.enabled = true
"""

# These answer so by design.
EXPECTED = """
[[operations]]
include-operation-id = "{}"
checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "{}"]
"""


def arguments():
    yield from ["run", told["description"], "--url", told["url"]]
    yield from told["tags"]
    for name, value in told["headers"].items():
        yield from ["--header", f"{name}: {value}"]
    yield from ["--phases", "examples,coverage,fuzzing", "--max-examples", str(told["examples"])]
    yield from ["--seed", str(told["seed"]), "--generation-database", "none"]
    # The key that is sent counts, not one that is made up.
    yield from ["--generation-with-security-parameters", "false"]
    yield from ["--request-timeout", "30", "--suppress-health-check", "all", "--continue-on-failure", "--no-color"]
    yield from ["--warnings", "off"]


with tempfile.TemporaryDirectory() as folder:
    config = CONFIG + "".join(EXPECTED.format(*pair) for pair in told["expected"])
    pathlib.Path(folder, "schemathesis.toml").write_text(config)
    run = subprocess.Popen(
        [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", *arguments()],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    report = None
    end = time.monotonic() + told["seconds"]
    while report is None:
        try:
            report = run.communicate(timeout=10)[0]
        except subprocess.TimeoutExpired:
            if time.monotonic() > end:
                run.kill()
            # Whoever waits is told that something happens.
            say({})
    say({"status": run.returncode, "report": report})
