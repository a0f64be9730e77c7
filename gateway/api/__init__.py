"""The console's HTTP API: everything that the pages do, under `/api/v1`; `/api/v1/openapi.json` documents it.

Never does what it could not audit. `app` puts the parts together, `access` says who asks and what they may, `services`
is what the parts share, `pages` serves what was built under a policy that lets nothing else run.
"""
