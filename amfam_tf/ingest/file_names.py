"""The files beside the records of an ingest, see docs/ingest.md."""

ANOMALIES_FILE = "anomalies.json"
SCHEMA_FILE = "schema.pbtxt"
STATISTICS_FILE = "statistics.json"
STATISTICS_PROTO_FILE = "statistics.pbtxt"
