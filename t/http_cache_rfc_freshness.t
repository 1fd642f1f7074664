#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""RFC 9111 4.2, 5.1 to 5.3: how long a response is fresh and how old it is, and what requests and responses say about it."""
from lib.goma import *
from lib.cache import *
from lib.rows import *

rows = Rows()
NOW = time.time()


def other_form(form, offset):
    return time.strftime(form, time.gmtime(NOW + offset))


# --- 4.2.1, 5.2.2: directives

for text, want in (("max-age=60", "stored"), ("max-age=0", "asked"), ("MAX-AGE=60", "stored"), ("Max-Age=60", "stored"), ('max-age="60"', "stored"), ("max-age=060", "stored"), ("max-age=60,", "stored"), (",max-age=60", "stored"),
                   (" , max-age=60 , ", "stored"), ("a, max-age=60", "stored"), ("max-age=60, a=b", "stored"), ("max-age=2147483647", "stored"), ("max-age=2147483648", "stored"), ("max-age=4294967296", "stored"),
                   ("max-age=99999999999999999999", "stored"), ("max-age=-60", "asked"), ("max-age=60.5", "asked"), ("max-age=60.0", "asked"), ("max-age=a60", "asked"), ("max-age=60a", "asked"), ("max-age='60'", "asked"),
                   ("max-age =60", "asked"), ("max-age= 60", "asked"), ("max-age = 60", "asked"), ("max-age", "asked"), ("max-age=", "asked"), ('max-age=""', "asked"), ("max-age=0x60", "asked"), ("max-age=6e1", "asked"),
                   ("max-age:60", "asked"), ("maxage=60", "asked"), ("x-max-age=60", "asked"), ("max-age=60, max-age=0", "asked"), ("max-age=0, max-age=60", "asked"), ("max-age=60, max-age=60", "stored"),
                   ("s-maxage=60", "stored"), ("S-MaxAge=60", "stored"), ("s-maxage=0, max-age=60", "asked"), ("s-maxage=60, max-age=0", "stored"), ("max-age=0, s-maxage=60", "stored"), ("max-age=60, s-maxage=0", "asked"),
                   ("s-maxage=x, max-age=60", "asked"), ("s-maxage=60, s-maxage=0", "asked"), ('a="max-age=60", max-age=0', "asked"), ('a="max-age=0", max-age=60', "stored"), ('max-age=0, a="max-age=60"', "asked"),
                   ("public", "asked"), ("must-revalidate", "asked"), ("max-age=60, must-revalidate", "stored"), ("max-age=60, proxy-revalidate", "stored"), ("max-age=60, no-transform", "stored"), ("max-age=60 public", "asked"),
                   ("no-cache, max-age=60", "asked"), ("No-Cache, max-age=60", "asked"), ("no-cache=, max-age=60", "asked")):
    rows.check(f"5.2.2: {text}", {"Cache-Control": text}, want)
rows.check("two lines, one of them 0", {"Cache-Control": ["max-age=60", "max-age=0"]}, "asked")
rows.check("two lines of different directives", {"Cache-Control": ["public", "max-age=60"]}, "stored")

# --- 5.3: Expires

for name, value, want in (("ahead", http_date(3600), "stored"), ("passed", http_date(-3600), "asked"), ("now", http_date(), "asked"), ("0", "0", "asked"), ("-1", "-1", "asked"), ("empty", "", "asked"), ("a word", "never", "asked"),
                          ("RFC 850", other_form("%A, %d-%b-%y %H:%M:%S GMT", DAY), "stored"), ("RFC 850, passed", other_form("%A, %d-%b-%y %H:%M:%S GMT", -DAY), "asked"), ("asctime", time.asctime(time.gmtime(NOW + 12 * DAY)), "stored"),
                          ("asctime, passed", time.asctime(time.gmtime(NOW - DAY)), "asked"), ("far ahead", "Fri, 31 Dec 9999 23:59:59 GMT", "stored"), ("beyond 32 bits", "Thu, 18 Aug 2050 02:01:18 GMT", "stored"),
                          ("another zone", http_date(DAY).replace("GMT", "CET"), "asked"), ("UTC", http_date(DAY).replace("GMT", "UTC"), "asked"), ("ISO 8601", other_form("%Y-%m-%dT%H:%M:%SZ", DAY), "asked"),
                          ("a day that is none", "Fri, 32 Dec 2049 00:00:00 GMT", "asked"), ("1970", "Thu, 01 Jan 1970 00:00:00 GMT", "asked"), ("seconds", str(int(NOW) + 3600), "asked"), ("two, one passed", [http_date(DAY), http_date(-DAY)], "asked")):
    rows.check(f"5.3: Expires {name}", {"Expires": value}, want)
rows.check("max-age before Expires", {"Cache-Control": "max-age=60", "Expires": http_date(-DAY)}, "stored")
rows.check("max-age=0 before Expires", {"Cache-Control": "max-age=0", "Expires": http_date(DAY)}, "asked")
rows.check("s-maxage before Expires", {"Cache-Control": "s-maxage=60", "Expires": "0"}, "stored")
rows.check("Expires beside other directives", {"Cache-Control": "public", "Expires": http_date(DAY)}, "stored")
rows.check("Expires counts from Date", {"Expires": http_date(-50), "Date": http_date(-100)}, "asked")
rows.check("Expires counts from Date, ahead", {"Expires": http_date(50), "Date": http_date(-20)}, "stored")
rows.check("Expires with Age", {"Expires": http_date(100), "Age": "200"}, "asked")
rows.check("Expires with a Date ahead", {"Expires": http_date(100), "Date": http_date(200)}, "asked")

