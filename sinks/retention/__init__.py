"""What is older than an organisation keeps it is erased: in the archive, PostgreSQL and Elasticsearch.

Never touches the audit, which is a chain of hashes, and nothing that is on hold.
"""
