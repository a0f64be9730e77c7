"""What Prometheus and Grafana need to watch sealstream: rules and their tests, a dashboard, where processes listen.

Never names a metric that no process exposes: a test compares.
"""
