"""Backup and restore: keys, certificates, secrets, settings, PostgreSQL and the archive, with a manifest of all of it.

Never changes what it backs up, and never restores over anything that is there.
"""
