"""What the scripts of Python's SDKs share: they run the cells that they are told, and print a line of JSON for each.

`sys.argv[1]` is JSON: `url`, `image` (PNG, in base64) and `cells`, each with `kind`, `feature`, `expect`, `model`,
`tag` (to stand in every question), `exact` and `counted` (what the provider says is known). What is expected: `works`,
`refused` (the SDK raises its class for 400, whose text is printed), or `absent` (the SDK has no such call).
"""

import base64
import json
import sys
import traceback

HELLO = "Good day to you"
PICTURE = "A single red dot"
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
RESULT = "18 degrees"


class Cell:
    def __init__(self, told, plan):
        self.kind, self.feature, self.expect = told["kind"], told["feature"], told["expect"]
        self.model, self.tag, self.exact, self.counted = told["model"], told["tag"], told["exact"], told["counted"]
        self.url, self.image64, self.image = plan["url"], plan["image"], base64.b64decode(plan["image"])

    def says(self, words):
        return f"{words} ({self.tag})"

    def said(self, text, expected=HELLO):
        """The provider mock says what it was told to; the simulated provider makes something up."""
        if self.exact:
            assert text == expected, f"said {text!r}"
        else:
            assert len(text) > 10, f"said {text!r}"

    def used(self, taken, given):
        """Tokens in and out; the mock's Ollama counts none."""
        assert taken is not None and given is not None, "no usage"
        if self.counted:
            assert taken > 0 and given > 0, f"usage {taken}, {given}"

    def called(self, name, arguments):
        assert name == "get_weather", f"called {name!r}"
        city = arguments["city"]
        assert city == "Paris" if self.exact else isinstance(city, str), f"called with {arguments}"

    def described(self, city):
        assert set(city) == {"city", "population"} and isinstance(city["population"], int), f"described {city}"
        if self.exact:
            assert city == {"city": "Paris", "population": 2100000}, f"described {city}"

    def embedded(self, vectors):
        assert len(vectors) == 2, f"{len(vectors)} vectors"
        for vector in vectors:
            assert len(vector) > 2 and all(isinstance(x, float) for x in vector), f"vector {vector[:4]}"


def run(features, errors, status_of):
    """`features`: a function for each; `errors`: the class of each status, which plain and streamed calls raise."""
    plan = json.loads(sys.argv[1])
    for told in plan["cells"]:
        cell = Cell(told, plan)
        line = {"kind": cell.kind, "feature": cell.feature, "ok": True}
        try:
            line.update(attempt(cell, features, errors, status_of) or {})
        except Exception as error:
            [*_, last] = traceback.extract_tb(error.__traceback__)
            line.update(ok=False, why=f"{type(error).__name__}: {error} ({last.filename}:{last.lineno})")
        print(json.dumps(line), flush=True)


def attempt(cell, features, errors, status_of):
    if cell.expect == "absent":
        return absent(cell, features)
    if cell.expect == "refused":
        return {"refusal": raised(cell, features[cell.feature], errors[400], 400, status_of)}
    status = 502 if cell.feature == "refused key" else int(cell.feature) if cell.feature.isdigit() else None
    if status:
        for call in features["plain"], features["streamed"]:
            raised(cell, call, errors[status], status, status_of)
        return None
    if cell.feature == "unknown model":
        text = raised(cell, features.get(cell.feature, features["plain"]), errors[404], 404, status_of)
        assert f"Did you mean {cell.model[:-1]}" in text, text
        return None
    return features[cell.feature](cell)


def raised(cell, call, expected, status, status_of):
    try:
        call(cell)
    except expected as error:
        assert type(error) is expected, f"{type(error).__name__} is not {expected.__name__} itself"
        assert status_of(error) == status, f"status {status_of(error)}"
        return str(error)
    raise AssertionError("nothing was raised")


def absent(cell, features):
    try:
        features[cell.feature](cell)
    except (AttributeError, TypeError) as error:
        return {"refusal": str(error)}
    raise AssertionError("the SDK has this call after all")


def breaks(stream, expected):
    """Reads a stream that is cut off; answers the error."""
    pieces = 0
    try:
        for _ in stream:
            pieces += 1
    except expected as error:
        assert pieces > 0, f"cut before anything came: {error}"
        return error
    raise AssertionError(f"the cut went unnoticed after {pieces} pieces")
