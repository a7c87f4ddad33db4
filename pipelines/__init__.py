"""The pipelines, to be started from a checkout; each module is the verb of its name, e.g. python -m pipelines.ingest.

Thin: what they wire and do is in amfam_tf, and from Python they are `amfam_tf.pipelines`.
"""
