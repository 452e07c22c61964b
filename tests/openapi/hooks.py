"""What schemathesis is to do with vPool's API beside what the document tells it.

Owns: names of things that are there, so that requests get beyond "there is no such disk"; locations
that stay in one directory; a tally of what was answered. Does not own: what is expected
(tests/tests/api/openapi.rs).
"""

import atexit
import json
import os
import random
from collections import Counter, defaultdict
from urllib.parse import quote

import schemathesis

# Where pools on directories may be: some places below it, and nothing else of this machine.
BOX = os.environ["VPOOL_OPENAPI_BOX"]
TALLY = os.environ["VPOOL_OPENAPI_TALLY"]
DICE = random.Random(os.environ["VPOOL_OPENAPI_SEED"])

PLACES = ["one", "two", "three", "missing"]
FILTERS = ["name=vm1", "pool=default", "name~m", "state=done", "disks=0", "id~a"]
FIELDS = ["name", "id", "id,name", "state,kind", "id,id"]
POOLS = ["default", "second", "third"]
DISKS = ["demo", "default:vm1", "vm2", "default:a/b", "second:vm1"]
NAMES = ["vm1", "vm2", "a/b", "Größe"]
SIZES = [512, 65536, 1 << 30, 64 << 40]

answers = defaultdict(Counter)
keys = 0


def often():
    return DICE.random() < 0.7


def name_what_is_there(case):
    """Puts a name that may be there in place of one that was made up, mostly."""
    for parameter, known in (("disk", DISKS), ("pool", POOLS), ("id", range(1, 30))):
        if parameter in (case.path_parameters or {}) and often():
            case.path_parameters[parameter] = quote(str(DICE.choice(known)), safe="")
    query = case.query or {}
    # A place in a list is nothing that one could make up.
    if "after" in query and often():
        del query["after"]
    for parameter, known in (("filter", FILTERS), ("fields", FIELDS)):
        if parameter in query and often():
            query[parameter] = DICE.choice(known)
    body = case.body
    if not isinstance(body, dict):
        return
    for field, known in (("name", NAMES), ("pool", POOLS), ("size_bytes", SIZES)):
        if field in body and often():
            pools = field == "name" and "location" in body
            body[field] = DICE.choice(POOLS if pools else known)


def stay_in_the_box(case):
    """No directory but those in the box, and no other host."""
    location = case.body.get("location") if isinstance(case.body, dict) else None
    if not isinstance(location, dict):
        return
    if DICE.random() < 0.3:
        case.body["location"] = location = {"kind": "fs", "path": "/"}
    if isinstance(location.get("path"), str) and (location["path"].startswith("/") or often()):
        location["path"] = os.path.join(BOX, DICE.choice(PLACES))
    # A store that does not answer is a 503 by right; looking for one is not what is tested.
    if isinstance(location.get("url"), str):
        location["url"] = location["url"].replace("//", "/")


@schemathesis.hook
def before_call(context, case, kwargs):
    global keys
    name_what_is_there(case)
    stay_in_the_box(case)
    # Otherwise nearly all are refused, because another request had the key, or do nothing.
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and 1 <= len(key) < 50 and often():
        keys += 1
        case.headers["Idempotency-Key"] = f"{key}{keys}"
    if (case.query or {}).get("dry_run") in (True, "true") and DICE.random() < 0.5:
        del case.query["dry_run"]


@schemathesis.hook
def after_call(context, case, response):
    answers[case.operation.label][response.status_code] += 1


@atexit.register
def tell():
    with open(TALLY, "w", encoding="utf-8") as file:
        json.dump(answers, file)