# --- 4.2.2: heuristics: a tenth of the time since Last-Modified

for name, modified, age, want in (("ten days", -10 * DAY, None, "stored"), ("ten days, an hour old", -10 * DAY, "3600", "stored"), ("ten days, two days old", -10 * DAY, str(2 * DAY), "validated"), ("an hour", -3600, None, "stored"),
                                  ("an hour, ten minutes old", -3600, "600", "validated"), ("five seconds", -5, None, "validated"), ("in the future", DAY, None, "validated"), ("years, a month old", -9999 * DAY, str(30 * DAY), "validated")):
    rows.check(f"4.2.2: {name}", {"Last-Modified": http_date(modified), "Age": age}, want)
rows.check("4.2.2: not where max-age is", {"Last-Modified": http_date(-10 * DAY), "Cache-Control": "max-age=0"}, "validated")
rows.check("4.2.2: not where Expires is", {"Last-Modified": http_date(-10 * DAY), "Expires": "0"}, "validated")
rows.check("4.2.2: a Last-Modified that is none", {"Last-Modified": "yesterday"}, "validated")
rows.check("nothing at all", {}, "asked")
rows.check("an ETag alone", {"ETag": '"a"'}, "validated")
rows.check("a weak ETag alone", {"ETag": 'W/"a"'}, "validated")

# --- 4.2.3, 5.1: age

for value, want in (("0", "stored"), ("59", "stored"), ("60", "asked"), ("61", "asked"), ("2147483648", "asked"), ("99999999999999999999", "asked"), ("-100", "stored"), ("7200.5", "stored"), ("old", "stored"), ("", "stored"), ("100s", "stored"),
                    ("100;a=b", "stored"), ('"100"', "stored"), ("0, 100", "stored"), ("100, 0", "asked"), (["0", "100"], "stored"), (["100", "0"], "asked"), ("0100", "asked"), ("a, 100", "stored")):
    rows.check(f"5.1: Age {value}", {"Cache-Control": "max-age=60", "Age": value}, want)
for offset, want in ((-30, "stored"), (-100, "asked"), (3600, "stored")):
    rows.check(f"4.2.3: Date of {offset} s", {"Cache-Control": "max-age=60", "Date": http_date(offset)}, want)
rows.check("4.2.3: a Date that is none", {"Cache-Control": "max-age=60", "Date": "today"}, "stored")
rows.play("5.1: Age is told", [Reply(200, dated({"Cache-Control": "max-age=60", "Age": ["30", "7"]}), b"body")], ({}, "asked"), ({}, ("stored", 200, {"Age": "30"})))
rows.play("6.6.1: Date stays", [Reply(200, lines({"Cache-Control": "max-age=600", "Date": http_date(-100)}), b"body")], ({}, "asked"), ({}, ("stored", {"Date": http_date(-100)})))

for configuration, path in rows.paths():
    rows.pages.answer(path, Reply(200, {"Cache-Control": "max-age=600"}, b"body"))
    first = rows.goma.get(path)["Date"]
    expect(wait_for(lambda: rows.goma.get(path)["Age"] != "0"), f"RFC 9110 6.6.1: a response grows older ({configuration})")
    same(rows.goma.get(path)["Date"], first, f"and its Date stays when it came without one ({configuration})")

# --- 5.2.1: requests

for text, age, want in (("max-age=0", "0", "validated"), ("max-age=5", "10", "validated"), ("max-age=30", "10", "stored"), ("max-age=30, max-age=5", "10", "validated"), ('max-age="5"', "10", "validated"), ("max-age=x", "10", "validated"),
                        ("Max-Age=5", "10", "validated"), ("min-fresh=70", "0", "validated"), ("min-fresh=20", "10", "stored"), ("min-fresh=51", "10", "validated"), ("min-fresh=x", "10", "stored"), ("no-cache", "0", "validated"),
                        ("NO-CACHE", "0", "validated"), ("a, no-cache", "0", "validated"), ("no-store", "0", "asked"), ("max-stale", "90", "stored"), ("max-stale=60", "90", "stored"), ("max-stale=10", "90", "validated"),
                        ("max-stale=10, max-stale", "90", "validated"), ("max-stale=x", "90", "validated"), ("only-if-cached", "10", "stored"), ("only-if-cached", "90", "504"), ("only-if-cached, max-stale", "90", "stored"),
                        ("no-transform", "0", "stored"), ("a=b", "0", "stored"), ("", "0", "stored"), ("max-age=300", "90", "validated"), ("max-stale=100, min-fresh=5", "90", "validated")):
    rows.check(f"5.2.1: {text} at {age}", {"Cache-Control": "max-age=60", "Age": age, "ETag": '"a"'}, want, {"Cache-Control": text})
for text, want in (("must-revalidate", "validated"), ("proxy-revalidate", "validated"), ("s-maxage=60", "validated"), ("no-cache", "validated")):
    rows.check(f"5.2.2: {text} forbids max-stale", {"Cache-Control": f"max-age=60, {text}", "Age": "90", "ETag": '"a"'}, want, {"Cache-Control": "max-stale"})
rows.check("5.4: Pragma: no-cache", {"Cache-Control": "max-age=60", "ETag": '"a"'}, "validated", {"Pragma": "no-cache"})
rows.check("5.4: Pragma beside Cache-Control", {"Cache-Control": "max-age=60", "ETag": '"a"'}, "stored", {"Pragma": "no-cache", "Cache-Control": "max-age=50"})
rows.check("5.4: another Pragma", {"Cache-Control": "max-age=60", "ETag": '"a"'}, "stored", {"Pragma": "x"})
